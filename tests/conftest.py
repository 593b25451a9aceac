"""What every test may ask for: one PostgreSQL for the whole run, and the marks that say what a test proves."""

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

import mapped
from bouncer import bouncer  # noqa: F401  # a fixture for every test
from factories import LOOPBACK, SECRET, open_shop
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import migrate
from storeroom.database.pool import Database
from storeroom.room import Shop, Storeroom
from windows import one_window  # noqa: F401  # the same

RUN_FOLDER = "STOREROOM_TEST_RUN_FOLDER"  # made by the main process, inherited by the workers of pytest-xdist
TEMPLATE = "storeroom_template"
_numbers = itertools.count(1)
mapped.install()
# Random tests without a stopwatch: a busy machine is not a fault. A failure prints what reproduces it.
settings.register_profile("storeroom", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("storeroom")
SERVER_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked long as well")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="storeroom-tests-"))
        folder.chmod(0o755)  # as root the server runs as another user; pytest's own folders are 0700
        os.environ[RUN_FOLDER] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the run's folder when all workers are done, and the server that a killed worker may have left."""
    if hasattr(config, "workerinput") or RUN_FOLDER not in os.environ:
        return
    folder = Path(os.environ.pop(RUN_FOLDER))
    server = server_of_the_run(folder)
    if server.running():
        with server:
            pass
    shutil.rmtree(folder)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones are left out unless they are asked for; what is left out is not skipped."""
    if unlike := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"an address is in the name, which is another one in each worker: {unlike}")
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    items.sort(
        key=lambda item: "test_schemathesis" not in item.nodeid
    )  # minutes each: begun first, not waited for last
    stay = [item for item in items if mapped.reason_to_stay(item.nodeid)]
    if stay:
        items[:] = [item for item in items if item not in stay]
        config.hook.pytest_deselected(items=stay)


def pytest_report_header() -> list[str]:
    """Under which names the suite runs, and what stays out then."""
    if not mapped.environment():
        return []
    return [f"names: {mapped.NAMES}", *(f"not with mapped names: {where} {why}" for where, why in mapped.STAY.items())]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where STOREROOM_TEST_NO_SKIPS is set nothing may be missing: a test that was skipped fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("STOREROOM_TEST_NO_SKIPS") or reporter is None:
        return
    for report in reporter.stats.get("skipped", []):
        reporter.write_line(f"skipped, and nothing may be: {report.nodeid}: {report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def _requirements(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Write the ids of the proven requirements into junit.xml."""
    for mark in request.node.iter_markers("requirement"):
        for requirement in mark.args:
            record_property("requirement", requirement)


def binaries_of_the_run() -> Path | None:
    """STOREROOM_TEST_POSTGRES_BIN runs all tests on another PostgreSQL, such as /usr/lib/postgresql/15/bin."""
    named = os.environ.get("STOREROOM_TEST_POSTGRES_BIN")
    return Path(named) if named else None


def server_of_the_run(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "postgres", binaries=binaries_of_the_run(), settings=SERVER_SETTINGS)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The server of this run: each worker holds it, the last one stops it."""
    with server_of_the_run(Path(os.environ[RUN_FOLDER])) as server:
        yield server


@pytest.fixture(scope="session")
async def template_database(postgres: EmbeddedPostgres) -> str:
    """A migrated database that nobody connects to: made once in a run, whoever comes first."""
    async with administering(postgres) as admin:
        await admin.execute("SELECT pg_advisory_lock(1)")  # of the session; ends with it
        if not await admin.fetchval("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", TEMPLATE):
            await admin.execute(f"CREATE DATABASE {TEMPLATE}_raw")
            await migrate(postgres.dsn(f"{TEMPLATE}_raw"))
            await admin.execute(f"ALTER DATABASE {TEMPLATE}_raw RENAME TO {TEMPLATE}")
    return TEMPLATE


@pytest.fixture(scope="session")
async def dsn(postgres: EmbeddedPostgres, template_database: str) -> str:
    """The migrated database of this worker. Every test works there under a tenant of its own."""
    name = f"w_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    await clone(postgres, template_database, name)
    return postgres.dsn(name)


@pytest.fixture(scope="session")
async def database(dsn: str) -> AsyncIterator[Database]:
    """A handle on the worker's database, working as the service does: as storeroom_app."""
    async with await Database.open(dsn) as db:
        yield db


@pytest.fixture(scope="session")
async def room(database: Database) -> AsyncIterator[Storeroom]:
    """The installation of this worker; its checkouts go in groups."""
    room = Storeroom(database, secret=SECRET, private_destinations=LOOPBACK)
    async with room.courier:
        yield room


@pytest.fixture
async def shop(room: Storeroom) -> Shop:
    """A shop of a fresh tenant in USD, seen by its staff."""
    return await open_shop(room)


@pytest.fixture
async def fresh_database(
    postgres: EmbeddedPostgres, template_database: str
) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """`await fresh_database()` is the DSN of a migrated database of the test's own; `empty=True`: without a schema."""
    made: list[str] = []

    async def make(*, empty: bool = False) -> str:
        name = f"f_{os.getpid()}_{next(_numbers)}"
        made.append(name)
        await clone(postgres, "template1" if empty else template_database, name)
        return postgres.dsn(name)

    yield make
    async with administering(postgres) as admin:
        for name in made:
            with suppress(asyncpg.ObjectInUseError):  # a slow machine ends its connections later: it goes with the run
                await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def clone(postgres: EmbeddedPostgres, template: str, name: str) -> None:
    async with administering(postgres) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")


@asynccontextmanager
async def administering(postgres: EmbeddedPostgres) -> "AsyncIterator[asyncpg.Connection]":
    connection = await asyncpg.connect(postgres.dsn("postgres"), statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close()
