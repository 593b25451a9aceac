"""A small application on the web room alone: its own routes, a real database, and a gate that knows three people."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
import msgspec
from litestar import Litestar, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from storeroom import outbox
from storeroom.core.crypto import KeyRing
from storeroom.core.errors import Conflict, Forbidden, Misconfigured, NotFound, Unavailable
from storeroom.core.ids import SessionId, TenantId, UserId, new_id
from storeroom.core.secrets import Secret
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database
from storeroom.database.service import Context, Service, TenantUnknown, transactional
from storeroom.tenants import Tenants
from storeroom.web import (
    DEPENDENCIES,
    EXCEPTION_HANDLERS,
    IDEMPOTENT,
    PAGE_SIZE_DEFAULT,
    AnyRequest,
    Arrival,
    Call,
    CursorParameter,
    Idempotency,
    InvalidToken,
    Limiter,
    LimitParameter,
    NewGuest,
    Principal,
    PrincipalKind,
    StrictRequest,
    attach,
    call_of,
    requires,
    requires_account,
    says,
)

BODY_BYTES_MAX = 4096


class TestGate:
    """Knows hosts and tokens from dictionaries; the database is real."""

    __test__ = False

    def __init__(self, db: Database, tenant: str) -> None:
        self._db = db
        self.hosts = {"shop.test": TenantId(tenant)}
        self.accounts: dict[str, Principal] = {}
        self.guests: dict[tuple[str, str], SessionId] = {}
        self.ring: KeyRing | None = KeyRing([Secret("of the small application, and long enough")], purpose="answers")

    @property
    def db(self) -> Database:
        return self._db

    @property
    def answers_ring(self) -> KeyRing | None:
        return self.ring

    async def tenant_at(self, host: str) -> TenantId:
        if host not in self.hosts:
            raise Gone(what="host")
        return self.hosts[host]

    async def require_tenant(self, tenant_id: TenantId) -> None:
        if await Tenants(self._db).cache.settings(tenant_id) is None:
            raise TenantUnknown(tenant_id=tenant_id)

    async def authenticate(self, access_token: str) -> Principal:
        if access_token not in self.accounts:
            raise InvalidToken
        return self.accounts[access_token]

    async def guest(self, tenant_id: TenantId, token: str) -> Principal | None:
        session_id = self.guests.get((tenant_id, token))
        if session_id is None:
            return None
        return Principal(kind=PrincipalKind.GUEST, tenant_id=tenant_id, session_id=session_id)

    async def new_guest(self, tenant_id: TenantId, call: Call) -> NewGuest:
        token, session_id = uuid.uuid4().hex, SessionId(new_id())
        self.guests[tenant_id, token] = session_id
        return NewGuest(session_id=session_id, token=token, expires_at=datetime.now(UTC) + timedelta(days=1))

    async def admit(self, principal: Principal, ip: str | None) -> None:
        """Everybody, any number of times."""

    def account(self, tenant: str, role: str = "customer", *permissions: str) -> str:
        token = uuid.uuid4().hex
        self.accounts[token] = Principal(
            kind=PrincipalKind.ACCOUNT,
            tenant_id=TenantId(tenant),
            user_id=UserId(new_id()),
            session_id=SessionId(new_id()),
            role=role,
            permissions=frozenset(permissions),
            name=f"{role}@example.com",
        )
        return token


class Gone(NotFound):
    """It is not there."""

    code = "test.gone"

    def __init__(self, *, what: str) -> None:
        super().__init__(f"no such {what}")
        self.what = what


class Clash(Conflict):
    """It stands against something."""

    code = "test.clash"

    def __init__(self, *, status: str, left: int) -> None:
        super().__init__("clash")
        self.status, self.left = status, left


class NotYours(Forbidden):
    """It is somebody else's."""

    code = "test.not_yours"

    def __init__(self) -> None:
        super().__init__("not yours")


class Away(Unavailable):
    """Something is away."""

    code = "test.away"

    def __init__(self) -> None:
        super().__init__("keeper.internal:5432 does not answer")


class Broken(Misconfigured):
    """It is set up wrongly."""

    code = "test.broken"

    def __init__(self) -> None:
        super().__init__("the password of keeper.internal is wrong")


class Part(msgspec.Struct, forbid_unknown_fields=True):
    sku: str
    quantity: Annotated[int, Meta(ge=1, le=100)]


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parts: list[Part] = []


class Made(msgspec.Struct):
    id: uuid.UUID
    name: str


class Things(Service):
    """What it makes is a row of the outbox: one effect, one row."""

    @transactional
    async def make(self, *, name: str) -> Made:
        row = await outbox.enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type="thing.made",
            payload={"name": name},
            entity_type="thing",
            entity_id=new_id(),
        )
        if name == "refused":
            raise Clash(status="full", left=0)
        return Made(id=row, name=name)


@get("/fail/{kind:str}", responses=says())
async def fail(kind: FromPath[str]) -> None:
    match kind:
        case "clash":
            raise Clash(status="merged", left=3)
        case "gone":
            raise Gone(what="thing")
        case "not_yours":
            raise NotYours
        case "away":
            raise Away
        case "broken":
            raise Broken
        case _:
            raise RuntimeError("the secret is zebra")


@get("/store", responses=says())
async def store_query(call: NamedDependency[Call], text: FromQuery[str]) -> None:
    await call.gate.db.fetchval("SELECT $1::text", text)


@get("/store/{text:str}", responses=says())
async def store_path(call: NamedDependency[Call], text: FromPath[str]) -> None:
    await call.gate.db.fetchval("SELECT $1::text", text)


@post("/store", responses=says())
async def store(call: NamedDependency[Call], data: JSONBody[Thing]) -> None:
    for text in (data.name, *(part.sku for part in data.parts)):
        await call.gate.db.fetchval("SELECT $1::text", text)


@post("/things", opt=IDEMPOTENT, responses=says(Clash))
async def make_thing(data: JSONBody[Thing], things: NamedDependency[Things]) -> Made:
    return await things.make(name=data.name)


@post("/arrivals", opt=IDEMPOTENT, responses=says())
async def arrive(arrival: NamedDependency[Arrival]) -> Arrival:
    return arrival


@post("/large", opt=IDEMPOTENT, responses=says())
async def make_large(things: NamedDependency[Things]) -> Response[bytes]:
    await things.make(name="large")
    return Response(b"x" * 300_000, media_type="application/octet-stream")


@post("/after", opt=IDEMPOTENT, responses=says())
async def break_after(things: NamedDependency[Things]) -> None:
    await things.make(name="after")
    raise RuntimeError("the work is committed, the answer is not")


@get("/who", responses=says())
async def who(call: NamedDependency[Call]) -> dict[str, Any]:
    principal = await call.principal()
    return {
        "kind": principal.kind,
        "tenant": await call.tenant(),
        "actor": (await call.actor()).kind,
        "request_id": call.request_id,
        "ip": call.ip,
        "user_agent": call.user_agent,
        "domain": call.domain,
    }


@get("/visitor", responses=says())
async def visitor_only(visitor: NamedDependency[Visitor]) -> Visitor:
    return visitor


@get("/account", guards=[requires_account], responses=says())
async def account_only(account: NamedDependency[Principal]) -> str:
    return account.name


@get("/admin", guards=[requires("orders.write")], responses=says())
async def staff_only() -> str:
    return "in"


@get("/list", responses=says())
async def listed(cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT) -> dict[str, Any]:
    return {"cursor": cursor, "limit": limit}


@post("/guess", responses=says())
async def guess(limiter: NamedDependency[Limiter]) -> None:
    await limiter.by_address("guess", times=5, window=timedelta(hours=1))


def application(gate: TestGate, *, trusted_proxies: int = 0) -> Litestar:
    tenants = Tenants(gate.db)

    async def things(request: AnyRequest) -> Things:
        call = call_of(request.scope)
        return Things(
            Context(
                db=gate.db,
                tenant_id=await call.tenant(),
                tenants=tenants.cache,
                actor=await call.actor(),
                claim=call.claim,
            )
        )

    app = Litestar(
        [
            fail,
            store,
            store_path,
            store_query,
            make_thing,
            arrive,
            make_large,
            break_after,
            who,
            visitor_only,
            account_only,
            staff_only,
            listed,
            guess,
        ],
        dependencies={**DEPENDENCIES, "things": Provide(things)},
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[Idempotency()],
        openapi_config=None,
        request_class=StrictRequest,
        request_max_body_size=BODY_BYTES_MAX,
        logging_config=None,
    )
    inner = app.asgi_handler

    async def edge(scope: Any, receive: Any, send: Any) -> None:
        attach(scope, Call(scope, gate, trusted_proxies=trusted_proxies))
        await inner(scope, receive, send)

    app.asgi_handler = edge
    return app


def client_of(app: Litestar, ip: str = "203.0.113.9") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=(ip, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://shop.test")
