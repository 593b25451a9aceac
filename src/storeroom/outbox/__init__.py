"""What others are told: rows written in the transaction of the change, sent later by the worker."""

from storeroom.outbox.errors import SubjectRefused
from storeroom.outbox.service import DESTINATION_DEFAULT, enqueue, enqueue_many, enqueue_missing, restrict
from storeroom.outbox.wake import CHANNEL, wake

__all__ = [
    "CHANNEL",
    "DESTINATION_DEFAULT",
    "SubjectRefused",
    "enqueue",
    "enqueue_many",
    "enqueue_missing",
    "restrict",
    "wake",
]
