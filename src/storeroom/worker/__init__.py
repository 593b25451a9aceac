"""What has to happen without anyone asking: what is over ends, and what is queued is sent."""

from storeroom.worker.model import Job, Outcome
from storeroom.worker.schedule import SCHEDULE, schedule
from storeroom.worker.service import Worker
from storeroom.worker.work import work, work_once

__all__ = ["SCHEDULE", "Job", "Outcome", "Worker", "schedule", "work", "work_once"]
