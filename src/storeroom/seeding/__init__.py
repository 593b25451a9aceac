"""Seeds: the rows that a shop begins with, kept in files by environment and planted as often as one likes."""

from storeroom.seeding.demonstration import Demonstration, demonstrate
from storeroom.seeding.errors import (
    EnvironmentRefused,
    SeedClash,
    SeedFileInvalid,
    SeedFilesMissing,
    SeedSecretMissing,
    UnknownEnvironment,
)
from storeroom.seeding.files import environment_of, seeds_folder
from storeroom.seeding.model import TABLES, Environment, Planted, seed_id
from storeroom.seeding.service import plant, plant_file

__all__ = [
    "TABLES",
    "Demonstration",
    "Environment",
    "EnvironmentRefused",
    "Planted",
    "SeedClash",
    "SeedFileInvalid",
    "SeedFilesMissing",
    "SeedSecretMissing",
    "UnknownEnvironment",
    "demonstrate",
    "environment_of",
    "plant",
    "plant_file",
    "seed_id",
    "seeds_folder",
]
