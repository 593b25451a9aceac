"""What has to happen without anyone asking: reservations, payments, carts and orders whose time is over."""

from storeroom.worker.model import Job, Outcome
from storeroom.worker.schedule import SCHEDULE
from storeroom.worker.service import Worker

__all__ = ["SCHEDULE", "Job", "Outcome", "Worker"]
