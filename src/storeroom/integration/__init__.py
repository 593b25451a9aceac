"""What leaves the shop for other systems: endpoints, the queue, and the dispatcher that sends."""

from storeroom.integration.carriers import Carrier
from storeroom.integration.courier import OWN_HEADERS, Answer, Courier
from storeroom.integration.destinations import checked_url
from storeroom.integration.dispatcher import Dispatcher
from storeroom.integration.endpoints import EndpointChanges, Endpoints
from storeroom.integration.errors import (
    DestinationRefused,
    EndpointNotFound,
    EndpointTaken,
    InvalidWebhook,
    LeaseLost,
    NoAnswer,
    TooManyEndpoints,
    WebhookNotFound,
    WebhookNotRetriable,
)
from storeroom.integration.model import Attempt, Claimed, Endpoint, Leased, Outcome, QueueDepth, Webhook, WebhookStatus
from storeroom.integration.sealed import ENDPOINT_SEALS
from storeroom.integration.webhooks import Webhooks

__all__ = [
    "ENDPOINT_SEALS",
    "OWN_HEADERS",
    "Answer",
    "Attempt",
    "Carrier",
    "Claimed",
    "Courier",
    "DestinationRefused",
    "Dispatcher",
    "Endpoint",
    "EndpointChanges",
    "EndpointNotFound",
    "EndpointTaken",
    "Endpoints",
    "InvalidWebhook",
    "LeaseLost",
    "Leased",
    "NoAnswer",
    "Outcome",
    "QueueDepth",
    "TooManyEndpoints",
    "Webhook",
    "WebhookNotFound",
    "WebhookNotRetriable",
    "WebhookStatus",
    "Webhooks",
    "checked_url",
]
