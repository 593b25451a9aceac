"""What every slice's service is made of: who asks, for which tenant, on which executor; and the two decorators.

A service belongs to one tenant. Its operations are methods:

    class Inventory(Service):
        @transactional
        async def reserve(self, *, variant_id: VariantId, quantity: int) -> Reservation: ...

        @operation
        async def level(self, *, variant_id: VariantId) -> StockLevel: ...
"""

import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from enum import StrEnum
from functools import wraps
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, Self, TypeVar

import msgspec

from storeroom.core.clock import Clock, SystemClock
from storeroom.core.errors import Forbidden, NotFound
from storeroom.core.ids import TenantId, UserId
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction

TENANT_CACHE_S: Final = 5.0  # a suspended tenant may still work for so long
TENANTS_CACHED_MAX: Final = 10_000

P = ParamSpec("P")
R = TypeVar("R")


class TenantUnknown(NotFound):
    """No tenant has this id."""

    code = "tenants.unknown"

    def __init__(self, *, tenant_id: str) -> None:
        super().__init__(f"no tenant {tenant_id!r}")
        self.tenant_id = tenant_id


class TenantSuspended(Forbidden):
    """The tenant exists and may do nothing until it is resumed."""

    code = "tenants.suspended"

    def __init__(self, *, tenant_id: str) -> None:
        super().__init__(f"the tenant {tenant_id!r} is suspended")
        self.tenant_id = tenant_id


class ActorKind(StrEnum):
    """Who is behind a call, as history and audit rows keep it."""

    SYSTEM = "system"  # a job, a migration, the command line
    ADMIN = "admin"  # staff of the tenant
    CUSTOMER = "customer"  # a buyer, signed in or a guest
    WEBHOOK = "webhook"  # another system, by a message


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks."""

    kind: ActorKind
    user_id: UserId | None = None  # None for guests, jobs and other systems
    name: str = ""  # what a person reads in a history: a mail address, a job, a source
    role: str | None = None  # of the account, as it was when it acted


SYSTEM: Final = Actor(kind=ActorKind.SYSTEM, name="system")


class TenantSettings(Protocol):
    """What every room may ask of a tenant's row; the row itself knows more."""

    @property
    def tenant_id(self) -> str:
        """The key of the tenant."""
        ...

    @property
    def status(self) -> str:
        """Either `active` or `suspended`."""
        ...

    @property
    def currency(self) -> str:
        """ISO 4217, of its prices."""
        ...

    @property
    def time_zone(self) -> str:
        """IANA, of its business days."""
        ...

    @property
    def order_window(self) -> timedelta:
        """So long an order may stay unpaid."""
        ...


T_co = TypeVar("T_co", bound=TenantSettings, covariant=True)
T = TypeVar("T", bound=TenantSettings)


class TenantLookup(Protocol[T_co]):
    """Where tenants are looked up. Asked before every operation, so it keeps what it found: see `TenantCache`."""

    async def settings(self, tenant_id: TenantId) -> T_co | None:
        """The tenant, or None where there is none of that id."""
        ...


class TenantCache(Generic[T]):
    """A TenantLookup that asks once in TENANT_CACHE_S."""

    def __init__(self, load: Callable[[TenantId], Awaitable[T | None]], *, keep_s: float = TENANT_CACHE_S) -> None:
        self._load = load
        self._keep_s = keep_s
        self._kept: dict[TenantId, tuple[T, float]] = {}

    async def settings(self, tenant_id: TenantId) -> T | None:
        """The tenant as it was at most TENANT_CACHE_S ago. An unknown one is asked for again each time."""
        kept = self._kept.get(tenant_id)
        if kept is not None and time.monotonic() < kept[1]:
            return kept[0]
        tenant = await self._load(tenant_id)
        self._kept.pop(tenant_id, None)
        if tenant is not None:
            if len(self._kept) >= TENANTS_CACHED_MAX:
                del self._kept[next(iter(self._kept))]  # the one loaded longest ago
            self._kept[tenant_id] = (tenant, time.monotonic() + self._keep_s)
        return tenant

    def forget(self, tenant_id: TenantId) -> None:
        """Ask again next time: this process has just changed the tenant."""
        self._kept.pop(tenant_id, None)


class Claim(Protocol):
    """An idempotency key that is in flight for the call."""

    async def settle(self, tx: Transaction) -> None:
        """Mark the claim as done in the transaction of the business rows. May be called again by a retry."""
        ...


class Context(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One call's, or one handle's, answers to: where, for which tenant, who asks."""

    db: Executor
    tenant_id: TenantId
    tenants: TenantLookup[TenantSettings]
    actor: Actor = SYSTEM
    request_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    clock: Clock = msgspec.field(default_factory=SystemClock)
    claim: Claim | None = None
    audited: bool = False  # inside an action that leaves an entry in the audit trail, so nothing in it leaves another

    async def settings(self) -> TenantSettings:
        """The tenant's row, at most TENANT_CACHE_S old.

        Raises:
            TenantUnknown: no tenant has this id.
            TenantSuspended: it may do nothing now.
        """
        tenant = await self.tenants.settings(self.tenant_id)
        if tenant is None:
            raise TenantUnknown(tenant_id=self.tenant_id)
        if tenant.status == "suspended":
            raise TenantSuspended(tenant_id=self.tenant_id)
        return tenant

    def on(self, db: Executor) -> "Context":
        """The same call on another executor."""
        return msgspec.structs.replace(self, db=db)


class Service:
    """A slice's operations for one tenant. Subclasses take the context alone, so that `bound` can make another."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.db = context.db
        self.tenant_id = context.tenant_id

    def bound(self, db: Executor) -> Self:
        """This service on another executor, most often the transaction of the caller."""
        return type(self)(self.context.on(db))


S = TypeVar("S", bound=Service)


def operation(
    method: Callable[Concatenate[S, P], Awaitable[R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """A method that reads, or writes with one statement: the tenant must exist and not be suspended.

    Inside a transaction this is not asked again: whoever opened it has asked, and asking may take a second connection.
    """

    @wraps(method)
    async def checked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if not isinstance(self.db, Transaction):
            await self.context.settings()
        return await method(self, *args, **kwargs)

    return checked


def transactional(
    method: Callable[Concatenate[S, P], Awaitable[R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """A method that is one transaction, run again where it lost to a rival; `self.db` is that transaction.

    Called inside a transaction it takes part in it. The outermost one checks the tenant before, and settles the
    idempotency claim of the call, if there is one, before it commits.
    """

    @wraps(method)
    async def whole(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        db = self.db
        if isinstance(db, Transaction):
            return await method(self, *args, **kwargs)
        if not isinstance(db, Database):
            raise TypeError(f"{type(self).__name__}.{method.__name__} needs a Database or a Transaction")
        await self.context.settings()
        claim = self.context.claim

        async def attempt(tx: Transaction) -> R:
            result = await method(self.bound(tx), *args, **kwargs)
            if claim is not None:
                await claim.settle(tx)
            return result

        return await db.run(attempt)

    return whole
