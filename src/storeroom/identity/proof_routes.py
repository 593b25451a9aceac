"""One-time tokens over HTTP: asking for a message, and answering it. No answer tells whether an address is known.

What depends on that is done once the answer is out, so that its time tells nothing either.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get, post, put
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.contact import EMAIL_LENGTH_MAX, InvalidEmail
from storeroom.core.errors import StoreroomError
from storeroom.identity.errors import (
    CommonPassword,
    InvalidPassword,
    InvalidPerson,
    OneTimeTokenRefused,
    PasswordsBusy,
    WrongPassword,
)
from storeroom.identity.mail_proofs import MailProofs
from storeroom.identity.model import (
    CLIENT_ID_LENGTH_MAX,
    CLIENT_IDS_MAX,
    PASSWORD_LENGTH_MAX,
    PASSWORD_LENGTH_MIN,
    AccountSettings,
)
from storeroom.identity.tokens import TOKEN_LENGTH_MAX
from storeroom.identity.wire import PresentPassword
from storeroom.web import (
    Limiter,
    Principal,
    RateLimited,
    SignInRequired,
    requires,
    requires_account,
    says,
)

MESSAGES_BY_EMAIL: Final = 5  # in WINDOW
MESSAGES_BY_ADDRESS: Final = 30
TOKENS_BY_ADDRESS: Final = 30
PASSWORDS_BY_ACCOUNT: Final = 10  # with those of other routes that ask for the present one
WINDOW: Final = timedelta(minutes=15)

ClientIds = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=CLIENT_ID_LENGTH_MAX)]], Meta(max_length=CLIENT_IDS_MAX)
]

_log: Final = logging.getLogger("storeroom.identity")


class MessageWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the message shall go."""

    email: Annotated[str, Meta(min_length=3, max_length=EMAIL_LENGTH_MAX, examples=["ada@example.com"])]


class MessageSent(msgspec.Struct, frozen=True, kw_only=True):
    """If the address is one of those that get a message, it is on its way."""

    status: str = "look into your mail"


class EmailChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The address that the account is to have, and its present password."""

    email: Annotated[str, Meta(min_length=3, max_length=EMAIL_LENGTH_MAX, examples=["ada@example.com"])]
    current_password: PresentPassword


class TokenFromMail(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the message said."""

    token: Annotated[str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX)]


class PasswordReset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the message said, and the password from now on."""

    token: Annotated[str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX)]
    new_password: Annotated[str, Meta(min_length=PASSWORD_LENGTH_MIN, max_length=PASSWORD_LENGTH_MAX)]


class EmailVerified(msgspec.Struct, frozen=True, kw_only=True):
    """The address is proven."""

    email: str


class AccountSettingsChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the shop lets people in from now on."""

    verify_email: bool
    google_client_ids: ClientIds = []
    apple_client_ids: ClientIds = []


def afterwards(work: Callable[..., Awaitable[None]], **facts: Any) -> BackgroundTask:
    """Done once the answer is out. What fails there is logged: whoever asked cannot be told, and may ask again."""

    async def run() -> None:
        try:
            await work(**facts)
        except (StoreroomError, OSError) as error:
            _log.warning("a message was not sent: %s", getattr(error, "code", type(error).__name__))

    return BackgroundTask(run)


async def _limit(limiter: Limiter, what: str, email: str) -> None:
    await limiter.by_address(what, times=MESSAGES_BY_ADDRESS, window=WINDOW)
    await limiter.by_email(what, email, times=MESSAGES_BY_EMAIL, window=WINDOW)


@post(
    "/v1/auth/send-verification",
    status_code=202,
    summary="Ask for the message that proves a mail address",
    tags=["auth"],
    responses=says(InvalidEmail, RateLimited),
)
async def send_verification(
    data: JSONBody[MessageWanted], mail_proofs: NamedDependency[MailProofs], limiter: NamedDependency[Limiter]
) -> Response[MessageSent]:
    """The same answer for every address. A new message makes the one before worthless."""
    await _limit(limiter, "send_verification", data.email)
    return Response(MessageSent(), background=afterwards(mail_proofs.send_verification, email=data.email))


@post(
    "/v1/auth/verify-email",
    status_code=200,
    summary="Prove a mail address",
    tags=["auth"],
    responses=says(OneTimeTokenRefused, RateLimited),
)
async def verify_email(
    data: JSONBody[TokenFromMail], mail_proofs: NamedDependency[MailProofs], limiter: NamedDependency[Limiter]
) -> EmailVerified:
    """With the token from the message; it works once. That of a new address makes it the account's."""
    await limiter.by_address("verify_email", times=TOKENS_BY_ADDRESS, window=WINDOW)
    user = await mail_proofs.verify_email(token=data.token)
    return EmailVerified(email=user.email)


@post(
    "/v1/auth/forgot-password",
    status_code=202,
    summary="Ask for the message that lets one set a new password",
    tags=["auth"],
    responses=says(InvalidEmail, RateLimited),
)
async def forgot_password(
    data: JSONBody[MessageWanted], mail_proofs: NamedDependency[MailProofs], limiter: NamedDependency[Limiter]
) -> Response[MessageSent]:
    """The same answer for every address. A new message makes the one before worthless."""
    await _limit(limiter, "forgot_password", data.email)
    return Response(MessageSent(), background=afterwards(mail_proofs.send_reset, email=data.email))


@post(
    "/v1/auth/reset-password",
    status_code=204,
    summary="Set a new password with the token from the message",
    tags=["auth"],
    responses=says(OneTimeTokenRefused, InvalidPassword, CommonPassword, RateLimited, PasswordsBusy),
)
async def reset_password(
    data: JSONBody[PasswordReset], mail_proofs: NamedDependency[MailProofs], limiter: NamedDependency[Limiter]
) -> None:
    """The token works once. All sessions of the account end, and the mail address counts as proven."""
    await limiter.by_address("reset_password", times=TOKENS_BY_ADDRESS, window=WINDOW)
    await mail_proofs.reset_password(token=data.token, new_password=data.new_password)


@put(
    "/v1/account/email",
    status_code=202,
    summary="Ask for another mail address",
    tags=["account"],
    guards=[requires_account],
    responses=says(SignInRequired, InvalidEmail, WrongPassword, RateLimited, PasswordsBusy),
)
async def change_email(
    data: JSONBody[EmailChange],
    account: NamedDependency[Principal],
    mail_proofs: NamedDependency[MailProofs],
    limiter: NamedDependency[Limiter],
) -> Response[MessageSent]:
    """The account has it once the token of the message that is sent there is given to `POST /v1/auth/verify-email`.

    The same answer for every address. Until then nothing changes, and then the old address hears of it.
    """
    if account.user_id is None:
        raise SignInRequired
    await limiter.by("password", str(account.user_id), times=PASSWORDS_BY_ACCOUNT, window=WINDOW)
    await limiter.by("change_email", str(account.user_id), times=MESSAGES_BY_EMAIL, window=WINDOW)
    await _limit(limiter, "change_email_to", data.email)
    known = await mail_proofs.prepare_change(
        user_id=account.user_id, email=data.email, current_password=data.current_password
    )
    finish = afterwards(mail_proofs.finish_change, user_id=account.user_id, email=known)
    return Response(MessageSent(), background=finish)


@get(
    "/v1/admin/account-settings",
    summary="How the shop lets people in",
    tags=["admin: accounts"],
    guards=[requires("settings.write")],
    responses=says(),
)
async def get_account_settings(mail_proofs: NamedDependency[MailProofs]) -> AccountSettings:
    """Whether mail addresses must be proven, and for whom Google and Apple vouch."""
    return await mail_proofs.settings()


@put(
    "/v1/admin/account-settings",
    summary="Change how the shop lets people in",
    tags=["admin: accounts"],
    guards=[requires("settings.write")],
    responses=says(InvalidPerson),
)
async def set_account_settings(
    data: JSONBody[AccountSettingsChange], mail_proofs: NamedDependency[MailProofs]
) -> AccountSettings:
    """All of it. Where `verify_email` is on, registering tells nobody whether an address is known."""
    return await mail_proofs.set_settings(settings=AccountSettings(**msgspec.structs.asdict(data)))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    send_verification,
    verify_email,
    forgot_password,
    reset_password,
    change_email,
    get_account_settings,
    set_account_settings,
)
