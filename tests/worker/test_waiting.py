"""`storeroom worker`, started before its database."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from storeroom.cli.app import _when_it_answers
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.errors import DatabaseUnavailable
from storeroom.settings import Settings

DEADLINE_S = 60.0


@pytest.fixture
async def nowhere_yet(fresh_database: Callable[..., Awaitable[str]], tmp_path: Path) -> tuple[Settings, Path]:
    """A database whose folder of the socket is not there, and which it has to be."""
    name = (await fresh_database()).partition("?")[0]
    return Settings(database_url=f"{name}?host={tmp_path / 'run'}"), tmp_path / "run"


async def test_a_worker_waits_for_its_database(
    nowhere_yet: tuple[Settings, Path], postgres: EmbeddedPostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, run_dir = nowhere_yet
    async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE_S):
        waiting = asyncio.create_task(_when_it_answers(stack, settings, asyncio.Event(), once=False))
        told = ""
        while "waiting for the database" not in told:
            await asyncio.sleep(0.01)
            told += capsys.readouterr().err
        run_dir.symlink_to(postgres.run_dir)
        room = await waiting
        assert room is not None
        assert await room.db.fetchval("SELECT 1") == 1


async def test_it_ends_when_it_is_told_to_while_it_waits(nowhere_yet: tuple[Settings, Path]) -> None:
    settings, _ = nowhere_yet
    stop = asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.timeout(DEADLINE_S):
        waiting = asyncio.create_task(_when_it_answers(stack, settings, stop, once=False))
        asyncio.get_running_loop().call_later(0.1, stop.set)
        assert await waiting is None


async def test_once_is_now_or_never(nowhere_yet: tuple[Settings, Path]) -> None:
    settings, _ = nowhere_yet
    async with AsyncExitStack() as stack:
        with pytest.raises(DatabaseUnavailable):
            await _when_it_answers(stack, msgspec.structs.replace(settings, pool_size=1), asyncio.Event(), once=True)
