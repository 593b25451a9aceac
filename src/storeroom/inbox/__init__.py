"""What other systems tell the shop: stored first, answered, and processed after, once."""

from storeroom.inbox.errors import (
    InvalidMessage,
    InvalidSource,
    MessageForged,
    MessageNotFound,
    MessageNotReplayable,
    SourceNotFound,
    SourceTaken,
    TooManySources,
)
from storeroom.inbox.model import (
    BODY_BYTES_MAX,
    Encoding,
    Handled,
    Handler,
    Handlers,
    InboxDepth,
    InboxEntry,
    InboxMessage,
    InboxStatus,
    InboxSummary,
    Receipt,
    Scheme,
    WebhookSource,
)
from storeroom.inbox.processor import InboxProcessor
from storeroom.inbox.sealed import SOURCE_SEALS
from storeroom.inbox.service import Inbox, digest, read
from storeroom.inbox.sources import SourceChanges, WebhookSources

__all__ = [
    "BODY_BYTES_MAX",
    "SOURCE_SEALS",
    "Encoding",
    "Handled",
    "Handler",
    "Handlers",
    "Inbox",
    "InboxDepth",
    "InboxEntry",
    "InboxMessage",
    "InboxProcessor",
    "InboxStatus",
    "InboxSummary",
    "InvalidMessage",
    "InvalidSource",
    "MessageForged",
    "MessageNotFound",
    "MessageNotReplayable",
    "Receipt",
    "Scheme",
    "SourceChanges",
    "SourceNotFound",
    "SourceTaken",
    "TooManySources",
    "WebhookSource",
    "WebhookSources",
    "digest",
    "read",
]
