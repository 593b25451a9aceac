"""What visitors do in a shop: taken down as it happens, and linked to the account when they sign in."""

from storeroom.analytics.errors import EventUserNotFound, InvalidEvent, InvalidEventBatch, InvalidPeriod, NoEventKept
from storeroom.analytics.model import (
    EVENTS_MAX,
    LINKED_WITHIN,
    PERIOD_MAX,
    PROPERTIES_BYTES_MAX,
    Client,
    DeviceType,
    Event,
    EventCategory,
    EventDraft,
    Place,
    Refusal,
    Taken,
    client_of,
)
from storeroom.analytics.service import Events, PlaceLookup, browser_of, note

__all__ = [
    "EVENTS_MAX",
    "LINKED_WITHIN",
    "PERIOD_MAX",
    "PROPERTIES_BYTES_MAX",
    "Client",
    "DeviceType",
    "Event",
    "EventCategory",
    "EventDraft",
    "EventUserNotFound",
    "Events",
    "InvalidEvent",
    "InvalidEventBatch",
    "InvalidPeriod",
    "NoEventKept",
    "Place",
    "PlaceLookup",
    "Refusal",
    "Taken",
    "browser_of",
    "client_of",
    "note",
]
