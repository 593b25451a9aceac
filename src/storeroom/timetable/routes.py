"""The schedule over HTTP, for staff."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from storeroom.identity import Permission
from storeroom.timetable.model import ScheduledJob
from storeroom.timetable.service import Schedule
from storeroom.web import requires, says


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job of the worker: when it is due and what came of its last run."""

    name: str
    every_s: float
    due_at: datetime
    running: bool
    last_started_at: datetime | None
    last_ended_at: datetime | None
    last_success_at: datetime | None
    last_duration_ms: int | None
    last_rows: int | None  # null in an installation of several shops
    last_error: str | None  # null where it ended well
    runs: int
    failures: int  # in a row


def _shown(job: ScheduledJob) -> Job:
    fields: dict[str, Any] = msgspec.structs.asdict(job)
    return Job(every_s=fields.pop("every").total_seconds(), **fields)


@get(
    "/v1/admin/schedule",
    summary="What the worker does, and when",
    tags=["admin: schedule"],
    guards=[requires(Permission.SETTINGS_WRITE)],
    responses=says(),
)
async def list_schedule(schedule: NamedDependency[Schedule]) -> list[Job]:
    """Of the whole installation, by name. Empty where no worker has ever run."""
    return [_shown(job) for job in await schedule.list()]


route_handlers: Final[Sequence[ControllerRouterHandler]] = (list_schedule,)
