"""What staff set while the shop runs: by key, read through a cache, secrets sealed."""

from storeroom.configuration.cache import ConfigCache
from storeroom.configuration.errors import ConfigNotFound, ConfigUnreadable, InvalidConfig, TooManyConfigs
from storeroom.configuration.model import Config, Setting, Source
from storeroom.configuration.sealed import CONFIG_SEALS
from storeroom.configuration.service import Configuration
from storeroom.configuration.settings import (
    SUPPORT_EMAIL,
    SUPPORT_PHONE,
    choice,
    declare,
    declared,
    number,
    switch,
    text,
)

__all__ = [
    "CONFIG_SEALS",
    "SUPPORT_EMAIL",
    "SUPPORT_PHONE",
    "Config",
    "ConfigCache",
    "ConfigNotFound",
    "ConfigUnreadable",
    "Configuration",
    "InvalidConfig",
    "Setting",
    "Source",
    "TooManyConfigs",
    "choice",
    "declare",
    "declared",
    "number",
    "switch",
    "text",
]
