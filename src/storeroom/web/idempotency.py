"""A POST that creates runs once for each Idempotency-Key, however often it is sent.

A route says `opt=IDEMPOTENT`. The first request with a key claims it under a lease; the service's outermost transaction
settles the claim together with its rows (`Context.claim`), so that nobody who took the key over can commit beside it;
then the answer is stored and given again, byte for byte, to whoever sends the same request.

    in flight                       409 idempotency.in_flight, Retry-After
    another request                 422 idempotency.key_reused
    answered                        the stored answer, with Idempotency-Replay: true
    committed, the answer lost      409 idempotency.answer_lost
    refused (not 2xx)               the key is free again

An answer with a guest's new token is kept sealed with a key of the installation: tokens stand nowhere in the database.
Where there is no secret to seal with, or it was replaced since, such an answer counts as lost.

Checkout keeps its key inside its own transaction (place_orders_v2) and only takes `scope_of` from here.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from litestar import Request
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from storeroom.core.crypto import KeyRing, SealBroken
from storeroom.core.errors import StoreroomError
from storeroom.core.idempotency import (
    IdempotencyAnswerLost,
    IdempotencyClaimLost,
    IdempotencyInFlight,
    IdempotencyKeyReused,
    InvalidIdempotencyKey,
)
from storeroom.core.ids import new_id
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.web import queries
from storeroom.web.context import Call, Principal, PrincipalKind, call_of
from storeroom.web.model import IdempotencyState, StoredAnswer

IDEMPOTENT: Final[Mapping[str, bool]] = {"idempotent": True}
WITHOUT_KEY: Final = "without_key"
HEADER: Final = "Idempotency-Key"
REPLAY: Final = b"idempotency-replay"
LEASE: Final = timedelta(seconds=30)
TTL: Final = timedelta(hours=24)
ANSWER_BYTES_MAX: Final = 256 * 1024
SCOPE_LENGTH_MAX: Final = 255
UNTOKENED_KEY_LENGTH_MIN: Final = 16  # nothing else tells two callers without a token apart: it has to be unguessable
ATTEMPTS_MAX: Final = 3  # to claim a key that vanishes each time we look
_KEY: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
_KEPT_HEADERS: Final = frozenset({b"content-type", b"location", b"content-disposition", b"etag"})

_log = structlog.get_logger("storeroom.web")


def place_of(tenant_id: str, scope: str, key: str) -> str:
    """What a kept answer is sealed to: moved to another key it does not open."""
    return f"{tenant_id}/{scope}/{key}"


class KeyClaim:
    """A key that this request holds; see database.service.Claim."""

    def __init__(self, *, tenant_id: str, scope: str, key: str, claim: UUID) -> None:
        self._tenant_id, self._scope, self._key, self._claim = tenant_id, scope, key, claim

    @property
    def place(self) -> str:
        """Of its answer."""
        return place_of(self._tenant_id, self._scope, self._key)

    async def settle(self, tx: Transaction) -> None:
        """Bind the key to the work of the transaction.

        Raises:
            IdempotencyClaimLost: another request took the key over, so this one must not commit.
        """
        if not await self._settle(tx):
            raise IdempotencyClaimLost

    async def answer(self, db: Executor, answer: StoredAnswer) -> bool:
        """Keep the answer; False where another request has the key by now."""
        return bool(
            await queries.answer_key(
                db, tenant_id=self._tenant_id, scope=self._scope, key=self._key, claim=self._claim, response=answer
            )
        )

    async def keep_settled(self, db: Executor) -> None:
        """For an answer too large to keep: the work is not done twice, its answer is not given again."""
        await self._settle(db)

    async def release(self, db: Executor) -> None:
        """Free the key, unless something was committed under it."""
        await queries.release_key(db, tenant_id=self._tenant_id, scope=self._scope, key=self._key, claim=self._claim)

    async def _settle(self, db: Executor) -> int:
        return await queries.settle_key(
            db, tenant_id=self._tenant_id, scope=self._scope, key=self._key, claim=self._claim
        )


async def claim(
    db: Executor,
    *,
    tenant_id: str,
    scope: str,
    key: str,
    fingerprint: str,
    lease: timedelta = LEASE,
    ttl: timedelta = TTL,
) -> KeyClaim | StoredAnswer:
    """Take a key for a request, or get the answer that it had.

    Args:
        db: not the transaction of the work: others must see the claim at once.
        tenant_id: whose shop.
        scope: who asks for what; the same key in another scope is another key.
        key: as sent.
        fingerprint: of the request; another one under the same key is refused.
        lease: so long nobody takes the key over.
        ttl: so long the answer is kept.

    Raises:
        IdempotencyInFlight, IdempotencyKeyReused, IdempotencyAnswerLost: see the module.
    """
    for _ in range(ATTEMPTS_MAX):
        token = new_id()
        if await queries.claim_key(
            db,
            tenant_id=tenant_id,
            scope=scope,
            key=key,
            request_fingerprint=fingerprint,
            claim=token,
            lease=lease,
            ttl=ttl,
        ):
            return KeyClaim(tenant_id=tenant_id, scope=scope, key=key, claim=token)
        known = await queries.known_key(db, tenant_id=tenant_id, scope=scope, key=key)
        if known is None:
            continue  # released or expired meanwhile
        if known.request_fingerprint != fingerprint:
            raise IdempotencyKeyReused
        if known.response is not None and known.state is IdempotencyState.DONE:
            return known.response
        if known.state is IdempotencyState.SETTLED and not known.leased:
            raise IdempotencyAnswerLost
        break
    raise IdempotencyInFlight


async def save_idempotency_key(
    db: Executor, *, tenant_id: str, scope: str, key: str, fingerprint: str, answer: StoredAnswer, ttl: timedelta = TTL
) -> bool:
    """Keep an answer for a key; False where the key has one already, which stays."""
    return (
        await queries.save_key(
            db,
            tenant_id=tenant_id,
            scope=scope,
            key=key,
            request_fingerprint=fingerprint,
            claim=new_id(),
            response=answer,
            ttl=ttl,
        )
        is not None
    )


async def get_idempotency_key(db: Executor, *, tenant_id: str, scope: str, key: str) -> StoredAnswer | None:
    """The answer that is kept for a key; None where there is none, or its time is over."""
    known = await queries.known_key(db, tenant_id=tenant_id, scope=scope, key=key)
    return None if known is None else known.response


async def delete_idempotency_key(db: Executor, *, tenant_id: str, scope: str, key: str) -> bool:
    """Forget a key; False where it was not known. The same request runs anew afterwards."""
    return bool(await queries.delete_key(db, tenant_id=tenant_id, scope=scope, key=key))


def checked_key(key: str, principal: Principal, *, unguessable: bool = True) -> str:
    """The key as sent.

    Raises:
        InvalidIdempotencyKey: too short, too long, or not printable.
    """
    if not _KEY.fullmatch(key):
        raise InvalidIdempotencyKey(reason="an Idempotency-Key has 1 to 255 printable ASCII characters")
    if unguessable and principal.kind is PrincipalKind.NONE and len(key) < UNTOKENED_KEY_LENGTH_MIN:
        raise InvalidIdempotencyKey(
            reason=f"without a token, an Idempotency-Key has at least {UNTOKENED_KEY_LENGTH_MIN} characters"
        )
    return key


def scope_of(call: Call, principal: Principal, method: str, path: str) -> str:
    """Who asks for what: the key, else the account, else the guest's session, else the network address; the route."""
    if principal.key_id is not None:
        who = f"key:{principal.key_id}"
    elif principal.user_id is not None:
        who = f"user:{principal.user_id}"
    elif principal.session_id is not None:
        who = f"guest:{principal.session_id}"
    else:
        who = f"address:{call.ip}"
    scope = f"{who} {method} {path}"
    if len(scope) <= SCOPE_LENGTH_MAX and scope.isprintable():
        return scope
    return hashlib.sha256(scope.encode()).hexdigest()


def without_key(reason: str) -> Mapping[str, str]:
    """Of a route that creates and takes no key: why, and what asking twice does; see docs/repeated-requests.md."""
    return {WITHOUT_KEY: reason}


class Idempotency(ASGIMiddleware):
    """Around every route; only those that say `opt=IDEMPOTENT` and requests that send a key are touched."""

    scopes = (ScopeType.HTTP,)

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if "idempotent" not in scope["route_handler"].opt or (key := _sent_key(scope)) is None:
            await next_app(scope, receive, send)
            return
        call = call_of(scope)
        db = call.gate.db
        principal = await call.principal()
        if principal.kind is PrincipalKind.NONE and scope["route_handler"].resolve_guards():
            await next_app(scope, receive, send)  # a guard refuses it; nothing is worth keeping
            return
        body = await Request[Any, Any, Any](scope, receive, send).body()
        fingerprint = hashlib.sha256(scope.get("query_string", b"") + b"\n" + body).hexdigest()
        tenant_id, key = principal.tenant_id, checked_key(key, principal)
        who = scope_of(call, principal, str(scope["method"]), scope["path"])  # type: ignore[typeddict-item]
        held = await claim(db, tenant_id=tenant_id, scope=who, key=key, fingerprint=fingerprint)
        if isinstance(held, StoredAnswer):
            await _replay(_opened(held, call.gate.answers_ring, place_of(tenant_id, who, key)), send)
            return
        call.claim = held
        answer = _Recorder(send, held, call)
        try:
            await next_app(scope, receive, answer.send)
        except BaseException:
            await _quietly(held.release(db), call)
            raise


class _Recorder:
    """Holds an answer back until it is stored: nobody has seen an answer that a retry would not get."""

    def __init__(self, send: Send, held: KeyClaim, call: Call) -> None:
        self._send = send
        self._held = held
        self._call = call
        self._db = call.gate.db
        self._start: Any = None
        self._body = bytearray()
        self._over = False  # the rest passes through

    async def send(self, message: Message) -> None:
        if self._over or message["type"] not in {"http.response.start", "http.response.body"}:
            await self._send(message)
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        more = message.get("more_body", False)
        if more and len(self._body) <= ANSWER_BYTES_MAX:
            return
        self._over = True
        await self._store()
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": bytes(self._body), "more_body": more})

    async def _store(self) -> None:
        status = self._start["status"]
        try:
            if not 200 <= status < 300:
                await self._held.release(self._db)
            elif len(self._body) > ANSWER_BYTES_MAX:
                await self._held.keep_settled(self._db)
            else:
                headers = {
                    name.decode("latin-1"): value.decode("latin-1")
                    for name, value in self._start["headers"]
                    if name.lower() in _KEPT_HEADERS
                }
                await self._keep(StoredAnswer.of(status, headers, bytes(self._body)))
        except StoreroomError as error:  # the work is done; its answer goes out, and a retry hears that it is lost
            _log.warning("answer not stored", code=error.code)

    async def _keep(self, answer: StoredAnswer) -> None:
        if self._call.gives_token:
            ring = self._call.gate.answers_ring
            if ring is None:
                await self._held.keep_settled(self._db)
                return
            answer = answer.sealed_with(ring, place=self._held.place)
        await self._held.answer(self._db, answer)


async def _quietly(release: Any, call: Call) -> None:
    try:
        await release
    except StoreroomError as error:
        _log.warning("idempotency key not released", request_id=call.request_id, code=error.code)


def _opened(answer: StoredAnswer, ring: KeyRing | None, place: str) -> StoredAnswer:
    if not answer.sealed:
        return answer
    if ring is None:
        raise IdempotencyAnswerLost
    try:
        return answer.opened_with(ring, place=place)
    except SealBroken as error:  # the secret was replaced
        raise IdempotencyAnswerLost from error


async def _replay(answer: StoredAnswer, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    content = answer.content
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [*headers, (b"content-length", str(len(content)).encode()), (REPLAY, b"true")],
        }
    )
    await send({"type": "http.response.body", "body": content, "more_body": False})


def _sent_key(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            return value.decode("latin-1")
    return None
