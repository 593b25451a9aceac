"""Commands about what is kept apart from the rows of trade: the secret of the installation, and settings of a shop."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer

from storeroom.cli import connect
from storeroom.cli.options import DEFAULT_TENANT, Json, OfTenant
from storeroom.cli.terminal import say, show_json, show_table, warn
from storeroom.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storeroom.configuration import Config
    from storeroom.flows.secrets import KeyUse, Rotation

VALUE_BYTES_MAX: Final = 40_000  # read from the standard input

keys = typer.Typer(help="The secret that signs and seals, and its replacement.", no_args_is_help=True)
configs = typer.Typer(help="Settings of a shop that staff change while it runs.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="As in general.support_email.", metavar="KEY")]


@keys.command("status")
def status(as_json: Json = False) -> None:
    """Tell how many rows each key has sealed. Leaves with 1 where some are of a secret that is not given."""

    async def work() -> "list[KeyUse]":
        from storeroom.flows.secrets import uses  # noqa: PLC0415

        async with connect.opened(Settings.from_environment()) as room:
            return await uses(room.db, room.token_keys)

    found = connect.run(work)
    if as_json:
        show_json(found)
    else:
        rows = [(use.what, use.key_id, use.standing, use.rows) for use in found]
        show_table(("what", "key", "", "rows"), rows, empty="nothing is sealed")
    if any(use.standing == "unknown" for use in found):
        warn("a key is unknown: give the secret it was made from as STOREROOM_SECRET_PREVIOUS")
        raise typer.Exit(1)


@keys.command("rotate")
def rotate(as_json: Json = False) -> None:
    """Seal with the current secret what another one has sealed. Shops go on; killed, it is simply run again."""

    async def work() -> "list[Rotation]":
        from storeroom.flows.secrets import rotate as reseal  # noqa: PLC0415

        async with connect.opened(Settings.from_environment(), require_secret=True) as room:
            return await reseal(room.db, room.token_keys)

    done = connect.run(work)
    if as_json:
        show_json(done)
    else:
        rows = [(each.what, each.resealed, each.unreadable) for each in done]
        show_table(("what", "sealed again", "unreadable"), rows, empty="nothing is sealed")
    if any(each.unreadable for each in done):
        warn("rows that no key opens are as they were; `storeroom doctor` names them")
        raise typer.Exit(1)


@configs.command("get")
def get_config(
    key: Key,
    tenant: OfTenant = DEFAULT_TENANT,
    reveal: Annotated[bool, typer.Option("--reveal", help="Print a secret as well.")] = False,
    as_json: Json = False,
) -> None:
    """Print what a key means; nothing of a secret, unless it is asked for."""

    async def work() -> "tuple[Config, str | None]":
        async with connect.opened(Settings.from_environment()) as room:
            configuration = room.tenant(tenant).configuration
            config = await configuration.entry(key=key)
            return config, await configuration.get(key=key) if reveal else config.value

    config, value = connect.run(work)
    if as_json:
        show_json({**msgspec.structs.asdict(config), "value": value})
    elif value is not None:
        say(value)
    else:
        warn(f"{key} is {'a secret: --reveal prints it' if config.is_encrypted else 'not set'}")
        raise typer.Exit(1)


@configs.command("set")
def set_config(
    key: Key,
    value: Annotated[str, typer.Argument(help="`-` reads it from the standard input, where no history keeps it.")],
    tenant: OfTenant = DEFAULT_TENANT,
    *,
    group: Annotated[str | None, typer.Option(help="general, marketing, payment, or another.")] = None,
    secret: Annotated[bool | None, typer.Option("--secret/--plain", help="Seal it; else as it was.")] = None,
    as_json: Json = False,
) -> None:
    """Set a key. Every process reads the new value from now on."""
    given = sys.stdin.read(VALUE_BYTES_MAX).rstrip("\r\n") if value == "-" else value

    async def work() -> "Config":
        async with connect.opened(Settings.from_environment()) as room:
            configuration = room.tenant(tenant).configuration
            return await configuration.set(key=key, value=given, group=group, is_encrypted=secret)

    _show([connect.run(work)], as_json=as_json)


@configs.command("list")
def list_configs(
    tenant: OfTenant = DEFAULT_TENANT,
    group: Annotated[str | None, typer.Option(help="Of this group alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Rows of a page.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """List what is set, by key; nothing of secrets."""

    async def work() -> Any:
        async with connect.opened(Settings.from_environment()) as room:
            return await room.tenant(tenant).configuration.list(group=group, cursor=cursor, limit=limit)

    page = connect.run(work)
    if as_json:
        show_json({"items": page.items, "next_cursor": page.next_cursor})
        return
    _show(page.items, as_json=False)
    if page.next_cursor is not None:
        say(f"more: --cursor {page.next_cursor}")


def _show(configs: "Sequence[Config]", *, as_json: bool) -> None:
    if as_json:
        show_json(configs[0])
        return
    rows = [
        (config.key, config.group_name, "(secret)" if config.is_encrypted else config.value, config.source)
        for config in configs
    ]
    show_table(("key", "group", "value", "from"), rows, empty="nothing is set")
