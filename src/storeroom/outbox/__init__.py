"""What others are told: rows written in the transaction of the change, sent later by the worker."""

from storeroom.outbox.service import DESTINATION_DEFAULT, enqueue
from storeroom.outbox.wake import CHANNEL, wake

__all__ = ["CHANNEL", "DESTINATION_DEFAULT", "enqueue", "wake"]
