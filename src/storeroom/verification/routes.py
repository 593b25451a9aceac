"""Codes by phone and second factors over HTTP; signing in with one is in `flows`.

No route here takes an Idempotency-Key: what a code opens is not kept.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.contact import PHONE_LENGTH_MAX, InvalidPhone
from storeroom.core.ids import UserId
from storeroom.guests import TooManyAttempts
from storeroom.identity import Permission, UserNotFound
from storeroom.verification.errors import (
    CodeRefused,
    CodesBusy,
    InvalidNonce,
    SecondFactorActive,
    SecondFactorKept,
    SecondFactorMissing,
    SecondFactorNotOffered,
    SecondFactorNotYours,
    SecondFactorRefused,
    TooManyCodes,
)
from storeroom.verification.model import (
    CODE_DIGITS,
    NONCE_PURPOSE_LENGTH_MAX,
    RECOVERY_CODE_LENGTH,
    CodeSent,
    Enrolment,
    Nonce,
    SecondFactorStatus,
)
from storeroom.verification.nonces import Nonces
from storeroom.verification.otp import PhoneCodes
from storeroom.verification.second_factors import SecondFactors
from storeroom.web import (
    Call,
    Limiter,
    Principal,
    RateLimited,
    SignInRequired,
    requires,
    requires_account,
    says,
    without_key,
)

CODES_BY_ADDRESS: Final = 20  # in WINDOW
TRIES_BY_ADDRESS: Final = 60
WINDOW: Final = timedelta(minutes=15)


class CodeWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the code goes."""

    phone: Annotated[str, Meta(min_length=3, max_length=PHONE_LENGTH_MAX, examples=["+94 77 123 4567"])]


class CodeWantedAgain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which request is repeated."""

    session_id: UUID


class CodeTyped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the person read on their phone."""

    session_id: UUID
    code: Annotated[str, Meta(min_length=1, max_length=CODE_DIGITS * 2, examples=["493817"])]


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """The phone is proven; the session's id stands for it until then."""

    session_id: UUID
    expires_at: datetime
    verified: bool = True


@post(
    "/v1/auth/otp/request",
    status_code=202,
    summary="Send a code to a phone",
    tags=["auth"],
    responses=says(InvalidPhone, TooManyCodes, CodesBusy, RateLimited),
)
async def request_code(
    data: JSONBody[CodeWanted], phone_codes: NamedDependency[PhoneCodes], limiter: NamedDependency[Limiter]
) -> CodeSent:
    """It replaces the one before. The answer is the same whether or not an account has the number."""
    await limiter.by_address("otp_request", times=CODES_BY_ADDRESS, window=WINDOW)
    return await phone_codes.request(phone=data.phone)


@post(
    "/v1/auth/otp/resend",
    status_code=202,
    summary="Send another code to the same phone",
    tags=["auth"],
    responses=says(CodeRefused, TooManyCodes, CodesBusy, RateLimited),
)
async def resend_code(
    data: JSONBody[CodeWantedAgain], phone_codes: NamedDependency[PhoneCodes], limiter: NamedDependency[Limiter]
) -> CodeSent:
    """The one before ends, and so does its session_id: go on with the one in the answer."""
    await limiter.by_address("otp_request", times=CODES_BY_ADDRESS, window=WINDOW)
    return await phone_codes.resend(session_id=data.session_id)


@post(
    "/v1/auth/otp/verify",
    status_code=200,
    summary="Say the code that arrived",
    tags=["auth"],
    responses=says(CodeRefused, CodesBusy, TooManyAttempts, RateLimited),
)
async def verify_code(
    data: JSONBody[CodeTyped],
    phone_codes: NamedDependency[PhoneCodes],
    limiter: NamedDependency[Limiter],
    call: NamedDependency[Call],
) -> Verified:
    """Five wrong ones, and a new code is needed. An account with that number has a verified phone afterwards."""
    await limiter.by_address("otp_verify", times=TRIES_BY_ADDRESS, window=WINDOW)
    proof = await phone_codes.verify(session_id=data.session_id, code=data.code, host=call.domain)
    return Verified(session_id=proof.session_id, expires_at=proof.expires_at)


# --- The second factor of one's own account ---------------------------------------------------------------------------

_TAGS: Final = ["account"]
_OWN: Final = [requires_account]


class CodeOfApp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the authenticator app shows, or a recovery code."""

    code: Annotated[str, Meta(min_length=1, max_length=2 * RECOVERY_CODE_LENGTH, examples=["493817"])]


class RecoveryCodes(msgspec.Struct, frozen=True, kw_only=True):
    """Each of them signs in once when the phone is lost. Shown this once."""

    recovery_codes: Sequence[str]


@get(
    "/v1/account/second-factor",
    summary="Whether I sign in with a second factor",
    tags=_TAGS,
    guards=_OWN,
    responses=says(SignInRequired),
)
async def get_second_factor(
    account: NamedDependency[Principal], second_factors: NamedDependency[SecondFactors]
) -> SecondFactorStatus:
    """And whether the shop requires it."""
    return await second_factors.status(user_id=_user(account))


@post(
    "/v1/account/second-factor",
    status_code=200,
    summary="Set up a second factor",
    tags=_TAGS,
    guards=_OWN,
    responses=says(SignInRequired, SecondFactorActive, SecondFactorNotOffered),
)
async def enrol_second_factor(
    account: NamedDependency[Principal], second_factors: NamedDependency[SecondFactors]
) -> Enrolment:
    """For staff. Show the URI as a QR code; nothing changes until it is confirmed with a code of it."""
    return await second_factors.enrol(user_id=_user(account))


@post(
    "/v1/account/second-factor/confirm",
    status_code=200,
    summary="Confirm it with a code",
    tags=_TAGS,
    guards=_OWN,
    responses=says(SignInRequired, SecondFactorRefused),
)
async def confirm_second_factor(
    data: JSONBody[CodeOfApp], account: NamedDependency[Principal], second_factors: NamedDependency[SecondFactors]
) -> RecoveryCodes:
    """From the next sign-in on it is asked for."""
    return RecoveryCodes(recovery_codes=await second_factors.confirm(user_id=_user(account), code=data.code))


@post(
    "/v1/account/second-factor/recovery-codes",
    status_code=200,
    summary="Get new recovery codes",
    tags=_TAGS,
    guards=_OWN,
    responses=says(SignInRequired, SecondFactorRefused),
)
async def renew_recovery_codes(
    data: JSONBody[CodeOfApp], account: NamedDependency[Principal], second_factors: NamedDependency[SecondFactors]
) -> RecoveryCodes:
    """Those before are worth nothing any more."""
    codes = await second_factors.renew_recovery_codes(user_id=_user(account), code=data.code)
    return RecoveryCodes(recovery_codes=codes)


@post(
    "/v1/account/second-factor/remove",
    status_code=204,
    summary="Sign in without a second factor again",
    tags=_TAGS,
    guards=_OWN,
    responses=says(SignInRequired, SecondFactorRefused, SecondFactorKept),
)
async def remove_second_factor(
    data: JSONBody[CodeOfApp], account: NamedDependency[Principal], second_factors: NamedDependency[SecondFactors]
) -> None:
    """With a code of it. Not where the shop requires one."""
    await second_factors.remove(user_id=_user(account), code=data.code)


@delete(
    "/v1/admin/users/{user_id:uuid}/second-factor",
    summary="Reset the second factor of somebody who lost it",
    tags=["admin: accounts"],
    guards=[requires("users.write")],
    responses=says(UserNotFound, SecondFactorNotYours, SecondFactorMissing),
)
async def reset_second_factor(user_id: FromPath[UUID], second_factors: NamedDependency[SecondFactors]) -> None:
    """For accounts below one's own. Their sessions end."""
    await second_factors.reset(user_id=UserId(user_id))


def _user(account: Principal) -> UserId:
    if account.user_id is None:
        raise SignInRequired
    return account.user_id


class NonceWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it will be used for."""

    purpose: Annotated[str, Meta(min_length=1, max_length=NONCE_PURPOSE_LENGTH_MAX, examples=["approve-refund"])]


@post(
    "/v1/admin/nonces",
    summary="Ask for a nonce for one act",
    tags=["admin: refunds"],
    guards=[requires(Permission.REFUNDS_WRITE)],
    opt=without_key("it answers with what is good once; a second one does no harm"),
    responses=says(InvalidNonce),
)
async def create_nonce(data: JSONBody[NonceWanted], nonces: NamedDependency[Nonces]) -> Nonce:
    """Good once, for this purpose, for five minutes; a second one does no harm."""
    return await nonces.create(purpose=data.purpose)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    request_code,
    resend_code,
    verify_code,
    get_second_factor,
    enrol_second_factor,
    confirm_second_factor,
    renew_recovery_codes,
    remove_second_factor,
    reset_second_factor,
    create_nonce,
)
