"""Who calls, which shop they mean, and what the answer's history will say: read off the request, once, when asked.

Nothing here looks anything up before a route, a guard or a service needs it: a page of products costs no query for a
visitor whom nobody asked for. Slices know neither tokens nor hosts; the server does, and stands behind `Gate`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from enum import StrEnum
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Any, Final, Protocol, cast

import msgspec
import structlog
from litestar import Request
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import State
from litestar.di import Provide

from storeroom.core.crypto import KeyRing
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import ApiKeyId, SessionId, TenantId, UserId, new_id
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind, Claim, TenantUnknown
from storeroom.web.errors import ForeignOrigin, InvalidToken, SignInRequired, VisitorRequired
from storeroom.web.limits import Limiter

COOKIE: Final = "storeroom_session"
GUEST: Final = "guest_"  # begins a guest's token, wherever it is sent
USER_AGENT_LENGTH_MAX: Final = 500
HOST_LENGTH_MAX: Final = 255
TOKEN_LENGTH_MAX: Final = 4096
STAFF_ROLES: Final = frozenset({"staff", "admin", "super_admin"})
ALL_PERMISSIONS_ROLES: Final = frozenset({"admin", "super_admin"})

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TENANT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Whoever is sent there can send no header.
_TENANT_IN_PATH: Final = re.compile(r"/v1/(?:(?:webhooks|returns)/([^/]+)/|downloads/([^/.]+)\.)")
_WANTED: Final = frozenset(
    (
        b"authorization",
        b"cookie",
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"storeroom-session",
        b"storeroom-tenant",
        b"user-agent",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-request-id",
    )
)
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})  # change nothing
_PRIVATE: Final = frozenset((b"authorization", b"cookie", b"storeroom-session"))
_KEY: Final = "storeroom.call"  # of the ASGI scope

_log = structlog.get_logger("storeroom.web")

AnyRequest = Request[Any, Any, State]


class PrincipalKind(StrEnum):
    """What a request proves of its sender."""

    NONE = "none"  # no token
    GUEST = "guest"  # the token of a guest session
    ACCOUNT = "account"  # an access token
    KEY = "key"  # the key of a program


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever sent the request, as far as their token proves it."""

    kind: PrincipalKind
    tenant_id: TenantId
    user_id: UserId | None = None
    session_id: SessionId | None = None
    key_id: ApiKeyId | None = None
    role: str | None = None
    permissions: frozenset[str] = frozenset()
    name: str = ""  # for histories: the account's mail address, or the key's name and id
    calls_per_minute: int | None = None  # of a key that has a number of its own

    @property
    def visitor(self) -> Visitor:
        """The same, as carts and orders know it."""
        return Visitor(user_id=self.user_id, session_id=self.session_id)

    @property
    def staff(self) -> bool:
        """Whether the account, or the key, may enter /v1/admin at all."""
        return self.role in STAFF_ROLES or self.kind is PrincipalKind.KEY

    def may(self, permission: str) -> bool:
        """Admins may everything; staff and keys what their list says."""
        listed = self.role == "staff" or self.kind is PrincipalKind.KEY
        return self.role in ALL_PERMISSIONS_ROLES or (listed and permission in self.permissions)

    @property
    def actor(self) -> Actor:
        """What history rows say. Staff and keys act as admin, everyone else as customer."""
        kind = ActorKind.ADMIN if self.staff else ActorKind.CUSTOMER
        return Actor(kind=kind, user_id=self.user_id, name=self.name or "guest", role=self.role)


ANYBODY: Final = Actor(kind=ActorKind.CUSTOMER, name="guest")


class NewGuest(msgspec.Struct, frozen=True, kw_only=True):
    """A guest session that was just made."""

    session_id: SessionId
    token: str
    expires_at: datetime


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor, made on the spot where the request brought none."""

    visitor: Visitor
    token: str | None = None  # of a session that was just made; the cookie is set too
    expires_at: datetime | None = None


class Gate(Protocol):
    """What the server knows: hosts, tokens, the database."""

    @property
    def db(self) -> Database:
        """For what the web itself writes: idempotency keys and rate counters."""
        ...

    @property
    def answers_ring(self) -> KeyRing | None:
        """Seals kept answers that carry a token; None where the installation has no secret."""
        ...

    async def tenant_at(self, host: str) -> TenantId:
        """The shop that answers at a host name."""
        ...

    async def require_tenant(self, tenant_id: TenantId) -> None:
        """Whether there is such a shop, which a caller has named. Raises TenantUnknown."""
        ...

    async def authenticate(self, access_token: str) -> Principal:
        """The account or the key that a token proves, of the tenant that it carries. Raises InvalidToken."""
        ...

    async def guest(self, tenant_id: TenantId, token: str) -> Principal | None:
        """The guest whose token this is; None for an unknown or ended one."""
        ...

    async def new_guest(self, tenant_id: TenantId, call: "Call") -> NewGuest:
        """Make a guest session."""
        ...

    async def admit(self, principal: Principal, ip: str | None) -> None:
        """Count the call. Raises RateLimited where the caller has made too many."""
        ...


def guest_token(tenant_id: str, token: str) -> str:
    """A guest's token as it goes out: it carries its tenant, so no header is needed with it."""
    return f"{GUEST}{tenant_id}.{token}"


def read_guest_token(text: str) -> tuple[TenantId, str]:
    """The tenant and the session's own token.

    Raises:
        InvalidToken: not in the form that `guest_token` gives.
    """
    tenant, dot, token = text.removeprefix(GUEST).partition(".")
    if (
        not text.startswith(GUEST)
        or not dot
        or not _TENANT.fullmatch(tenant)
        or not 1 <= len(token) <= TOKEN_LENGTH_MAX
    ):
        raise InvalidToken
    return TenantId(tenant), token


class Call:
    """One request. Made by the server's outermost layer, found again with `call_of`."""

    __slots__ = (
        "_headers",
        "_path_tenant",
        "_principal",
        "_safe",
        "_tenant",
        "afterwards",
        "claim",
        "cookies",
        "gate",
        "https",
        "ip",
        "request_id",
    )

    def __init__(self, scope: Mapping[str, Any], gate: Gate, *, trusted_proxies: int = 0) -> None:
        """Read the headers that matter.

        Args:
            scope: of ASGI.
            gate: see Gate.
            trusted_proxies: how many proxies of our own stand before us; each adds one address to X-Forwarded-For.
        """
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _WANTED:
                headers[name] = headers[name] + b"," + value if name in headers else value
        self._headers = headers
        in_path = _TENANT_IN_PATH.match(str(scope.get("path", "")))
        self._path_tenant = (in_path[1] or in_path[2]) if in_path else None
        self.gate = gate
        self.request_id = _request_id(headers.get(b"x-request-id"))
        self.ip = _client(scope.get("client"), headers.get(b"x-forwarded-for"), trusted_proxies)
        forwarded_proto = headers.get(b"x-forwarded-proto", b"") if trusted_proxies else b""
        self.https = forwarded_proto.strip().lower() == b"https" or scope.get("scheme") == "https"
        self._safe = scope.get("method") in _SAFE
        self.claim: Claim | None = None  # of the Idempotency-Key, while it is in flight
        self.afterwards: list[Callable[[], Awaitable[None]]] = []  # done once a refusal is out: its time tells nothing
        self.cookies: list[bytes] = []  # Set-Cookie of the answer
        self._principal: Principal | None = None
        self._tenant: TenantId | None = None

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def user_agent(self) -> str | None:
        """As sent, cut to USER_AGENT_LENGTH_MAX."""
        return self._header(b"user-agent")[:USER_AGENT_LENGTH_MAX] or None

    @property
    def host(self) -> str:
        """As sent, with its port."""
        return self._header(b"host")[:HOST_LENGTH_MAX].lower()

    @property
    def domain(self) -> str | None:
        """The host without its port: where an order was bought."""
        return _without_port(self.host) or None

    @property
    def origin(self) -> str | None:
        """The origin of the page that sent this, where a browser says it."""
        return self._header(b"origin")[:HOST_LENGTH_MAX].lower() or None

    @property
    def foreign(self) -> bool:
        """Whether a page of another origin sent this. Programs say nothing of the kind, and are believed.

        The scheme does not count: behind a proxy that nobody told us of, we do not know our own.
        """
        origin = self.origin
        if origin is not None:
            return _without_default_port(origin.rpartition("/")[2]) != _without_default_port(self.host)
        return self._header(b"sec-fetch-site") in {"cross-site", "same-site"}

    @property
    def private(self) -> bool:
        """Whether the answer may be for one person only, as whatever is not just read: it may hold tokens."""
        return not self._safe or bool(self.cookies) or not _PRIVATE.isdisjoint(self._headers)

    @property
    def gives_token(self) -> bool:
        """Whether the answer may carry a guest's token: then its cookie was set too."""
        return bool(self.cookies)

    @property
    def tenant_known(self) -> TenantId | None:
        """The shop, if somebody has asked for it by now; for logs."""
        return self._tenant

    async def tenant(self) -> TenantId:
        """The shop: the token's; else that of the path, the header Storeroom-Tenant, or the host.

        There is one of that name: callers and their calls are counted by it, so nobody may make names up.

        Raises:
            InvalidToken: the token is none of ours.
            TenantUnknown, HostUnknown: no such shop, or the path names another than the token.
        """
        if self._tenant is None:
            bearer, guest = self._bearer(), self._guest_token()
            if bearer is not None:
                self._tenant = (await self.principal()).tenant_id
            elif guest is not None:
                try:
                    await self.gate.require_tenant(guest[0])
                except TenantUnknown as error:
                    raise InvalidToken from error
                self._tenant = guest[0]
            elif named := self._path_tenant or self._header(b"storeroom-tenant"):
                if not _TENANT.fullmatch(named):
                    raise TenantUnknown(tenant_id=named[:64])
                await self.gate.require_tenant(TenantId(named))
                self._tenant = TenantId(named)
            else:
                self._tenant = await self.gate.tenant_at(_without_port(self.host))
            if self._path_tenant not in (None, self._tenant):  # a token for one shop opens no other
                self._tenant = None
                raise TenantUnknown(tenant_id=str(self._path_tenant)[:64])
        return self._tenant

    async def principal(self) -> Principal:
        """Whoever sent this. A cookie that is no longer valid counts as none; a token in a header must be valid.

        Raises:
            InvalidToken: see above.
            RateLimited: whoever it is calls too often.
        """
        if self._principal is None:
            principal = await self._proven()
            await self.gate.admit(principal, self.ip)
            self._principal = principal
        return self._principal

    async def actor(self) -> Actor:
        """What history rows will say. Guests have no name, so their token is not looked up for this."""
        return (await self.principal()).actor if self._bearer() is not None else ANYBODY

    async def arrival(self) -> Arrival:
        """The visitor; where there is none, a guest session is made and its cookie set. A key is no visitor."""
        principal = await self.principal()
        if principal.kind is PrincipalKind.KEY:
            raise VisitorRequired
        if principal.kind is not PrincipalKind.NONE:
            return Arrival(visitor=principal.visitor)
        tenant_id = principal.tenant_id
        new = await self.gate.new_guest(tenant_id, self)
        token = guest_token(tenant_id, new.token)
        self.set_guest_cookie(token, new.expires_at)
        self._principal = Principal(kind=PrincipalKind.GUEST, tenant_id=tenant_id, session_id=new.session_id)
        return Arrival(visitor=self._principal.visitor, token=token, expires_at=new.expires_at)

    def set_guest_cookie(self, token: str, expires_at: datetime) -> None:
        """Let the browser keep a guest's token: not for scripts, not sent along by other sites' forms."""
        expires = expires_at.strftime("%a, %d %b %Y %H:%M:%S GMT")
        secure = "; Secure" if self.https else ""
        self.cookies.append(f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Expires={expires}{secure}".encode())

    def drop_guest_cookie(self) -> None:
        """Let the browser forget it."""
        self.cookies.append(f"{COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0".encode())

    async def guest_token(self) -> str | None:
        """The session's own token of a guest of this shop, as sent, whether or not it is still good: for signing in."""
        tenant_id = await self.tenant()
        sent = self._guest_token() or self._cookie_token()
        return sent[1] if sent is not None and sent[0] == tenant_id else None

    def _bearer(self) -> str | None:
        """The access token of an account."""
        scheme, _, token = self._header(b"authorization").partition(" ")
        if not scheme:
            return None
        token = token.strip()
        if scheme.lower() != "bearer" or not 1 <= len(token) <= TOKEN_LENGTH_MAX:
            raise InvalidToken
        return None if token.startswith(GUEST) else token

    def _guest_token(self) -> tuple[TenantId, str] | None:
        """A guest's token that was sent on purpose, in a header."""
        sent = self._header(b"storeroom-session") or self._header(b"authorization").partition(" ")[2].strip()
        return read_guest_token(sent) if sent.startswith(GUEST) or self._header(b"storeroom-session") else None

    def _cookie_token(self) -> tuple[TenantId, str] | None:
        """A guest's token that the browser sent by itself.

        Raises:
            ForeignOrigin: the page of another origin made it do so, for something that changes what is kept.
        """
        if b"cookie" not in self._headers:
            return None
        try:
            kept = SimpleCookie(self._header(b"cookie")).get(COOKIE)
            found = read_guest_token(kept.value) if kept else None
        except (CookieError, InvalidToken):
            return None
        if found is not None and not self._safe and self.foreign:
            raise ForeignOrigin
        return found

    async def _proven(self) -> Principal:
        bearer = self._bearer()
        if bearer is not None:
            return await self.gate.authenticate(bearer)
        if (sent := self._guest_token()) is not None:
            guest = await self.gate.guest(*sent)
            if guest is None:
                raise InvalidToken
            return guest
        tenant_id = await self.tenant()
        if (kept := self._cookie_token()) is not None and kept[0] == tenant_id:
            guest = await self.gate.guest(*kept)
            if guest is not None:
                return guest
        return Principal(kind=PrincipalKind.NONE, tenant_id=tenant_id)


def call_of(scope: Any) -> Call:
    """The call that a scope belongs to."""
    return cast("Call", scope[_KEY])


def attach(scope: Any, call: Call) -> None:
    """Let `call_of` find it."""
    scope[_KEY] = call


def afterwards_of(scope: Any) -> BackgroundTask | None:
    """What the call left to be done once the answer is out; what fails there is logged."""
    call = scope.get(_KEY)
    left = call.afterwards if call is not None else []

    async def run() -> None:
        for work in left:
            try:
                await work()
            except (StoreroomError, OSError) as error:
                code = getattr(error, "code", type(error).__name__)
                _log.warning("left undone after the answer", request_id=call.request_id, code=code)

    return BackgroundTask(run) if left else None


def request_id_of(scope: Any) -> str | None:
    """The id under which the log knows the request."""
    call = scope.get(_KEY)
    return call.request_id if call is not None else None


def _request_id(sent: bytes | None) -> str:
    text = sent.decode("latin-1") if sent else ""
    return text if _REQUEST_ID.fullmatch(text) else new_id().hex


def _client(peer: Any, forwarded: bytes | None, trusted_proxies: int) -> str | None:
    """The address of whoever is not ours: the n-th from the right, since every proxy of ours adds one there."""
    text = peer[0] if peer else ""
    if trusted_proxies and forwarded:
        hops = [hop.strip() for hop in forwarded.decode("latin-1").split(",")]
        text = hops[-min(trusted_proxies, len(hops))]
    try:
        return str(ip_address(text))
    except ValueError:
        return None  # a socket, or nonsense: the column takes addresses only


def _without_default_port(host: str) -> str:
    return host.removesuffix(":443").removesuffix(":80")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


async def provide_call(request: AnyRequest) -> Call:
    """The request's own facts: id, address, host."""
    return call_of(request.scope)


async def provide_principal(request: AnyRequest) -> Principal:
    """Whoever sent it, nobody included."""
    return await call_of(request.scope).principal()


async def provide_visitor(request: AnyRequest) -> Visitor:
    """The guest or the account. Raises VisitorRequired where there is neither."""
    principal = await call_of(request.scope).principal()
    if principal.kind in (PrincipalKind.NONE, PrincipalKind.KEY):
        raise VisitorRequired
    return principal.visitor


async def provide_arrival(request: AnyRequest) -> Arrival:
    """The guest or the account; a new guest where there is neither."""
    return await call_of(request.scope).arrival()


async def provide_account(request: AnyRequest) -> Principal:
    """The account that is signed in. Raises SignInRequired for guests."""
    principal = await call_of(request.scope).principal()
    if principal.kind is not PrincipalKind.ACCOUNT:
        raise SignInRequired
    return principal


async def provide_limiter(request: AnyRequest) -> Limiter:
    """Counts what must not happen too often."""
    call = call_of(request.scope)
    return Limiter(call.gate.db, await call.tenant(), call.ip)


# What a route may ask for by these names, typed NamedDependency[…]. The services of slices come from the server.
DEPENDENCIES: Final[Mapping[str, Provide]] = {
    "call": Provide(provide_call),
    "principal": Provide(provide_principal),
    "visitor": Provide(provide_visitor),
    "arrival": Provide(provide_arrival),
    "account": Provide(provide_account),
    "limiter": Provide(provide_limiter),
}
