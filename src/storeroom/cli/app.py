"""Every command: reads its options, calls one thing, shows what came of it. Those of a topic are in its file.

What a command needs is imported in it, so that `--help` and a refusal come at once.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from storeroom import __version__
from storeroom.cli import connect, filling, keeping, people, programs, shops
from storeroom.cli.options import Json
from storeroom.cli.terminal import say, show_json, show_table, warn
from storeroom.settings import Settings

if TYPE_CHECKING:
    from storeroom.doctor import Result
    from storeroom.room import Storeroom

WAIT_S: Final = 1.0  # between two tries to reach a database

app = typer.Typer(
    help="The room behind every shop. Settings come from the environment: STOREROOM_DATA_DIR and its like.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
databases = typer.Typer(help="The database as a whole.", no_args_is_help=True)
app.add_typer(shops.tenants, name="tenant")
app.add_typer(people.users, name="user")
app.add_typer(filling.imports, name="import")
app.add_typer(databases, name="db")
app.add_typer(keeping.keys, name="secrets")
app.add_typer(programs.keys, name="keys")
app.add_typer(keeping.configs, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        say(__version__)
        raise typer.Exit


@app.callback()
def common(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the release and leave.")
    ] = False,
) -> None:
    """Common to all commands."""


# --- Running ----------------------------------------------------------------------------------------------------------


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen; else STOREROOM_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Else STOREROOM_PORT.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Plant a demonstration shop in an empty database.")] = False,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run the worker in this process.")] = True,
) -> None:
    """Serve the HTTP API. With a worker and, unless a server is configured, an embedded PostgreSQL; until SIGTERM."""
    settings = _settings()
    settings = msgspec.structs.replace(
        settings,
        host=settings.host if host is None else host,
        port=settings.port if port is None else port,
        worker=settings.worker and worker,
    )
    if demo:
        filling.refuse_made_up(settings, "development")
    from storeroom.core.loading import lasting  # noqa: PLC0415

    with lasting():
        from storeroom.server import run  # noqa: PLC0415

    async def prepare(room: "Storeroom") -> None:
        await _demonstrate(room, settings)

    run(settings, prepare=prepare if demo else None)


async def _demonstrate(room: "Storeroom", settings: Settings) -> None:
    from storeroom.seeding import demonstrate  # noqa: PLC0415

    shop = await demonstrate(room)
    url = f"http://{settings.host}:{settings.port}"
    lines = [f"Storeroom {__version__}", f"  shop        {url}/", f"  API         {url}/docs/api"]
    if shop.password is not None:
        lines += [f"  admin       {shop.admin_email}", f"  password    {shop.password}   (shown this once)"]
    if shop.planted:
        lines += [f"  a customer  {shop.customer_email}, the same password"]
    lines += [f"  data        {settings.data_dir.resolve()}" if settings.database_url is None else ""]
    say("\n".join(["", *(line for line in lines if line), ""]))
    sys.stdout.flush()


@app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="Run every job once, until nothing more is due.")] = False,
    as_json: Json = False,
) -> None:
    """Run the worker alone. It expires payments, reservations and carts, cancels unpaid orders, sends webhooks."""
    from storeroom.server.logs import configure_logs  # noqa: PLC0415
    from storeroom.worker import Outcome, work, work_once  # noqa: PLC0415

    configure_logs()

    settings = _settings()

    async def run() -> list[Outcome]:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            room = await _when_it_answers(stack, settings, stop, once=once)
            if room is None:
                return []
            if once:
                return await work_once(room, stop, settings=settings)
            warn("working")
            await work(room, stop, settings=settings)
            return []

    outcomes = connect.run(run)
    if once and as_json:
        show_json(outcomes)
    elif once:
        show_table(
            ("job", "rows", "error"),
            [(o.job, o.rows, "left to another worker" if o.elsewhere else o.error) for o in outcomes],
            empty="no jobs",
        )
    if any(outcome.error for outcome in outcomes):
        raise typer.Exit(1)


@app.command("schedule")
def show_schedule(as_json: Json = False) -> None:
    """List the jobs of the worker: when each is due, and what came of its last run."""
    from storeroom.timetable import scheduled_jobs  # noqa: PLC0415

    async def work() -> Any:
        async with connect.opened(_settings()) as room:
            return await scheduled_jobs(room.db)

    jobs = connect.run(work)
    if as_json:
        facts = [msgspec.structs.asdict(job) for job in jobs]
        show_json([{**fact, "every_s": fact.pop("every").total_seconds()} for fact in facts])
        return
    rows = [
        (
            job.name,
            f"{job.every.total_seconds():g} s",
            "running" if job.running else job.due_at,
            job.last_started_at,
            None if job.last_duration_ms is None else f"{job.last_duration_ms / 1000:.3f} s",
            job.last_rows,
            job.last_error if job.failures < 2 else f"{job.last_error} ({job.failures} in a row)",
        )
        for job in jobs
    ]
    heads = ("job", "every", "due", "last begun", "took", "rows", "error")
    show_table(heads, rows, empty="nothing: no worker has run here yet")


async def _when_it_answers(
    stack: contextlib.AsyncExitStack, settings: Settings, stop: asyncio.Event, *, once: bool
) -> "Storeroom | None":
    """The room, for a worker that may have been started before its database; None where it was stopped before."""
    from storeroom.core.errors import Unavailable  # noqa: PLC0415

    told = False
    while not stop.is_set():
        try:
            return await stack.enter_async_context(connect.opened(settings, require_secret=True))
        except Unavailable as error:
            if once:
                raise
            if not told:
                warn(f"waiting for the database: {error} [{error.code}]")
            told = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WAIT_S)
    return None


# --- The database -----------------------------------------------------------------------------------------------------


@app.command()
def migrate(
    target: Annotated[int | None, typer.Option(help="Stop after this migration.", min=1)] = None,
    as_json: Json = False,
) -> None:
    """Bring the schema to this release. In order, one run at a time; an embedded database is made where none is."""
    from storeroom.database.migrations import migrate as run_migrations  # noqa: PLC0415

    settings = _settings()

    async def work() -> Any:
        async with connect.database(settings, make=True) as dsn:
            return await run_migrations(connect.direct(settings, dsn), names=settings.names, target=target)

    applied = connect.run(work)
    if as_json:
        show_json(applied)
        return
    rows = [(step.kind, step.name, f"{step.duration.total_seconds():.2f} s") for step in applied]
    show_table(("kind", "name", "took"), rows, empty="nothing to do: the schema is that of this release")


@app.command()
def status(as_json: Json = False) -> None:
    """Compare the schema with this release. Leaves with 1 where they differ."""
    from storeroom.database.migrations import status as compare  # noqa: PLC0415

    settings = _settings()

    async def work() -> Any:
        async with connect.database(settings) as dsn:
            return await compare(connect.direct(settings, dsn), names=settings.names)

    found = connect.run(work)
    if as_json:
        show_json({"up_to_date": found.up_to_date, **msgspec.structs.asdict(found)})
    else:
        say(f"schema    {found.database} of {found.newest}: {'up to date' if found.up_to_date else 'not up to date'}")
        for name in found.pending:
            say(f"pending   {name}")
        for name in found.edited:
            say(f"edited    {name}: its text is not the one that ran here")
    if not found.up_to_date:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check what must always hold. On the live database; leaves with 1 where something is broken."""
    from storeroom.cli.examination import examination  # noqa: PLC0415

    results = connect.run(lambda: examination(_settings()))
    if as_json:
        show_json([{"broken": result.broken, **msgspec.structs.asdict(result)} for result in results])
    else:
        _show_results(results)
    if any(result.broken for result in results):
        raise typer.Exit(1)


def _show_results(results: "Sequence[Result]") -> None:
    rows = [(_verdict(result), result.name, result.count, result.says) for result in results]
    show_table(("", "check", "found", "what must hold"), rows, empty="nothing was checked")
    for result in results:
        for finding in result.findings:
            shop = f"{finding.tenant_id}: " if finding.tenant_id else ""
            say(f"{result.name}: {shop}{finding.subject}: {finding.detail}")
    broken = sum(result.broken for result in results)
    say(f"{len(results)} checks, {broken} broken")


def _verdict(result: "Result") -> str:
    if result.broken:
        return "BROKEN"
    return "note" if result.count else "ok"


@databases.command("url")
def url(as_json: Json = False) -> None:
    """Print the address of the database, for programs. That of the embedded server holds while something runs on it."""
    settings = _settings()

    async def work() -> str:
        async with connect.database(settings) as dsn:
            return dsn

    address = connect.run(work)
    if as_json:
        show_json({"url": address})
    else:
        say(address)


@databases.command("distribute")
def distribute(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the statements and run none.")] = False,
    as_json: Json = False,
) -> None:
    """Spread the schema over a Citus cluster. By tenant; says so where Citus is not installed."""
    from storeroom.database import distribution  # noqa: PLC0415

    settings = _settings()

    async def work() -> list[str]:
        async with connect.connection(settings) as connection:
            if dry_run:
                return (await distribution.plan(connection, names=settings.names)).statements()
            return await distribution.distribute(connection, names=settings.names)

    statements = connect.run(work)
    if as_json:
        show_json(statements)
    else:
        say("\n".join(statements) or "nothing to do: all of it is distributed")


# --- What is in it ----------------------------------------------------------------------------------------------------

app.command()(filling.seed)
app.command()(people.permissions)


def _settings() -> Settings:
    return Settings.from_environment()
