"""A Vendure shop as the source of customers, addresses and orders: what it tells becomes rows of ours.

Messages may come in any order, twice, late, or with a part of the fields. What was said is kept with its instants (see
`sources`), and the rows here are made from that: whoever comes first finds what it needs, or waits. Locks are taken in
one order: the record of a customer, that of an address or order, then the account, the order, its buyer's statistics.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from storeroom.audit import audited
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import AddressId, OrderId, OrderLineId, TenantId, UserId, new_id
from storeroom.core.pages import Page
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind, Context, Service, operation, transactional
from storeroom.flows import queries
from storeroom.flows.errors import SourceForStaff
from storeroom.flows.vendure_model import (
    CONSENT,
    VENDURE,
    Incomplete,
    VendureOrder,
    address_of,
    customer_id_of,
    customer_of,
    default_since,
    external_id,
    gone,
    is_gone,
    order_of,
    told,
)
from storeroom.identity import AddressType, SyncedAccounts, SyncedCustomer, SyncObstacle
from storeroom.inbox import Handled, InboxMessage
from storeroom.orders import OrderCodeTaken, OrderStatus, SyncedLine, SyncedOrder, SyncedOrders
from storeroom.sources import (
    InvalidSourceMessage,
    SourceKind,
    SourceRecord,
    Sources,
    note_tried,
    records_to_try,
    source_instant,
)
from storeroom.tenants import Tenants, settings_of

_log = logging.getLogger(__name__)
RETRY_EVERY: Final = timedelta(minutes=10)  # what waits for no customer is tried again so often
_WHOSE: Final = "customerId"
NOT_TOLD: Final = "not_told"  # another record named it, and nothing was said of itself
ACTOR: Final = Actor(kind=ActorKind.WEBHOOK, name=VENDURE)  # in whose name accounts and orders change
DELETED: Final = "deleted"
_CHANGES: Final = frozenset({"created", "updated", DELETED})
_SENT: Final = frozenset({OrderStatus.SHIPPED, OrderStatus.DELIVERED})
_UNPAID: Final = frozenset({OrderStatus.PENDING_PAYMENT, OrderStatus.CANCELLED})


class Synced(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a message."""

    kind: SourceKind
    external_id: str
    id: UUID | None  # of the row here; None: not synced
    waits_for: str | None  # what must come before it is
    changed: bool  # False: nothing of it was news


class Unsynced(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the source that is not here as it is said there."""

    kind: SourceKind
    external_id: str
    customer_id: str | None  # of an address or order: whose it is there
    id: UUID | None  # of the row here, where there is one that lags behind
    waits_for: str
    changed_at: datetime | None
    last_synced_at: datetime | None


class Vendure(Service):
    """The records of one Vendure shop. Entities have the shape of Vendure's own; see docs/vendure.md."""

    @audited("vendure.upsert_customer", "user", hidden=("customer",))
    @transactional
    async def upsert_customer(self, *, customer: Mapping[str, Any], at: datetime | None = None) -> Synced:
        """Take what is said of a customer, and of its addresses where they stand in it.

        An account whose proven mail address it has is linked, not doubled; see `SyncedAccounts`.

        Args:
            customer: Vendure's Customer; fields that are left out stay.
            at: when it was so; None: its `updatedAt`.

        Raises:
            InvalidSourceMessage, InvalidEmail, InvalidPerson: a field cannot be taken. Nothing was written.
        """
        when = self._when(customer, at)
        record = await self._locked(SourceKind.CUSTOMER, external_id(customer.get("id")))
        synced = await self._hear_customer(record, told(customer, without=("addresses", "orders")), when)
        addresses = customer.get("addresses")
        for address in addresses if isinstance(addresses, list) else []:
            if not isinstance(address, Mapping):
                raise InvalidSourceMessage(field="addresses", reason="objects")
            await self._hear_address(address, when, customer_id=synced.external_id)
        return synced

    @audited("vendure.delete_customer", "user")
    @transactional
    async def delete_customer(self, *, vendure_customer_id: str, at: datetime) -> Synced:
        """Take that a customer is deleted there. The account stays for its orders, suspended where nobody owns it."""
        record = await self._locked(SourceKind.CUSTOMER, external_id(vendure_customer_id))
        return await self._hear_customer(record, gone(), self._when({}, at))

    @audited("vendure.upsert_address", "address", hidden=("address",))
    @transactional
    async def upsert_address(
        self, *, address: Mapping[str, Any], vendure_customer_id: str | None = None, at: datetime | None = None
    ) -> Synced:
        """Take what is said of an address; it waits until its customer is here.

        Args:
            address: Vendure's Address; fields that are left out stay.
            vendure_customer_id: whose, where the entity does not say.
            at: when it was so; None: its `updatedAt`.

        Raises:
            InvalidSourceMessage: a field cannot be taken. Nothing was written.
        """
        return await self._hear_address(address, self._when(address, at), customer_id=vendure_customer_id)

    @audited("vendure.delete_address", "address")
    @transactional
    async def delete_address(self, *, vendure_address_id: str, at: datetime) -> Synced:
        """Take that an address is deleted there; it goes here as well."""
        return await self._hear_address({"id": vendure_address_id}, self._when({}, at), customer_id=None, deleted=True)

    @audited("vendure.upsert_order", "order", hidden=("order",))
    @transactional
    async def upsert_order(self, *, order: Mapping[str, Any], at: datetime | None = None) -> Synced:
        """Take what is said of an order; it waits until its customer and the variants of its lines are here.

        It reserves nothing and asks for no money; lines that are not among its lines go. A cart there is no order yet.

        Args:
            order: Vendure's Order; fields that are left out stay.
            at: when it was so; None: its `updatedAt`.

        Raises:
            InvalidSourceMessage, InvalidEmail: a field cannot be taken. Nothing was written.
        """
        said = told(order, without=("customerId",))
        return await self._hear_child(
            SourceKind.ORDER, external_id(order.get("id")), customer_id_of(order), said, self._when(order, at)
        )

    @transactional
    async def retry(self, *, kind: SourceKind, external_id: str) -> Synced | None:
        """Try again what waits; None where nobody spoke of it. That it still waits is no error."""
        self._check_caller()
        known = await self._sources.get(source=VENDURE, kind=kind, external_id=external_id)
        if known is None:
            return None
        if kind is SourceKind.CUSTOMER:
            record = await self._locked(kind, external_id)
            return await self._apply_customer(record) if record.waits_for else _synced(record, changed=False)
        record, parent = await self._with_parent(kind, external_id, None)
        return await self._apply_child(record, parent) if record.waits_for else _synced(record, changed=False)

    @operation
    async def unsynced(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Unsynced]:
        """Records of the source that are not here as it says them, each with what it waits for."""
        self._check_caller()
        page = await self._sources.waiting(source=VENDURE, cursor=cursor, limit=limit)
        return Page(items=[_unsynced(record) for record in page.items], next_cursor=page.next_cursor)

    @operation
    async def source_of(self, *, kind: SourceKind, external_id: str) -> SourceRecord | None:
        """The record behind a row here, which names it as `vendure_customer_id`, `_address_id` or `_order_id`."""
        self._check_caller()
        return await self._sources.get(source=VENDURE, kind=kind, external_id=external_id)

    # --- Customers ----------------------------------------------------------------------------------------------------

    async def _hear_customer(self, record: SourceRecord, fields: Mapping[str, Any], when: datetime) -> Synced:
        new, other = await self._sources.hear(record, told=fields, at=when)
        if new.fields == record.fields:
            return _synced(record, changed=False)
        return await self._apply_customer(new, other)

    async def _apply_customer(self, record: SourceRecord, other: frozenset[str] = frozenset()) -> Synced:
        """Make the account as the record is; `other`: the fields that are not what they were."""
        came = record.local_id is None or record.waits_for is not None
        try:
            customer = customer_of(record.said(), customer_id=record.external_id)
        except Incomplete as missing:
            return await self._wait(record, missing.field if record.changed_at else NOT_TOLD)
        if not came and CONSENT not in other:  # events carry the whole customer: saying it again is no new consent
            customer = msgspec.structs.replace(customer, marketing_consent=None)
        account = await self._accounts.put(customer=customer, user_id=_user(record.local_id))
        if isinstance(account, SyncObstacle):
            return await self._wait(record, account.value)
        synced = await self._agree(record, account)
        if came:
            here = msgspec.structs.replace(record, local_id=account, waits_for=None)
            for child in await self._sources.waiting_children(here):
                locked = await self._locked(child.kind, child.external_id)
                if locked.parent_id == here.external_id and locked.waits_for is not None:
                    await self._apply_child(locked, here)
        return synced

    # --- Addresses ----------------------------------------------------------------------------------------------------

    async def _hear_address(
        self, address: Mapping[str, Any], when: datetime, *, customer_id: str | None, deleted: bool = False
    ) -> Synced:
        said = gone() if deleted else told(address, without=("customer", "customerId"))
        whose = customer_id_of(address) or customer_id
        return await self._hear_child(SourceKind.ADDRESS, external_id(address.get("id")), whose, said, when)

    async def _apply_address(self, record: SourceRecord, parent: SourceRecord | None) -> Synced:
        values = record.values()
        if is_gone(values):
            synced = await self._agree(record, record.local_id)
            if record.local_id is not None and parent is not None and parent.local_id is not None:
                user_id = UserId(parent.local_id)
                await self._accounts.drop_address(user_id=user_id, address_id=AddressId(record.local_id))
                await self._choose_defaults(parent, user_id)
            return synced
        try:
            address, purpose = address_of(values, name=_full_name(parent))
        except Incomplete as missing:
            return await self._wait(record, missing.field)
        if parent is None or parent.local_id is None:
            return await self._wait(record, _customer(parent))
        user_id = UserId(parent.local_id)
        address_id = await self._accounts.put_address(
            user_id=user_id,
            address_id=AddressId(record.local_id) if record.local_id is not None else None,
            external_id=record.external_id,
            address=address,
            address_type=purpose,
        )
        if address_id is None:
            return await self._wait(record, "room for another address")
        synced = await self._agree(record, address_id)
        await self._choose_defaults(parent, user_id)
        return synced

    async def _choose_defaults(self, parent: SourceRecord, user_id: UserId) -> None:
        """The default of each type is the one that was chosen last: Vendure does not tell which ones it replaces."""
        chosen: dict[AddressType, tuple[str, str, AddressId]] = {}
        for record in await self._sources.children(parent, kind=SourceKind.ADDRESS):
            since = default_since(record.said())
            if since is None or record.local_id is None or record.waits_for or is_gone(record.values()):
                continue
            try:
                _, purpose = address_of(record.values(), name=_full_name(parent))
            except (Incomplete, InvalidSourceMessage):
                continue  # it was an address once, and is not as it is said now
            candidate = (since, record.external_id, AddressId(record.local_id))
            chosen[purpose] = max(chosen.get(purpose, candidate), candidate)
        await self._accounts.choose_defaults(
            user_id=user_id, chosen={purpose: address_id for purpose, (_, _, address_id) in chosen.items()}
        )

    # --- Orders -------------------------------------------------------------------------------------------------------

    async def _apply_order(self, record: SourceRecord, parent: SourceRecord | None) -> Synced:
        tenant = await settings_of(self.context)
        try:
            order = order_of(record.said(), country=tenant.country_code)
        except Incomplete as missing:
            return await self._wait(record, missing.field)
        if order is None:
            return await self._agree(record, record.local_id)  # a cart
        if parent is None or parent.local_id is None:
            return await self._wait(record, _customer(parent))
        known = {
            variant.sku: variant
            for variant in await queries.variants_of_skus(
                self.db, tenant_id=self.tenant_id, skus=sorted({line.sku for line in order.lines})
            )
        }
        for line in order.lines:
            if line.sku not in known:
                return await self._wait(record, f"sku {line.sku}")
        lines = [
            SyncedLine(
                id=OrderLineId(new_id()),
                position=place,
                product_id=known[line.sku].product_id,
                variant_id=known[line.sku].variant_id,
                product_sku=line.sku,
                product_name=line.product_name or known[line.sku].product_name,
                variant_title=line.variant_title or known[line.sku].title,
                is_digital=known[line.sku].is_digital,
                quantity=line.quantity,
                unit_price=line.unit_price,
                discount_amount=line.discount_amount,
                tax_amount=line.tax_amount,
                quantity_fulfilled=line.quantity if order.status in _SENT else 0,
                quantity_cancelled=line.quantity if order.status is OrderStatus.CANCELLED else 0,
                patch_enabled=line.patch_type is not None,
                patch_type=line.patch_type,
                print_name=line.print_name,
                print_number=line.print_number,
            )
            for place, line in enumerate(order.lines, 1)
        ]
        try:
            buyer = customer_of(parent.said(), customer_id=parent.external_id)
        except Incomplete as missing:  # the account was made, and the customer has lost the field since
            return await self._wait(record, f"{_customer(parent)} {missing.field}")
        try:
            order_id = await self._orders.put(
                order=_whole(record, order, buyer, UserId(parent.local_id), lines),
                order_id=OrderId(record.local_id) if record.local_id is not None else None,
            )
        except OrderCodeTaken:
            return await self._wait(record, f"code {order.code}")
        if order_id is None:
            return await self._wait(record, "lines that were refunded here")
        return await self._agree(record, order_id)

    # --- Shared steps -------------------------------------------------------------------------------------------------

    @property
    def _sources(self) -> Sources:
        return Sources(self.context)

    @property
    def _accounts(self) -> SyncedAccounts:
        return SyncedAccounts(self._quiet())

    @property
    def _orders(self) -> SyncedOrders:
        return SyncedOrders(self._quiet())

    def _quiet(self) -> Context:
        """In the shop's own name: what staff may do to accounts does not bind what another system says of them."""
        return msgspec.structs.replace(self.context, actor=ACTOR, audited=True)

    def _check_caller(self) -> None:
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise SourceForStaff

    def _when(self, entity: Mapping[str, Any], at: datetime | None) -> datetime:
        self._check_caller()
        now = self.context.clock.now()
        return source_instant(at or entity.get("updatedAt"), now=now, field="occurred_at" if at else "updatedAt")

    async def _locked(self, kind: SourceKind, given: str) -> SourceRecord:
        return await self._sources.locked(source=VENDURE, kind=kind, external_id=given)

    async def _hear_child(
        self, kind: SourceKind, given: str, whose: str | None, said: Mapping[str, Any], when: datetime
    ) -> Synced:
        """What is said of an address or order: whose it is is a field like others, so that the last word counts."""
        record, parent = await self._with_parent(kind, given, whose)
        new, _ = await self._sources.hear(record, told=said if whose is None else {**said, _WHOSE: whose}, at=when)
        if new.fields == record.fields:
            return _synced(record, changed=False)
        owner = new.values().get(_WHOSE)
        if owner is not None and (parent is None or parent.external_id != owner):
            parent = await self._locked_customer(owner)
        return await self._apply_child(msgspec.structs.replace(new, parent_id=owner), parent)

    async def _with_parent(
        self, kind: SourceKind, given: str, whose: str | None
    ) -> tuple[SourceRecord, SourceRecord | None]:
        """A record and its customer's, both locked, the customer's first: who arrives there finds what waits for it."""
        if whose is None:
            known = await self._sources.get(source=VENDURE, kind=kind, external_id=given)
            whose = known.parent_id if known is not None else None
        parent = await self._locked_customer(whose) if whose is not None else None
        return await self._locked(kind, given), parent

    async def _locked_customer(self, customer_id: str) -> SourceRecord:
        """A customer's record, which others may name before anything is said of it."""
        record = await self._locked(SourceKind.CUSTOMER, customer_id)
        if record.changed_at is None and record.waits_for is None:
            record = msgspec.structs.replace(record, waits_for=NOT_TOLD)
            await self._sources.keep(record, synced=False)
        return record

    async def _apply_child(self, record: SourceRecord, parent: SourceRecord | None) -> Synced:
        apply = self._apply_address if record.kind is SourceKind.ADDRESS else self._apply_order
        return await apply(record, parent)

    async def _wait(self, record: SourceRecord, waits_for: str) -> Synced:
        kept = msgspec.structs.replace(record, waits_for=waits_for[:200])
        await self._sources.keep(kept, synced=False)
        return _synced(kept, changed=True)

    async def _agree(self, record: SourceRecord, local_id: UUID | None) -> Synced:
        kept = msgspec.structs.replace(record, local_id=local_id, waits_for=None)
        await self._sources.keep(kept, synced=local_id is not None)
        return _synced(kept, changed=True)


# --- Messages ---------------------------------------------------------------------------------------------------------


async def customer_event(context: Context, message: InboxMessage) -> Handled:
    """Vendure's CustomerEvent."""
    change, entity, at = _read(message, "customer")
    shop = Vendure(context)
    if change == DELETED:
        return _handled(await shop.delete_customer(vendure_customer_id=external_id(entity.get("id")), at=at))
    return _handled(await shop.upsert_customer(customer=entity, at=at))


async def customer_address_event(context: Context, message: InboxMessage) -> Handled:
    """Vendure's CustomerAddressEvent."""
    change, entity, at = _read(message, "address")
    shop = Vendure(context)
    if change == DELETED:
        return _handled(await shop.delete_address(vendure_address_id=external_id(entity.get("id")), at=at))
    return _handled(await shop.upsert_address(address=entity, at=at))


async def order_event(context: Context, message: InboxMessage) -> Handled:
    """Vendure's OrderEvent. What is deleted there was never placed."""
    change, entity, at = _read(message, "order")
    if change == DELETED:
        return Handled(skipped=True)
    return _handled(await Vendure(context).upsert_order(order=entity, at=at))


def _read(message: InboxMessage, name: str) -> tuple[str, Mapping[str, Any], datetime]:
    """What a message says: `{"type", "occurred_at", "data": {"type": "updated", "entity": {...}}}`."""
    data = message.payload.get("data")
    if not isinstance(data, Mapping):
        raise InvalidSourceMessage(field="data", reason="an object")
    change = data.get("type", "updated")
    if change not in _CHANGES:
        raise InvalidSourceMessage(field="data.type", reason="created, updated or deleted")
    entity = data.get("entity", data.get(name))
    if not isinstance(entity, Mapping):
        raise InvalidSourceMessage(field="data.entity", reason="an object")
    return change, entity, source_instant(message.payload.get("occurred_at") or entity.get("updatedAt"))


def _handled(synced: Synced) -> Handled:
    return Handled(
        result=msgspec.to_builtins(synced, enc_hook=str),
        order_id=OrderId(synced.id) if synced.kind is SourceKind.ORDER and synced.id is not None else None,
        skipped=not synced.changed,
    )


# --- What waits -------------------------------------------------------------------------------------------------------


async def retry_waiting(db: Database, *, limit: int = 200) -> int:
    """Try again what waits in all shops, what was tried longest ago first; return how much was tried.

    Each in a transaction of its own; one that fails is left for a later run, and does not keep others from their turn.
    """
    tenants = Tenants(db).cache
    waiting = await records_to_try(db, source=VENDURE, every=RETRY_EVERY, limit=limit)
    for record in waiting:
        context = Context(db=db, tenant_id=TenantId(record.tenant_id), tenants=tenants, actor=ACTOR)
        await note_tried(db, record, source=VENDURE)
        try:
            await Vendure(context).retry(kind=record.kind, external_id=record.external_id)
        except StoreroomError:
            continue  # it still waits, and staff see it among the unsynced
        except Exception:  # noqa: BLE001  # a fault of ours must not stop the other records
            _log.exception("%s %s of %s could not be tried again", record.kind, record.external_id, record.tenant_id)
    return len(waiting)


def _whole(
    record: SourceRecord,
    order: VendureOrder,
    buyer: SyncedCustomer,
    user_id: UserId,
    lines: Sequence[SyncedLine],
) -> SyncedOrder:
    """The order with its buyer and its lines. Of milestones, Vendure tells when the state was reached that it is in."""
    return SyncedOrder(
        source=VENDURE,
        external_id=record.external_id,
        number=order.code,
        user_id=user_id,
        customer_email=order.email or buyer.email.lower(),
        customer_name=order.name or " ".join(filter(None, (buyer.first_name, buyer.last_name))) or buyer.email,
        customer_phone=order.phone,
        status=order.status,
        delivery_stage=order.delivery_stage,
        shipping_address=order.shipping_address,
        billing_address=order.billing_address,
        currency=order.currency,
        subtotal_amount=order.subtotal_amount,
        discount_amount=order.discount_amount,
        shipping_amount=order.shipping_amount,
        tax_amount=order.tax_amount,
        total_amount=order.total_amount,
        paid_at_source=order.paid,
        payment_at_source=order.payment_method,
        shipping_method=order.shipping_method,
        shipping_carrier=order.carrier,
        tracking_number=order.tracking_number,
        discount_code=order.coupon,
        customer_notes=None,
        metadata=order.metadata,
        placed_at=order.placed_at or order.state_at,
        paid_at=order.paid_at or (None if order.status in _UNPAID else order.state_at),
        shipped_at=order.state_at if order.status in _SENT else None,
        delivered_at=order.state_at if order.status is OrderStatus.DELIVERED else None,
        cancelled_at=order.state_at if order.status is OrderStatus.CANCELLED else None,
        lines=list(lines),
    )


def _synced(record: SourceRecord, *, changed: bool) -> Synced:
    return Synced(
        kind=record.kind,
        external_id=record.external_id,
        id=record.local_id,
        waits_for=record.waits_for,
        changed=changed,
    )


def _unsynced(record: SourceRecord) -> Unsynced:
    return Unsynced(
        kind=record.kind,
        external_id=record.external_id,
        customer_id=record.parent_id,
        id=record.local_id,
        waits_for=record.waits_for or "",
        changed_at=record.changed_at,
        last_synced_at=record.last_synced_at,
    )


def _user(local_id: UUID | None) -> UserId | None:
    return None if local_id is None else UserId(local_id)


def _customer(parent: SourceRecord | None) -> str:
    return "customer" if parent is None else f"customer {parent.external_id}"


def _full_name(parent: SourceRecord | None) -> str | None:
    values = parent.values() if parent is not None else {}
    return " ".join(str(values[name]) for name in ("firstName", "lastName") if values.get(name)) or None
