"""What calls the shop besides people: keys for programs, and the web origins whose pages may."""

from storeroom.access.errors import (
    ApiKeyNotFound,
    ApiKeyRefused,
    InvalidApiKey,
    InvalidOrigin,
    PeopleOnly,
    PermissionNotYours,
    TooManyApiKeys,
)
from storeroom.access.model import (
    KEY,
    KEYS_MAX,
    ORIGINS_MAX,
    PEOPLE_ONLY,
    TOUCH_EVERY,
    ApiKey,
    KeyInUse,
    KeyText,
    normal_origin,
)
from storeroom.access.service import ApiKeys, Origins

__all__ = [
    "KEY",
    "KEYS_MAX",
    "ORIGINS_MAX",
    "PEOPLE_ONLY",
    "TOUCH_EVERY",
    "ApiKey",
    "ApiKeyNotFound",
    "ApiKeyRefused",
    "ApiKeys",
    "InvalidApiKey",
    "InvalidOrigin",
    "KeyInUse",
    "KeyText",
    "Origins",
    "PeopleOnly",
    "PermissionNotYours",
    "TooManyApiKeys",
    "normal_origin",
]
