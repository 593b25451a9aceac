"""Make, list and suspend shops, and know which one a host name means."""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from storeroom.core.contact import normal_country
from storeroom.core.ids import TenantId
from storeroom.core.money import currency_digits
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import TENANT_CACHE_S, Context, TenantCache, TenantUnknown
from storeroom.tenants import queries
from storeroom.tenants.errors import HostTaken, HostUnknown, InvalidTenant, TenantExists
from storeroom.tenants.model import (
    DURATION_MAX,
    HOSTS_MAX,
    NAME_LENGTH_MAX,
    OPEN_ORDERS_MAX,
    Tenant,
    TenantStatus,
)

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
DEFAULT_TENANT: Final = TenantId("default")
HOSTS_KEPT_MAX: Final = 10_000


async def settings_of(context: Context) -> Tenant:
    """The tenant of a call, at most a few seconds old."""
    tenant = await context.settings()
    if not isinstance(tenant, Tenant):
        raise TypeError("the context was made without the tenants of the room")
    return tenant


class Tell(Protocol):
    """Writes down what the operator did to a shop, where that shop's staff find it."""

    async def __call__(
        self, tx: Transaction, tenant_id: TenantId, action: str, *, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        """In the transaction of the change; of `old` and `new` the fields that differ."""
        ...


async def _tell_nobody(
    tx: Transaction, tenant_id: TenantId, action: str, *, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """For a program that keeps no trail."""


async def tenant_row(db: Executor, tenant_id: str) -> Tenant | None:
    """The shop as it is at this moment, past every cache."""
    return await queries.tenant(db, tenant_id=tenant_id)


async def changed_settings(db: Executor, tenant_id: str, changes: Mapping[str, Any]) -> tuple[Tenant, Tenant]:
    """Change settings by name, in the caller's transaction; the shop before and after.

    Raises:
        InvalidTenant: an unknown setting, or one out of bounds.
        TenantUnknown: no such shop.
    """
    known = await queries.lock_tenant(db, tenant_id=tenant_id)
    if known is None:
        raise TenantUnknown(tenant_id=tenant_id)
    settings = {name: getattr(known, name) for name in SETTINGS}
    for name in changes:
        if name not in settings:
            raise InvalidTenant(field=name, reason="no such setting, or one that cannot be changed")
    updated = await queries.update_tenant(db, tenant_id=tenant_id, **_checked(**{**settings, **changes}))
    if updated is None:
        raise TenantUnknown(tenant_id=tenant_id)
    return known, updated


class Tenants:
    """The shops of one installation. This is the operator's face: it belongs to no tenant.

    What is done here is told to the shop that it is done to.
    """

    def __init__(self, db: Database, *, tell: Tell = _tell_nobody) -> None:
        self._db = db
        self._tell = tell
        self.cache: TenantCache[Tenant] = TenantCache(self._load)
        self._hosts: dict[str, tuple[TenantId, float]] = {}  # until when it is believed

    async def _load(self, tenant_id: TenantId) -> Tenant | None:
        return await queries.tenant(self._db, tenant_id=tenant_id)

    async def create(
        self,
        tenant_id: str,
        *,
        name: str,
        currency: str,
        time_zone: str = "UTC",
        country_code: str = "US",
        order_window: timedelta = timedelta(days=7),
        reservation_hold: timedelta = timedelta(minutes=15),
        cart_lifetime: timedelta = timedelta(days=30),
        cart_idle: timedelta = timedelta(days=7),
        open_orders_max: int = 20,
        compliance_required: bool = False,
        lookup_code_required: bool = False,
        staff_second_factor_required: bool = False,
    ) -> Tenant:
        """Open a shop.

        Args:
            tenant_id: letters, digits, `-` and `_`, at most 64.
            name: what people call it.
            currency: ISO 4217 code of all its prices; it cannot be changed later.
            time_zone: IANA name, of its business days.
            country_code: ISO 3166-1; national phone numbers are read as of this country.
            order_window: an order unpaid this long is cancelled.
            reservation_hold: how long units are set aside for a cart.
            cart_lifetime: from its making.
            cart_idle: an active cart untouched this long counts as abandoned.
            open_orders_max: unpaid orders that one visitor may hold.
            compliance_required: whether every order needs an acknowledgement.
            lookup_code_required: whether who looks up an order says a code that was sent to its phone.
            staff_second_factor_required: whether staff need a second factor from their next sign-in on.

        Raises:
            InvalidTenant: a setting is out of bounds.
            UnknownCurrency: no such currency.
            TenantExists: the id is taken.
        """
        if not _ID.fullmatch(tenant_id):
            raise InvalidTenant(field="tenant_id", reason="1 to 64 letters, digits, '-' or '_'")
        currency_digits(currency)
        settings = _checked(
            name=name,
            time_zone=time_zone,
            country_code=country_code,
            order_window=order_window,
            reservation_hold=reservation_hold,
            cart_lifetime=cart_lifetime,
            cart_idle=cart_idle,
            open_orders_max=open_orders_max,
            compliance_required=compliance_required,
            lookup_code_required=lookup_code_required,
            staff_second_factor_required=staff_second_factor_required,
        )
        async with self._db.transaction() as tx:
            if not await queries.insert_tenant(tx, tenant_id=tenant_id, currency=currency, **settings):
                raise TenantExists(tenant_id=tenant_id)
            await self._tell(tx, TenantId(tenant_id), "tenants.create", old={}, new={"currency": currency, **settings})
        return await self.get(tenant_id)

    async def get(self, tenant_id: str) -> Tenant:
        """One shop, suspended or not. Raises TenantUnknown."""
        tenant = await queries.tenant(self._db, tenant_id=tenant_id)
        if tenant is None:
            raise TenantUnknown(tenant_id=tenant_id)
        return tenant

    async def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Tenant]:
        """All shops, by id."""
        size = page_size(limit)
        after = decode_cursor(cursor, (str,))[0] if cursor else ""
        rows = await queries.tenants_after(self._db, after=after, size=size + 1)
        return page_of(rows, size, lambda tenant: (tenant.tenant_id,))

    async def update(self, tenant_id: str, **changes: Any) -> Tenant:
        """Change settings by name; see `create` for their bounds. The id, the currency and the status stay.

        Raises:
            InvalidTenant: an unknown setting, or one out of bounds.
        """
        async with self._db.transaction() as tx:
            before, after = await changed_settings(tx, tenant_id, changes)
            await self._tell(tx, TenantId(tenant_id), "tenants.update", old=_settings(before), new=_settings(after))
        self.cache.forget(TenantId(tenant_id))
        return after

    async def suspend(self, tenant_id: str) -> Tenant:
        """Stop a shop: within seconds every process refuses to read or do anything in its name."""
        return await self._set_status(tenant_id, TenantStatus.SUSPENDED)

    async def resume(self, tenant_id: str) -> Tenant:
        """Let a suspended shop work again."""
        return await self._set_status(tenant_id, TenantStatus.ACTIVE)

    async def _set_status(self, tenant_id: str, status: TenantStatus) -> Tenant:
        verb = "suspend" if status is TenantStatus.SUSPENDED else "resume"
        async with self._db.transaction() as tx:
            before = await queries.lock_tenant(tx, tenant_id=tenant_id)
            after = await queries.set_status(tx, tenant_id=tenant_id, status=status)
            if before is None or after is None:
                raise TenantUnknown(tenant_id=tenant_id)
            told = {"old": {"status": before.status}, "new": {"status": after.status}}
            await self._tell(tx, TenantId(tenant_id), f"tenants.{verb}", **told)
        self.cache.forget(TenantId(tenant_id))
        return after

    async def add_host(self, tenant_id: str, host: str) -> None:
        """Let a host name lead to this shop; saying it again changes nothing.

        Raises:
            InvalidTenant: not a host name, or the shop has HOSTS_MAX already.
            HostTaken: it leads to another shop.
        """
        await self.get(tenant_id)
        name = _host_name(host)
        if not _HOST.fullmatch(name):
            raise InvalidTenant(field="host", reason="not a host name")
        if len(await queries.hosts_of(self._db, tenant_id=tenant_id)) >= HOSTS_MAX:
            raise InvalidTenant(field="host", reason=f"a shop has at most {HOSTS_MAX} hosts")
        async with self._db.transaction() as tx:
            made = await queries.insert_host(tx, host=name, tenant_id=tenant_id)
            if await queries.tenant_of_host(tx, host=name) != tenant_id:
                raise HostTaken(host=name)
            if made:
                await self._tell(tx, TenantId(tenant_id), "tenants.add_host", old={}, new={"host": name})

    async def hosts(self, tenant_id: str) -> Sequence[str]:
        """The host names of a shop."""
        return await queries.hosts_of(self._db, tenant_id=tenant_id)

    async def remove_host(self, tenant_id: str, host: str) -> None:
        """Let a host name lead nowhere, in every process within seconds; unknown ones are no error."""
        name = _host_name(host)
        async with self._db.transaction() as tx:
            if await queries.delete_host(tx, host=name, tenant_id=tenant_id):
                await self._tell(tx, TenantId(tenant_id), "tenants.remove_host", old={"host": name}, new={})
        self._hosts.pop(name, None)

    async def at_host(self, host: str) -> TenantId:
        """The shop that answers at a host name.

        An unknown host is `default` where that is the only shop, so that one shop never thinks of hosts.

        Raises:
            HostUnknown: several shops, and none has this name.
        """
        name = _host_name(host if host.endswith("]") else host.rsplit(":", 1)[0])
        known = self._hosts.get(name)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        self._hosts.pop(name, None)
        found = await queries.tenant_of_host(self._db, host=name)
        if found is None:
            some = await queries.tenants_after(self._db, after="", size=2)
            if [tenant.tenant_id for tenant in some] != [DEFAULT_TENANT]:
                raise HostUnknown(host=name)
            return DEFAULT_TENANT
        if len(self._hosts) >= HOSTS_KEPT_MAX:
            del self._hosts[next(iter(self._hosts))]  # the one looked up longest ago
        self._hosts[name] = (TenantId(found), time.monotonic() + TENANT_CACHE_S)
        return TenantId(found)


def _host_name(host: str) -> str:
    """As it is stored: without blanks around it, the root's dot, and capitals."""
    return host.strip().rstrip(".").lower()


SETTINGS: Final = (
    "name",
    "time_zone",
    "country_code",
    "order_window",
    "reservation_hold",
    "cart_lifetime",
    "cart_idle",
    "open_orders_max",
    "compliance_required",
    "lookup_code_required",
    "staff_second_factor_required",
)


def _settings(tenant: Tenant) -> dict[str, Any]:
    return {name: getattr(tenant, name) for name in SETTINGS}


def _checked(**settings: Any) -> dict[str, Any]:
    if not 1 <= len(settings["name"].strip()) <= NAME_LENGTH_MAX:
        raise InvalidTenant(field="name", reason=f"1 to {NAME_LENGTH_MAX} characters")
    try:
        ZoneInfo(settings["time_zone"])
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidTenant(field="time_zone", reason="no such time zone") from None
    settings["country_code"] = normal_country(settings["country_code"])
    for field in ("order_window", "reservation_hold", "cart_lifetime", "cart_idle"):
        if not timedelta(minutes=1) <= settings[field] <= DURATION_MAX:
            raise InvalidTenant(field=field, reason=f"one minute to {DURATION_MAX.days} days")
    if not 1 <= settings["open_orders_max"] <= OPEN_ORDERS_MAX:
        raise InvalidTenant(field="open_orders_max", reason=f"1 to {OPEN_ORDERS_MAX}")
    return settings
