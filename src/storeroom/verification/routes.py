"""Codes by phone over HTTP. No route here takes an Idempotency-Key: what a code opens is not kept."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.contact import PHONE_LENGTH_MAX, InvalidPhone
from storeroom.verification.errors import CodeRefused, CodesBusy, TooManyCodes
from storeroom.verification.model import CODE_DIGITS, CodeSent
from storeroom.verification.otp import PhoneCodes
from storeroom.web import Limiter, RateLimited, says

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
    responses=says(CodeRefused, CodesBusy, RateLimited),
)
async def verify_code(
    data: JSONBody[CodeTyped], phone_codes: NamedDependency[PhoneCodes], limiter: NamedDependency[Limiter]
) -> Verified:
    """Five wrong ones, and a new code is needed. An account with that number has a verified phone afterwards."""
    await limiter.by_address("otp_verify", times=TRIES_BY_ADDRESS, window=WINDOW)
    proof = await phone_codes.verify(session_id=data.session_id, code=data.code)
    return Verified(session_id=proof.session_id, expires_at=proof.expires_at)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (request_code, resend_code, verify_code)
