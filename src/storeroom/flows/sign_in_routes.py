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
from storeroom.flows.sign_in import SignIn
from storeroom.identity import DEVICE_LENGTH_MAX, AccountBlocked, InvalidCredentials, PasswordsBusy, SignedIn
from storeroom.identity.wire import Tokens, tokens_of
from storeroom.verification import (
    CHALLENGE_LENGTH_MAX,
    RECOVERY_CODE_LENGTH,
    ChallengeRefused,
    Enrolment,
    SecondFactorActive,
    SecondFactorNotOffered,
    SecondFactorRefused,
    SecondFactorRequired,
)
from storeroom.web import Call, Limiter, RateLimited, says

SIGN_INS_BY_ACCOUNT: Final = 10  # in SIGN_IN_WINDOW, right and wrong ones
WRONG_BY_ADDRESS: Final = 30  # in SIGN_IN_WINDOW; right ones do not count: a whole office has one address
ENROLMENTS_BY_ADDRESS: Final = 300
SIGN_IN_WINDOW: Final = timedelta(minutes=15)

ChallengeText = Annotated[str, Meta(min_length=1, max_length=CHALLENGE_LENGTH_MAX)]


class SignInWith(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mail address and password. The guest's token is the one that the request carries, as header or cookie."""

    email: Annotated[str, Meta(min_length=1, max_length=EMAIL_LENGTH_MAX, examples=["ada@example.com"])]
    password: Annotated[str, Meta(min_length=1, max_length=1000)]
    device: Annotated[str, Meta(max_length=DEVICE_LENGTH_MAX)] | None = None


class ChallengeHeld(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first step of signing in answered with."""

    challenge: ChallengeText


class SecondStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first step answered with, and a code. The guest's token is the one that the request carries."""

    challenge: ChallengeText
    code: Annotated[str, Meta(min_length=1, max_length=2 * RECOVERY_CODE_LENGTH, examples=["493817"])]
    device: Annotated[str, Meta(max_length=DEVICE_LENGTH_MAX)] | None = None


class EnrolledTokens(msgspec.Struct, frozen=True, kw_only=True):
    """The tokens of the session, and the codes that open it when the phone is lost."""

    tokens: Tokens
    recovery_codes: Sequence[str]


@post(
    "/v1/auth/sign-in",
    status_code=200,
    summary="Sign in with mail address and password",
    tags=["auth"],
    responses=says(InvalidCredentials, SecondFactorRequired, AccountBlocked, RateLimited, PasswordsBusy),
)
async def sign_in_with_password(
    data: JSONBody[SignInWith],
    call: NamedDependency[Call],
    limiter: NamedDependency[Limiter],
    sign_in: NamedDependency[SignIn],
) -> Tokens:
    """A guest's cart becomes the account's, or is merged into it; the guest's token ends. No answer is kept.

    Who has a second factor, or has to get one, is answered with 401 and a `challenge` to go on with.
    """
    async with limiter.wrong_by_address(
        "sign_in", times=WRONG_BY_ADDRESS, window=SIGN_IN_WINDOW, right=(SecondFactorRequired,)
    ):
        await limiter.by_email("sign_in_account", data.email, times=SIGN_INS_BY_ACCOUNT, window=SIGN_IN_WINDOW)
        signed_in = await sign_in.with_password(
            email=data.email,
            password=data.password,
            guest_token=await call.guest_token(),
            device=data.device,
            later=call.afterwards.append,
        )
    return _answered(call, signed_in)


@post(
    "/v1/auth/second-factor",
    status_code=200,
    summary="Go on signing in with a code of the authenticator app",
    tags=["auth"],
    responses=says(ChallengeRefused, SecondFactorRefused, InvalidCredentials, AccountBlocked, RateLimited),
)
async def sign_in_with_second_factor(
    data: JSONBody[SecondStep],
    call: NamedDependency[Call],
    limiter: NamedDependency[Limiter],
    sign_in: NamedDependency[SignIn],
) -> Tokens:
    """Or with a recovery code. Five wrong ones, and the account waits for a quarter of an hour."""
    async with limiter.wrong_by_address("second_factor", times=WRONG_BY_ADDRESS, window=SIGN_IN_WINDOW):
        signed_in = await sign_in.with_second_factor(
            challenge=data.challenge, code=data.code, guest_token=await call.guest_token(), device=data.device
        )
    return _answered(call, signed_in)


@post(
    "/v1/auth/second-factor/enrol",
    status_code=200,
    summary="Set up the second factor that the shop requires, while signing in",
    tags=["auth"],
    responses=says(
        ChallengeRefused,
        SecondFactorActive,
        SecondFactorNotOffered,
        InvalidCredentials,
        AccountBlocked,
        RateLimited,
    ),
)
async def enrol_while_signing_in(
    data: JSONBody[ChallengeHeld], limiter: NamedDependency[Limiter], sign_in: NamedDependency[SignIn]
) -> Enrolment:
    """For a challenge whose `active` is false. Show the URI as a QR code, then confirm with a code of it."""
    await limiter.by_address("second_factor_enrol", times=ENROLMENTS_BY_ADDRESS, window=SIGN_IN_WINDOW)
    return await sign_in.enrol(challenge=data.challenge)


@post(
    "/v1/auth/second-factor/confirm",
    status_code=200,
    summary="Confirm the second factor that was just set up, and go on signing in",
    tags=["auth"],
    responses=says(ChallengeRefused, SecondFactorRefused, InvalidCredentials, AccountBlocked, RateLimited),
)
async def confirm_while_signing_in(
    data: JSONBody[SecondStep],
    call: NamedDependency[Call],
    limiter: NamedDependency[Limiter],
    sign_in: NamedDependency[SignIn],
) -> EnrolledTokens:
    """The recovery codes are shown this once."""
    async with limiter.wrong_by_address("second_factor", times=WRONG_BY_ADDRESS, window=SIGN_IN_WINDOW):
        signed_in, codes = await sign_in.with_new_second_factor(
            challenge=data.challenge, code=data.code, guest_token=await call.guest_token(), device=data.device
        )
    return EnrolledTokens(tokens=_answered(call, signed_in), recovery_codes=codes)


def _answered(call: Call, signed_in: SignedIn) -> Tokens:
    if signed_in.was_guest:
        call.drop_guest_cookie()
    return tokens_of(signed_in)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    sign_in_with_password,
    sign_in_with_second_factor,
    enrol_while_signing_in,
    confirm_while_signing_in,
)
