"""When each job of the worker is due, who is at it, and what came of it: one table for all workers."""

from storeroom.timetable.model import LEASE, Hold, ScheduledJob, Turn
from storeroom.timetable.service import Schedule, Timetable, grid_origin, scheduled_jobs

__all__ = ["LEASE", "Hold", "Schedule", "ScheduledJob", "Timetable", "Turn", "grid_origin", "scheduled_jobs"]
