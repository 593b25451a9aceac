"""POST /v1/auth/sign-in: it takes the guest's cart along, so it belongs to no slice alone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.contact import EMAIL_LENGTH_MAX
from storeroom.core.secrets import token_hash
from storeroom.flows.sign_in import SignIn
from storeroom.identity import DEVICE_LENGTH_MAX, AccountBlocked, InvalidCredentials, PasswordsBusy
from storeroom.identity.routes import Tokens, tokens_of
from storeroom.web import Call, Limiter, RateLimited, says

SIGN_INS_BY_ACCOUNT: Final = 10  # in SIGN_IN_WINDOW, right and wrong ones
SIGN_INS_BY_ADDRESS: Final = 30
SIGN_IN_WINDOW: Final = timedelta(minutes=15)


class SignInWith(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mail address and password. The guest's token is the one that the request carries, as header or cookie."""

    email: Annotated[str, Meta(min_length=1, max_length=EMAIL_LENGTH_MAX, examples=["ada@example.com"])]
    password: Annotated[str, Meta(min_length=1, max_length=1000)]
    device: Annotated[str, Meta(max_length=DEVICE_LENGTH_MAX)] | None = None


@post(
    "/v1/auth/sign-in",
    status_code=200,
    summary="Sign in with mail address and password",
    tags=["auth"],
    responses=says(InvalidCredentials, AccountBlocked, RateLimited, PasswordsBusy),
)
async def sign_in_with_password(
    data: JSONBody[SignInWith],
    call: NamedDependency[Call],
    limiter: NamedDependency[Limiter],
    sign_in: NamedDependency[SignIn],
) -> Tokens:
    """A guest's cart becomes the account's, or is merged into it; the guest's token ends. No answer is kept."""
    await limiter.by_address("sign_in", times=SIGN_INS_BY_ADDRESS, window=SIGN_IN_WINDOW)
    # The bucket is a hash: the counters' table is no list of mail addresses.
    account = token_hash(data.email.strip().lower())[:32]
    await limiter.by("sign_in_account", account, times=SIGN_INS_BY_ACCOUNT, window=SIGN_IN_WINDOW)
    signed_in = await sign_in.with_password(
        email=data.email, password=data.password, guest_token=await call.guest_token(), device=data.device
    )
    if signed_in.was_guest:
        call.drop_guest_cookie()
    return tokens_of(signed_in)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (sign_in_with_password,)
