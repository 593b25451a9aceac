"""Commands about what calls a shop besides people: the keys of programs."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import msgspec
import typer

from storeroom.cli import connect
from storeroom.cli.options import DEFAULT_TENANT, Json, OfTenant
from storeroom.cli.terminal import say, show_json, show_table
from storeroom.settings import Settings

if TYPE_CHECKING:
    from storeroom.access import ApiKey

DAYS_MAX: Final = 3_650

keys = typer.Typer(help="Keys with which programs call a shop.", no_args_is_help=True)


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as warehouse.")],
    *,
    permission: Annotated[list[str], typer.Option(help="Any number of times; see `storeroom permissions`.")],
    days: Annotated[
        int | None, typer.Option(min=1, max=DAYS_MAX, help="It ends after so many; else when it is revoked.")
    ] = None,
    calls_per_minute: Annotated[int | None, typer.Option(min=1, help="Else STOREROOM_KEY_CALLS.")] = None,
    tenant: OfTenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    from storeroom.identity import Permission  # noqa: PLC0415

    try:
        allowed = [Permission(wanted) for wanted in permission]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; see `storeroom permissions`", param_hint="--permission") from None
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)

    async def work() -> "tuple[ApiKey, str]":
        async with connect.opened(Settings.from_environment()) as room:
            return await room.tenant(tenant).api_keys.create(
                name=name, permissions=allowed, calls_per_minute=calls_per_minute, expires_at=expires_at
            )

    made, text = connect.run(work)
    if as_json:
        show_json({**msgspec.structs.asdict(made), "key": text})
        return
    say(f"{made.name}, id {made.id}, may {', '.join(made.permissions)}")
    say(f"key (shown this once): {text}")


@keys.command("list")
def list_keys(
    limit: Annotated[int, typer.Option(min=1, max=100, help="Rows of a page.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Of the page before.")] = None,
    tenant: OfTenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """List the keys of a shop, newest first, the revoked ones too. No key is shown."""

    async def work() -> Any:
        async with connect.opened(Settings.from_environment()) as room:
            return await room.tenant(tenant).api_keys.list(cursor=cursor, limit=limit)

    page = connect.run(work)
    if as_json:
        show_json({"items": page.items, "next_cursor": page.next_cursor})
        return
    rows = [(k.id, k.name, f"…{k.hint}", " ".join(k.permissions), k.last_used_at, _standing(k)) for k in page.items]
    show_table(("id", "name", "key", "may", "last used", ""), rows, empty="no keys")
    if page.next_cursor is not None:
        say(f"more: --cursor {page.next_cursor}")


@keys.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="Its id, as `keys list` shows it.", metavar="ID")],
    tenant: OfTenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Let a key open nothing from the next call on; again is no error."""
    from storeroom.core.ids import ApiKeyId  # noqa: PLC0415

    try:
        key_id = ApiKeyId(UUID(key))
    except ValueError:
        raise typer.BadParameter("an id of `storeroom keys list`", param_hint="ID") from None

    async def work() -> "ApiKey":
        async with connect.opened(Settings.from_environment()) as room:
            return await room.tenant(tenant).api_keys.revoke(key_id=key_id)

    revoked = connect.run(work)
    if as_json:
        show_json(revoked)
    else:
        say(f"{revoked.name} is revoked")


def _standing(key: "ApiKey") -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "ended" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else ""
