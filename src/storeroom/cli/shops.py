"""Commands about the shops of an installation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from storeroom.cli import connect
from storeroom.cli.options import Json, TenantArgument
from storeroom.cli.terminal import say, show_json, show_table
from storeroom.settings import Settings

if TYPE_CHECKING:
    from storeroom.tenants import Tenant

tenants = typer.Typer(help="Shops of this installation.", no_args_is_help=True)


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
        async with connect.opened(Settings.from_environment()) as room:
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
        async with connect.opened(Settings.from_environment()) as room:
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
        async with connect.opened(Settings.from_environment()) as room:
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
        async with connect.opened(Settings.from_environment()) as room:
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
