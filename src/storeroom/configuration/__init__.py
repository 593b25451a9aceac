"""What staff set while the shop runs: by key, read through a cache, secrets sealed."""

from storeroom.configuration.cache import ConfigCache
from storeroom.configuration.errors import ConfigNotFound, ConfigUnreadable, InvalidConfig, TooManyConfigs
from storeroom.configuration.model import Config, Setting, Source
from storeroom.configuration.sealed import CONFIG_SEALS
from storeroom.configuration.service import Configuration
from storeroom.configuration.settings import (
    SERVICE_URL,
    STOREFRONT_URL,
    SUPPORT_EMAIL,
    SUPPORT_PHONE,
    address,
    choice,
    declare,
    declared,
    number,
    switch,
    text,
)

__all__ = [
    "CONFIG_SEALS",
    "SERVICE_URL",
    "STOREFRONT_URL",
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
    "address",
    "choice",
    "declare",
    "declared",
    "number",
    "switch",
    "text",
]
