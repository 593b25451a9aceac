"""POST /v1/auth/sign-in/provider: Google and Apple vouch for whoever signs in."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.flows.sign_in import SignIn
from storeroom.identity import (
    DEVICE_LENGTH_MAX,
    AccountBlocked,
    Attribution,
    AuthProvider,
    IdTokenRefused,
    LinkRefused,
    ProviderNotOffered,
    ProviderProofs,
    ProviderUnavailable,
)
from storeroom.identity.wire import Tokens, tokens_of
from storeroom.web import Call, Limiter, RateLimited, says, without_key

WRONG_BY_ADDRESS: Final = 30  # in WINDOW, with those by password
NONCES_BY_ADDRESS: Final = 300
WINDOW: Final = timedelta(minutes=15)

Token = Annotated[str, Meta(min_length=1, max_length=4096)]
Utm = Annotated[str, Meta(max_length=2000)]


class Nonce(msgspec.Struct, frozen=True, kw_only=True):
    """Give it to the provider with the request for an ID token."""

    nonce: str
    expires_at: datetime


class SignInByProvider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An ID token with our nonce in it. The guest's token is the one that the request carries, as header or cookie."""

    provider: Literal["google", "apple"]
    id_token: Token
    nonce: Annotated[str, Meta(min_length=1, max_length=200)]
    device: Annotated[str, Meta(max_length=DEVICE_LENGTH_MAX)] | None = None
    utm_source: Utm | None = None
    utm_medium: Utm | None = None
    utm_campaign: Utm | None = None
    utm_term: Utm | None = None
    utm_content: Utm | None = None
    referrer_url: Utm | None = None
    landing_page: Utm | None = None


@post(
    "/v1/auth/nonce",
    summary="Begin to sign in with Google or Apple",
    tags=["auth"],
    opt=without_key("it answers with what is good once; a second one does no harm"),
    responses=says(RateLimited),
)
async def sign_in_nonce(provider_proofs: NamedDependency[ProviderProofs], limiter: NamedDependency[Limiter]) -> Nonce:
    """It works once, for ten minutes."""
    await limiter.by_address("nonce", times=NONCES_BY_ADDRESS, window=WINDOW)
    nonce, expires_at = await provider_proofs.nonce()
    return Nonce(nonce=nonce, expires_at=expires_at)


@post(
    "/v1/auth/sign-in/provider",
    status_code=200,
    summary="Sign in with Google or Apple",
    tags=["auth"],
    responses=says(ProviderNotOffered, IdTokenRefused, LinkRefused, AccountBlocked, ProviderUnavailable, RateLimited),
)
async def sign_in_by_provider(
    data: JSONBody[SignInByProvider],
    call: NamedDependency[Call],
    limiter: NamedDependency[Limiter],
    sign_in: NamedDependency[SignIn],
) -> Tokens:
    """A new person gets an account. A guest's cart becomes the account's, as with a password."""
    async with limiter.wrong_by_address("sign_in", times=WRONG_BY_ADDRESS, window=WINDOW):
        signed_in = await sign_in.with_provider(
            provider=AuthProvider(data.provider),
            id_token=data.id_token,
            nonce=data.nonce,
            attribution=Attribution(**{name: getattr(data, name) for name in Attribution.__struct_fields__}),
            guest_token=await call.guest_token(),
            device=data.device,
        )
    if signed_in.was_guest:
        call.drop_guest_cookie()
    return tokens_of(signed_in)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (sign_in_nonce, sign_in_by_provider)
