"""What others are told: rows written in the transaction of the change, sent later by the worker."""

from storeroom.outbox.service import DESTINATION_DEFAULT, enqueue

__all__ = ["DESTINATION_DEFAULT", "enqueue"]
