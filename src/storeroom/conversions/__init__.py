"""Conversions: telling advertising and analytics what was bought, if the visitor lets us."""

from storeroom.conversions.errors import (
    ConversionNotFound,
    InvalidProvider,
    InvalidSignal,
    ProviderNotFound,
    ProviderTaken,
    SessionNeeded,
    TooManyProviders,
)
from storeroom.conversions.model import (
    PURCHASE_ON,
    SOURCE_URL,
    WITHOUT_CONSENT,
    Conversion,
    ConversionId,
    ConversionStatus,
    Item,
    Provider,
    ProviderId,
    ProviderKind,
    Signals,
    Waiting,
)
from storeroom.conversions.purchases import Purchases
from storeroom.conversions.queueing import added_to_cart, checkout_started
from storeroom.conversions.sealed import PROVIDER_SEALS
from storeroom.conversions.sender import ConversionSender
from storeroom.conversions.service import Conversions, ProviderChanges

__all__ = [
    "PROVIDER_SEALS",
    "PURCHASE_ON",
    "SOURCE_URL",
    "WITHOUT_CONSENT",
    "Conversion",
    "ConversionId",
    "ConversionNotFound",
    "ConversionSender",
    "ConversionStatus",
    "Conversions",
    "InvalidProvider",
    "InvalidSignal",
    "Item",
    "Provider",
    "ProviderChanges",
    "ProviderId",
    "ProviderKind",
    "ProviderNotFound",
    "ProviderTaken",
    "Purchases",
    "SessionNeeded",
    "Signals",
    "TooManyProviders",
    "Waiting",
    "added_to_cart",
    "checkout_started",
]
