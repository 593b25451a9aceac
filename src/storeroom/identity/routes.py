"""Accounts over HTTP: their owners, and the staff who look after them. Signing in is in `flows`.

No route that is sent a password or answers with an account's token takes an Idempotency-Key: the answer and a
fingerprint of the request would be kept. Elsewhere an answer with a new guest's token is kept sealed.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler

from storeroom.identity.account_routes import route_handlers as account_routes
from storeroom.identity.errors import (
    RefreshRaced,
    RefreshReused,
    TokenRefused,
)
from storeroom.identity.mail_proofs import MailProofs
from storeroom.identity.model import (
    Attribution,
)
from storeroom.identity.proof_routes import MessageSent, afterwards
from storeroom.identity.proof_routes import route_handlers as proof_routes
from storeroom.identity.service import Users
from storeroom.identity.sessions import Sessions
from storeroom.identity.staff_routes import route_handlers as staff_routes
from storeroom.identity.wire import (
    PERSON_REFUSALS,
    Account,
    NewGuestSession,
    Registration,
    Tokens,
    TokenToRefresh,
    account_of,
    tokens_of,
)
from storeroom.web import (
    Call,
    Limiter,
    RateLimited,
    guest_token,
    says,
    without_key,
)

REGISTRATIONS_BY_ADDRESS: Final = 20  # in WINDOW
GUESTS_BY_ADDRESS: Final = 200
WINDOW: Final = timedelta(minutes=15)


@post(
    "/v1/auth/register",
    summary="Make an account",
    tags=["auth"],
    opt=without_key("it is sent a password, which is kept nowhere; an address that is known gets no second account"),
    responses={
        **says(*PERSON_REFUSALS, RateLimited),
        202: ResponseSpec(MessageSent, description="The shop wants the mail address proven first."),
    },
)
async def register(
    data: JSONBody[Registration],
    users: NamedDependency[Users],
    mail_proofs: NamedDependency[MailProofs],
    limiter: NamedDependency[Limiter],
) -> Response[Account | MessageSent]:
    """The mail address is not proven yet: a message is sent there. Where the person came from is kept for ever.

    Where the shop wants addresses proven first, the answer is 202 for every address, known or not; elsewhere signing in
    and buying work at once.
    """
    await limiter.by_address("register", times=REGISTRATIONS_BY_ADDRESS, window=WINDOW)
    person: dict[str, Any] = {
        "email": data.email,
        "password": data.password,
        "full_name": data.full_name,
        "phone": data.phone,
        "attribution": Attribution(**{name: getattr(data, name) for name in Attribution.__struct_fields__}),
    }
    if (await mail_proofs.settings()).verify_email:
        new = await mail_proofs.prepare(**person)
        return Response(MessageSent(), status_code=202, background=afterwards(mail_proofs.finish, new=new))
    user = await users.register(**person)
    return Response(account_of(user), background=afterwards(mail_proofs.send_verification, email=user.email))


@post(
    "/v1/auth/guest",
    summary="Begin a guest session",
    tags=["auth"],
    opt=without_key("it answers with a token, which is kept nowhere; a second session does no harm"),
    responses=says(RateLimited),
)
async def begin_guest_session(
    call: NamedDependency[Call], sessions: NamedDependency[Sessions], limiter: NamedDependency[Limiter]
) -> NewGuestSession:
    """Making a cart begins one by itself. It is also sent as a cookie."""
    await limiter.by_address("guest", times=GUESTS_BY_ADDRESS, window=WINDOW)
    session, secret = await sessions.guest()
    token = guest_token(await call.tenant(), secret)
    call.set_guest_cookie(token, session.expires_at)
    return NewGuestSession(session_id=session.id, token=token, expires_at=session.expires_at)


@post(
    "/v1/auth/refresh",
    status_code=200,
    summary="Exchange a refresh token for new tokens",
    tags=["auth"],
    responses=says(TokenRefused, RefreshReused, RefreshRaced),
)
async def refresh_tokens(data: JSONBody[TokenToRefresh], sessions: NamedDependency[Sessions]) -> Tokens:
    """Each works once. One that is used a second time ends its session: somebody has a copy.

    Nobody counts how often: 256 random bits are not guessed, and a counter would cost more than the exchange.
    """
    return tokens_of(await sessions.refresh(data.refresh_token))


@post("/v1/auth/sign-out", status_code=204, summary="End a session", tags=["auth"], responses=says())
async def sign_out(data: JSONBody[TokenToRefresh], sessions: NamedDependency[Sessions]) -> None:
    """All its tokens are worthless at once. A token of none, or of one that has ended, is no error."""
    await sessions.sign_out(data.refresh_token)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    register,
    begin_guest_session,
    refresh_tokens,
    sign_out,
    *account_routes,
    *staff_routes,
    *proof_routes,
)
