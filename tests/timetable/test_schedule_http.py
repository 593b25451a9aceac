"""What staff see of the worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx

from factories import SECRET
from storeroom.database.pool import Database
from storeroom.identity import Permission, Proof, UserRole
from storeroom.room import Storeroom
from storeroom.server import create_app
from storeroom.settings import Settings
from storeroom.worker import Job, Worker

JOB = "test.shown"


async def failing(db: Database, /, *, limit: int) -> int:
    raise ZeroDivisionError


async def seven(db: Database, /, *, limit: int) -> int:
    return 7


async def test_staff_see_when_each_job_is_due_and_what_came_of_it(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    """The rows are of all shops: where there are several, nobody's staff see them."""
    async with await Database.open(await fresh_database()) as db:
        room = Storeroom(db, secret=SECRET)
        await room.tenants.create("default", name="Shop", currency="USD")
        shop = room.tenant()
        staff = await shop.users.create(
            email="s@shop.example", role=UserRole.STAFF, permissions=[Permission.SETTINGS_WRITE]
        )
        token = (await shop.sessions.start(proof=Proof(user_id=staff.id))).access_token
        app: Any = create_app(room, Settings())
        transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://any.test", headers=headers) as http:

            async def shown() -> dict[str, Any]:
                answer = await http.get("/v1/admin/schedule")
                assert answer.status_code == 200, answer.text
                (job,) = answer.json()
                return dict(job)

            assert (await http.get("/v1/admin/schedule")).json() == []
            await Worker(db, schedule=[job_of(seven)]).run_once()
            first = await shown()
            assert (first["name"], first["every_s"], first["runs"]) == (JOB, 90, 1)
            assert (first["last_rows"], first["last_error"], first["failures"]) == (7, None, 0)
            assert first["running"] is False
            started, ended, due = (instant(first[name]) for name in ("last_started_at", "last_ended_at", "due_at"))
            assert started <= ended == instant(first["last_success_at"])
            assert started < due  # which may have come since
            await Worker(db, schedule=[job_of(failing)]).run_once()
            second = await shown()
            assert (second["last_error"], second["failures"], second["runs"]) == ("ZeroDivisionError", 1, 2)
            assert instant(second["last_success_at"]) == ended < instant(second["last_ended_at"])
            await Worker(db, schedule=[job_of(seven)]).run_once()
            assert (await shown())["last_rows"] == 7
            await room.tenants.create("another", name="Another", currency="USD")
            assert (await shown())["last_rows"] is None


instant = datetime.fromisoformat


def job_of(run: Any) -> Job:
    return Job(name=JOB, every=timedelta(seconds=90), run=run, limit=10)
