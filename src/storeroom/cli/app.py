"""Every command: reads its options, calls one thing, shows what came of it.

What a command needs is imported in it, so that `--help` and a refusal come at once.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from storeroom import __version__
from storeroom.cli import connect, keeping, programs
from storeroom.cli.terminal import say, show_json, show_table, warn
from storeroom.settings import Mode, Settings

if TYPE_CHECKING:
    from storeroom.catalog import ImportProgress, ImportReport
    from storeroom.doctor import Result
    from storeroom.room import Storeroom
    from storeroom.tenants import Tenant

PASSWORD_VARIABLE: Final = "STOREROOM_PASSWORD"  # noqa: S105  # the name of a variable
PASSWORD_LINE_MAX: Final = 1_000
DEFAULT_TENANT: Final = "default"
WAIT_S: Final = 1.0  # between two tries to reach a database

app = typer.Typer(
    help="The room behind every shop. Settings come from the environment: STOREROOM_DATA_DIR and its like.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
tenants = typer.Typer(help="Shops of this installation.", no_args_is_help=True)
users = typer.Typer(help="Accounts of a shop.", no_args_is_help=True)
imports = typer.Typer(help="Bring in what another system has exported.", no_args_is_help=True)
databases = typer.Typer(help="The database as a whole.", no_args_is_help=True)
app.add_typer(tenants, name="tenant")
app.add_typer(users, name="user")
app.add_typer(imports, name="import")
app.add_typer(databases, name="db")
app.add_typer(keeping.keys, name="secrets")
app.add_typer(programs.keys, name="keys")
app.add_typer(keeping.configs, name="config")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
OfTenant = Annotated[str, typer.Option("--tenant", envvar="STOREROOM_TENANT", help="Which shop.")]
TenantArgument = Annotated[str, typer.Argument(help="The id of the shop.", metavar="ID")]


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
        _refuse_made_up(settings, "development")
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


@app.command()
def seed(
    environment: Annotated[
        str | None, typer.Argument(help="base, development, staging or production.", metavar="ENVIRONMENT")
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", exists=True, dir_okay=False, help="Plant one file instead.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Other seeds than those of storeroom.")
    ] = None,
    tenant: OfTenant = DEFAULT_TENANT,
    currency: Annotated[str, typer.Option(help="Of a shop that has to be made.")] = "USD",
    again: Annotated[bool, typer.Option("--again", help="Plant files too that did not change since.")] = False,
    as_json: Json = False,
) -> None:
    """Plant the seeds of an environment. Or one file; doing it again doubles nothing."""
    if (environment is None) == (file is None):
        raise typer.BadParameter("name an environment or a --file, one of the two", param_hint="ENVIRONMENT")
    from storeroom.seeding import Planted, environment_of, plant, plant_file  # noqa: PLC0415

    settings = _settings()
    wanted = environment_of(environment) if environment is not None else None
    if wanted is not None:
        _refuse_made_up(settings, wanted)

    async def work() -> list[Planted]:
        async with connect.opened(settings, make=True) as room:
            if wanted is None:
                return await plant_file(room, file or Path(), tenant_id=tenant, variables=os.environ, again=again)
            return await plant(
                room,
                wanted,
                tenant_id=tenant,
                variables=os.environ,
                folder=folder,
                currency=currency,
                again=again,
            )

    planted = connect.run(work)
    if as_json:
        show_json(planted)
        return
    rows = [(p.sequence, p.file, p.table, p.rows, "unchanged" if p.unchanged else "planted") for p in planted]
    show_table(("", "file", "table", "rows", ""), rows, empty="nothing to plant")


def _refuse_made_up(settings: Settings, environment: str) -> None:
    """Test data never go into a production database, also not into one that was seeded by hand."""
    if settings.mode is Mode.PRODUCTION and environment == "development":
        from storeroom.seeding import EnvironmentRefused  # noqa: PLC0415

        raise EnvironmentRefused(environment=environment, reason="STOREROOM_MODE is production")


@imports.command("shopify")
def import_shopify(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A product export, CSV in UTF-8.")
    ],
    tenant: OfTenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Import a product CSV of Shopify. Again updates; bad rows are told by line, and then it leaves with 1."""
    from storeroom.catalog import import_products  # noqa: PLC0415
    from storeroom.cli.progress import progress_bar  # noqa: PLC0415

    async def work() -> "ImportReport":
        async with connect.opened(_settings()) as room:
            with progress_bar(f"importing {file.name}", hidden=as_json) as step:

                def on_progress(progress: "ImportProgress") -> None:
                    step(progress.bytes_read, progress.bytes_total, f"{progress.rows:,} rows")

                return await import_products(room.tenant(tenant).products, file, on_progress=on_progress)

    report = connect.run(work)
    if as_json:
        show_json(report)
    else:
        for error in report.errors:
            warn(f"{file.name}:{error.line}: {error.handle or '(no handle)'}: {error.column}: {error.reason}")
        if report.errors_count > len(report.errors):
            warn(f"… and {report.errors_count - len(report.errors)} more")
        say(
            f"{report.rows:,} rows: {report.products_created:,} products made, {report.products_updated:,} updated, "
            f"{report.variants_created:,} variants made, {report.variants_updated:,} updated, "
            f"{report.images:,} images, {report.errors_count:,} errors"
        )
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def permissions(as_json: Json = False) -> None:
    """List what staff may be allowed to do."""
    from storeroom.identity import Permission  # noqa: PLC0415

    if as_json:
        show_json(list(Permission))
    else:
        say("\n".join(Permission))


@users.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="The mail address to sign in with.")],
    *,
    role: Annotated[str, typer.Option(help="customer, wholesale, staff, admin or super_admin.")] = "customer",
    name: Annotated[str | None, typer.Option(help="The full name.")] = None,
    phone: Annotated[str | None, typer.Option(help="With + and a country code, or as in the shop's country.")] = None,
    permission: Annotated[
        list[str] | None, typer.Option(help="For role staff, any number of times; see `storeroom permissions`.")
    ] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask for the password.")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    tenant: OfTenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Make an account. Where no password is given (STOREROOM_PASSWORD, or an option), one is made and shown once."""
    from storeroom.core.ids import human_code  # noqa: PLC0415
    from storeroom.identity import Permission, User, UserRole, UserStatus  # noqa: PLC0415

    chosen = _one_of(UserRole, role, "--role")
    allowed = [_one_of(Permission, wanted, "--permission") for wanted in permission or ()]
    given = os.environ.get(PASSWORD_VARIABLE)
    if ask:
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    elif password_stdin:
        given = sys.stdin.readline(PASSWORD_LINE_MAX).rstrip("\r\n")
    password = human_code(20, 5) if given is None else given

    async def work() -> User:
        async with connect.opened(_settings()) as room:
            return await room.tenant(tenant).users.create(
                email=email,
                role=chosen,
                password=password,
                full_name=name,
                phone=phone,
                permissions=allowed,
                status=UserStatus.ACTIVE,
            )

    user = connect.run(work)
    shown = password if given is None else None
    if as_json:
        show_json({"id": user.id, "email": user.email, "role": user.role, "password": shown})
        return
    say(f"{user.email} is {user.role}, id {user.id}")
    if shown is not None:
        say(f"password (shown this once): {shown}")


@users.command("reset-second-factor")
def reset_second_factor(
    email: Annotated[str, typer.Argument(help="Of the account.")],
    tenant: OfTenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Let somebody who lost their authenticator app and their recovery codes sign in again; their sessions end."""

    async def work() -> str:
        async with connect.opened(_settings()) as room:
            shop = room.tenant(tenant)
            user = await shop.users.by_email(email=email)
            await shop.second_factors.reset(user_id=user.id)
            return user.email

    reset = connect.run(work)
    if as_json:
        show_json({"email": reset})
        return
    say(f"{reset} signs in with a password alone, until a second factor is set up again")


def _one_of(enum: Any, text: str, option: str) -> Any:
    try:
        return enum(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(enum)}", param_hint=option) from None


# --- Shops ------------------------------------------------------------------------------------------------------------


@tenants.command("create")
def create_tenant(
    tenant: TenantArgument,
    *,
    name: Annotated[str, typer.Option(help="What people call it.")],
    currency: Annotated[str, typer.Option(help="ISO 4217, of all its prices; it cannot be changed later.")],
    time_zone: Annotated[str, typer.Option(help="IANA name, of its business days.")] = "UTC",
    country: Annotated[str, typer.Option(help="ISO 3166-1; national phone numbers are read as of here.")] = "US",
    host: Annotated[list[str] | None, typer.Option(help="A host name that leads here; any number of times.")] = None,
    as_json: Json = False,
) -> None:
    """Open a shop."""

    async def work() -> "tuple[Tenant, Sequence[str]]":
        async with connect.opened(_settings()) as room:
            made = await room.tenants.create(
                tenant, name=name, currency=currency, time_zone=time_zone, country_code=country
            )
            for one in host or ():
                await room.tenants.add_host(tenant, one)
            return made, await room.tenants.hosts(tenant)

    _show_tenant(*connect.run(work), as_json=as_json)


@tenants.command("list")
def list_tenants(
    limit: Annotated[int, typer.Option(min=1, max=100, help="Rows of a page.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """List the shops, by id."""

    async def work() -> Any:
        async with connect.opened(_settings()) as room:
            return await room.tenants.list(cursor=cursor, limit=limit)

    page = connect.run(work)
    if as_json:
        show_json({"items": page.items, "next_cursor": page.next_cursor})
        return
    rows = [(t.tenant_id, t.name, t.status, t.currency, t.time_zone) for t in page.items]
    show_table(("id", "name", "status", "currency", "time zone"), rows, empty="no shops")
    if page.next_cursor is not None:
        say(f"more: --cursor {page.next_cursor}")


@tenants.command("show")
def show_tenant(tenant: TenantArgument, as_json: Json = False) -> None:
    """Show a shop's settings and hosts."""
    _change_tenant(tenant, "get", as_json=as_json)


@tenants.command("suspend")
def suspend_tenant(tenant: TenantArgument, as_json: Json = False) -> None:
    """Stop a shop: within seconds every process refuses to work in its name."""
    _change_tenant(tenant, "suspend", as_json=as_json)


@tenants.command("resume")
def resume_tenant(tenant: TenantArgument, as_json: Json = False) -> None:
    """Let a suspended shop work again."""
    _change_tenant(tenant, "resume", as_json=as_json)


@tenants.command("require")
def require_of_tenant(
    tenant: TenantArgument,
    staff_second_factor: Annotated[
        bool | None, typer.Option(help="Staff sign in with a second factor, from their next sign-in on.")
    ] = None,
    lookup_code: Annotated[
        bool | None, typer.Option(help="Who looks up an order says a code that was sent to its phone.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a shop asks of people beside a password or a number."""
    given = {"staff_second_factor_required": staff_second_factor, "lookup_code_required": lookup_code}

    async def work() -> "tuple[Tenant, Sequence[str]]":
        async with connect.opened(_settings()) as room:
            changes = {name: wanted for name, wanted in given.items() if wanted is not None}
            return await room.tenants.update(tenant, **changes), await room.tenants.hosts(tenant)

    _show_tenant(*connect.run(work), as_json=as_json)


@tenants.command("add-host")
def add_host(
    tenant: TenantArgument,
    host: Annotated[str, typer.Argument(help="The host name, such as shop.example.com.")],
    as_json: Json = False,
) -> None:
    """Let a host name lead to a shop."""
    _change_tenant(tenant, "get", host=host, as_json=as_json)


def _change_tenant(tenant: str, verb: str, *, as_json: bool, host: str | None = None) -> None:
    async def work() -> "tuple[Tenant, Sequence[str]]":
        async with connect.opened(_settings()) as room:
            if host is not None:
                await room.tenants.add_host(tenant, host)
            return await getattr(room.tenants, verb)(tenant), await room.tenants.hosts(tenant)

    _show_tenant(*connect.run(work), as_json=as_json)


def _show_tenant(tenant: "Tenant", hosts: "Sequence[str]", *, as_json: bool) -> None:
    fields = {**msgspec.structs.asdict(tenant), "hosts": list(hosts)}
    if as_json:
        show_json(fields)
        return
    shown = fields | {"hosts": ", ".join(hosts) or "none"}
    show_table(("setting", "value"), [(name.replace("_", " "), value) for name, value in shown.items()], empty="")


def _settings() -> Settings:
    return Settings.from_environment()
