"""Commands about the accounts of a shop, and what staff may be allowed to do."""

import os
import sys
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from storeroom.cli import connect
from storeroom.cli.options import DEFAULT_TENANT, Json, OfTenant
from storeroom.cli.terminal import say, show_json
from storeroom.core.ids import UserId
from storeroom.settings import Settings

PASSWORD_VARIABLE: Final = "STOREROOM_PASSWORD"  # noqa: S105  # the name of a variable
PASSWORD_LINE_MAX: Final = 1_000

users = typer.Typer(help="Accounts of a shop.", no_args_is_help=True)


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
        async with connect.opened(Settings.from_environment()) as room:
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
        async with connect.opened(Settings.from_environment()) as room:
            shop = room.tenant(tenant)
            user = await shop.users.by_email(email=email)
            await shop.second_factors.reset(user_id=user.id)
            return user.email

    reset = connect.run(work)
    if as_json:
        show_json({"email": reset})
        return
    say(f"{reset} signs in with a password alone, until a second factor is set up again")


@users.command("erase")
def erase(
    account: Annotated[str, typer.Argument(help="Its mail address or its id; a deleted account has only an id.")],
    reason: Annotated[str, typer.Option(help="For the audit trail, without a word of who it was.")],
    tenant: OfTenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Forget who the owner of an account was. It cannot be taken back; orders stay as the law wants them."""

    async def work() -> Any:
        async with connect.opened(Settings.from_environment()) as room:
            shop = room.tenant(tenant)
            try:
                user_id = UserId(UUID(account))
            except ValueError:
                user_id = (await shop.users.by_email(email=account)).id
            return await shop.erasures.erase(user_id=user_id, reason=reason)

    erased = connect.run(work)
    if as_json:
        show_json({"user_id": erased.user_id, "orders": erased.orders})
        return
    say(f"{erased.user_id} is nobody any more; {erased.orders} orders stay")


def _one_of(enum: Any, text: str, option: str) -> Any:
    try:
        return enum(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(enum)}", param_hint=option) from None
