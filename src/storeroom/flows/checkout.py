"""Placing orders: one call of a database function, for one order or for a group of those that arrive together."""

import asyncio
import hashlib
from collections import deque
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from storeroom.analytics import browser_of
from storeroom.carts import Visitor
from storeroom.core.contact import normal_address, normal_email, normal_phone
from storeroom.core.ids import OrderId, TenantId, human_code, new_id
from storeroom.core.money import AMOUNT_MAX, Money
from storeroom.database.errors import constraint_of, lost_to_a_rival
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import Context, Service
from storeroom.flows import queries
from storeroom.flows.errors import InvalidPurchase, refusal
from storeroom.flows.model import (
    FLIGHTS_MAX,
    GROUP_SIZE_MAX,
    IDEMPOTENCY_TTL,
    KEY_LENGTH_MAX,
    METADATA_BYTES_MAX,
    PLACE_ATTEMPTS_MAX,
    QUANTITY_MAX,
    AskedLine,
    AskedOrder,
    CheckoutSettings,
    PaymentAsked,
    PlacedOrder,
    Placement,
    Purchase,
    PurchaseLine,
    Verdict,
)
from storeroom.orders import OrderStatus, traffic_source
from storeroom.outbox import wake
from storeroom.promotions import COUPONS_MAX, normal_code
from storeroom.tenants import Tenant, settings_of

Entry = tuple[AskedOrder, CheckoutSettings, "asyncio.Future[Verdict]"]

ORDER_CODE_LENGTH: Final = 8
PAYMENT_CODE_LENGTH: Final = 10
EVENTS_OF_AN_ORDER: Final = 5  # at most
# What could not be asked of v1 leaves the fingerprints as they were: a request may be sent again after an upgrade.
_UNASKED: Final = b',"coupons":[],"use_store_credit":false'
_DRAWN: Final = frozenset({"orders_number_unique", "payments_reference_unique"})  # ours to draw again
_MADE_MEANWHILE: Final = frozenset(  # a rival placed it, or took of the credit: look again
    {"orders_purchase_unique", "orders_cart_unique", "store_credits_balance_positive"}
)
_CROWD: Final = frozenset({"short", "too_many_open"})  # may be the group's doing; asked again alone before it is said


class CheckoutGroups:
    """Gathers the checkouts that arrive together, for each tenant, into one call of place_orders_v2.

    At most FLIGHTS_MAX calls of a tenant are on their way; whoever comes meanwhile waits for the next one. So company
    gathers while a group commits: no timer is needed, and a lone caller never waits.
    """

    def __init__(self, db: Executor) -> None:
        self._db = db
        self._queues: dict[TenantId, deque[Entry]] = {}
        self._flying: dict[TenantId, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, tenant_id: TenantId, order: AskedOrder, settings: CheckoutSettings) -> Verdict:
        """What became of the order. Where the database fails, every caller of the group it befell is told."""
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(tenant_id, deque())
        queue.append((order, settings, future))
        flying = self._flying.get(tenant_id, 0)
        if flying < FLIGHTS_MAX:
            self._flying[tenant_id] = flying + 1
            task = asyncio.create_task(self._fly(tenant_id, queue))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _fly(self, tenant_id: TenantId, queue: deque[Entry]) -> None:
        try:
            while queue:
                await asyncio.sleep(0)  # those already awake come aboard
                group = [entry for entry in _taken(queue) if not entry[2].done()]  # a caller who left is not placed
                if group:
                    await self._deliver(tenant_id, group)
        finally:
            self._flying[tenant_id] -= 1
            if not queue:
                self._queues.pop(tenant_id, None)
                if not self._flying[tenant_id]:
                    del self._flying[tenant_id]

    async def _deliver(self, tenant_id: TenantId, group: list[Entry]) -> None:
        try:
            verdicts = await place(self._db, tenant_id, [order for order, _, _ in group], group[0][1])
        except asyncpg.IntegrityConstraintViolationError as error:
            for order, settings, future in group:  # one of them clashed: each on its own
                await self._deliver_alone(tenant_id, order, settings, future, error)
        except (asyncpg.DataError, ValueError) as error:  # one of them holds what no row can: the others are good
            if len(group) == 1:
                _refuse(group, error)
            for order, settings, future in group:
                await self._deliver_alone(tenant_id, order, settings, future, None)
        except Exception as error:  # noqa: BLE001  # every caller of the group is told
            _refuse(group, error)
        else:
            for (order, settings, future), verdict in zip(group, verdicts, strict=True):
                if future.done():
                    continue
                if verdict.verdict == "retry" or (verdict.verdict in _CROWD and len(group) > 1):
                    await self._deliver_alone(tenant_id, order, settings, future, None)
                else:
                    future.set_result(verdict)

    async def _deliver_alone(
        self,
        tenant_id: TenantId,
        order: AskedOrder,
        settings: CheckoutSettings,
        future: "asyncio.Future[Verdict]",
        clash: asyncpg.IntegrityConstraintViolationError | None,
    ) -> None:
        if future.done():
            return
        try:
            future.set_result(await place_alone(self._db, tenant_id, order, settings, clash))
        except Exception as error:  # noqa: BLE001  # the caller is told
            if not future.done():
                future.set_exception(error)


def _refuse(group: list[Entry], error: Exception) -> None:
    for _, _, future in group:
        if not future.done():
            future.set_exception(error)


def _taken(queue: deque[Entry]) -> list[Entry]:
    return [queue.popleft() for _ in range(min(len(queue), GROUP_SIZE_MAX))]


async def place(
    db: Executor, tenant_id: TenantId, orders: list[AskedOrder], settings: CheckoutSettings
) -> list[Verdict]:
    """Call the function for a group; a group that lost to a rival is sent again. Verdicts come in the group's order."""
    for ordinal, order in enumerate(orders):
        order.ordinal = ordinal
    for attempt in range(1, PLACE_ATTEMPTS_MAX + 1):
        try:
            return await queries.place_orders(db, tenant_id=tenant_id, orders=orders, settings=settings)
        except asyncpg.PostgresError as error:
            if attempt == PLACE_ATTEMPTS_MAX or isinstance(db, Transaction) or not lost_to_a_rival(error):
                raise
    raise AssertionError  # pragma: no cover  # the last attempt returns or raises


async def place_alone(
    db: Executor,
    tenant_id: TenantId,
    order: AskedOrder,
    settings: CheckoutSettings,
    clash: asyncpg.IntegrityConstraintViolationError | None = None,
) -> Verdict:
    """Place one order; a number that is taken is drawn again, and what a rival has just placed is looked up."""
    for attempt in range(1, PLACE_ATTEMPTS_MAX + 1):
        if clash is not None:
            if constraint_of(clash, db.names) in _DRAWN:
                order.order_number = human_code(ORDER_CODE_LENGTH)
                if order.payment_method is not None:
                    order.payment_reference = _payment_reference()
                if order.credit_limit is not None:
                    order.credit_reference = _payment_reference()
            clash = None
        try:
            return (await place(db, tenant_id, [order], settings))[0]
        except asyncpg.IntegrityConstraintViolationError as error:
            known = constraint_of(error, db.names) in _DRAWN | _MADE_MEANWHILE
            if attempt == PLACE_ATTEMPTS_MAX or not known or isinstance(db, Transaction):
                raise
            clash = error
    raise AssertionError  # pragma: no cover  # the last attempt returns or raises


class Checkout(Service):
    """Turns carts and lines into orders."""

    def __init__(self, context: Context, groups: CheckoutGroups | None = None) -> None:
        """Without groups every order is a call of its own."""
        super().__init__(context)
        self._groups = groups

    async def place(
        self,
        purchase: Purchase,
        *,
        visitor: Visitor | None = None,
        idempotency_key: str | None = None,
        idempotency_scope: str = "checkout",
        domain: str | None = None,
    ) -> Placement:
        """Place one order, all of it or nothing, and commit.

        Stock, order, history, payment request, outbox row and idempotency key are written in one transaction.
        A retry is safe with an idempotency key or a purchase id: it gets the order of the first call.

        Args:
            purchase: a cart or lines, the customer, the address, how to pay.
            visitor: whose cart it must be; None: a trusted caller, any cart.
            idempotency_key: the same key with the same purchase gives the same answer for IDEMPOTENCY_TTL.
            idempotency_scope: keys of different scopes are different keys.
            domain: the host name it was bought at.

        Raises:
            OutOfStock: `lines` says which lines and how many units are left.
            PriceChanged, LineUnavailable, AgeRequired, KycRequired, ComplianceRequired, Restricted, AddressRequired,
            ShippingUnavailable, PaymentMethodRefused, CartUnknown, CartClosed, TooManyOpenOrders, BuyerNotActive,
            NothingToBuy, CurrencyNotSold: as their names say.
            CouponNotFound, CouponNotApplicable, CouponUsedUp: of a typed code, or of the cart's. A coupon that applies
                by itself and does not apply here is left out.
            InvalidPurchase, InvalidEmail, InvalidPhone, InvalidAddress: the request cannot be right.
            IdempotencyKeyReused: the key was used for another purchase.
        """
        tenant = await settings_of(self.context)
        order = self._asked(purchase, tenant, visitor, domain)
        if idempotency_key is not None:
            _bind_key(order, purchase, idempotency_key, idempotency_scope)
        if self._groups is None or isinstance(self.db, Transaction):
            verdict = await place_alone(self.db, self.tenant_id, order, _settings(tenant))
        else:
            verdict = await self._groups.send(self.tenant_id, order, _settings(tenant))
        if verdict.verdict == "placed":
            wake(self.db)
        return await self._answer(verdict, tenant.currency)

    async def place_in(self, tx: Transaction, purchase: Purchase, *, visitor: Visitor | None = None) -> Placement:
        """Place one order in the caller's transaction, which commits it or rolls it back. Raises as `place`."""
        return await self.bound(tx).place(purchase, visitor=visitor)

    async def _answer(self, verdict: Verdict, currency: str) -> Placement:
        match verdict.verdict:
            case "placed" | "replayed":
                replayed = verdict.verdict == "replayed"
                return Placement(order=_placed(verdict.answer), new=not replayed, replayed=replayed)
            case "already_placed":
                order = await queries.placed_order(
                    self.db, tenant_id=self.tenant_id, order_id=OrderId(verdict.answer["order_id"])
                )
                if order is None:
                    raise AssertionError(f"order {verdict.answer['order_id']} was there a moment ago")
                return Placement(order=order, new=False)
            case _:
                raise refusal(verdict.verdict, verdict.answer, currency)

    def _asked(
        self,
        purchase: Purchase,
        tenant: Tenant,
        visitor: Visitor | None,
        domain: str | None,
    ) -> AskedOrder:
        if (purchase.cart_id is None) == (purchase.lines is None):
            raise InvalidPurchase(field="cart_id", reason="give a cart or lines, one of the two")
        if purchase.metadata and len(msgspec.json.encode(purchase.metadata)) > METADATA_BYTES_MAX:
            raise InvalidPurchase(field="metadata", reason=f"larger than {METADATA_BYTES_MAX} bytes")
        if not purchase.name.strip():
            raise InvalidPurchase(field="name", reason="is empty")
        lines = (
            None
            if purchase.lines is None
            else [_line(number, line, tenant.currency) for number, line in enumerate(purchase.lines)]
        )
        context, seen, compliance = self.context, purchase.attribution, purchase.compliance
        order = AskedOrder(
            id=new_id(),
            order_number=human_code(ORDER_CODE_LENGTH),
            history_id=new_id(),
            webhook_id=new_id(),
            source=purchase.source,
            purchase_id=purchase.purchase_id,
            resource_id=purchase.resource_id,
            cart_id=purchase.cart_id,
            lines=lines,
            customer_email=normal_email(purchase.email),
            customer_name=purchase.name.strip(),
            customer_phone=normal_phone(purchase.phone, tenant.country_code) if purchase.phone else None,
            shipping_address=normal_address(purchase.shipping_address) if purchase.shipping_address else None,
            billing_address=normal_address(purchase.billing_address) if purchase.billing_address else None,
            shipping_method=purchase.shipping_method,
            age_attested=purchase.age_attested,
            ip_address=context.ip,
            domain=domain,
            customer_notes=purchase.notes,
            metadata=purchase.metadata,
            actor_kind=context.actor.kind,
            actor_id=context.actor.user_id,
            actor_name=context.actor.name or None,
            request_id=context.request_id,
        )
        if visitor is None:
            order.any_cart = True
        else:
            order.user_id, order.session_id = visitor.user_id, visitor.session_id
        if purchase.payment_method is not None:
            order.payment_method = purchase.payment_method
            order.payment_id, order.payment_reference = new_id(), _payment_reference()
        if purchase.coupons:
            order.coupons = _codes(purchase.coupons)
        if purchase.use_store_credit is not False:
            order.credit_limit = _credit_limit(purchase.use_store_credit, order.user_id, tenant.currency)
            order.credit_payment_id, order.credit_reference = new_id(), _payment_reference()
            order.credit_entry_id = new_id()
        if order.user_id is not None or order.session_id is not None:
            order.event_ids = [new_id() for _ in range(EVENTS_OF_AN_ORDER)]
            for name, fact in browser_of(context).items():
                setattr(order, name, fact)
        if compliance is not None and compliance.acknowledged:
            order.compliance_acknowledged, order.compliance_version = True, compliance.version
            order.compliance_acknowledged_at = compliance.acknowledged_at or context.clock.now()
        if seen is not None:
            order.utm_source, order.utm_medium, order.utm_campaign = seen.utm_source, seen.utm_medium, seen.utm_campaign
            order.traffic_source = traffic_source(seen.utm_source, seen.referrer_url)
        return order


def _payment_reference() -> str:
    return f"PAY-{human_code(PAYMENT_CODE_LENGTH, 5)}"


def _codes(typed: list[str]) -> list[str]:
    if len(typed) > COUPONS_MAX:
        raise InvalidPurchase(field="coupons", reason=f"at most {COUPONS_MAX}")
    codes = [normal_code(code) for code in typed]
    if any(not code or "\x00" in code for code in codes):
        raise InvalidPurchase(field="coupons", reason="a code has letters or digits")
    return list(dict.fromkeys(codes))


def _credit_limit(wanted: Money | bool, user_id: UUID | None, currency: str) -> int:
    if user_id is None:
        raise InvalidPurchase(field="use_store_credit", reason="store credit belongs to an account; sign in")
    if not isinstance(wanted, Money):
        return AMOUNT_MAX
    if wanted.currency != currency:
        raise InvalidPurchase(field="use_store_credit", reason=f"the shop sells in {currency}")
    if wanted.amount <= 0:
        raise InvalidPurchase(field="use_store_credit", reason="more than nothing")
    return wanted.amount


def _bind_key(order: AskedOrder, purchase: Purchase, key: str, scope: str) -> None:
    if not 1 <= len(key) <= KEY_LENGTH_MAX:
        raise InvalidPurchase(field="Idempotency-Key", reason=f"1 to {KEY_LENGTH_MAX} characters")
    order.idempotency_key, order.idempotency_scope, order.idempotency_ttl = key, scope, IDEMPOTENCY_TTL
    asked = msgspec.json.encode(purchase).replace(_UNASKED, b"", 1)
    order.request_fingerprint = hashlib.sha256(asked).hexdigest()


def _settings(tenant: Tenant) -> CheckoutSettings:
    return CheckoutSettings(
        currency=tenant.currency,
        order_window=tenant.order_window,
        open_orders_max=tenant.open_orders_max,
        compliance_required=tenant.compliance_required,
    )


def _line(number: int, line: PurchaseLine, currency: str) -> AskedLine:
    where = f"lines[{number}]"
    if (line.variant_id is None) == (line.sku is None):
        raise InvalidPurchase(field=where, reason="name a variant_id or a sku, one of the two")
    if not 1 <= line.quantity <= QUANTITY_MAX:
        raise InvalidPurchase(field=f"{where}.quantity", reason=f"1 to {QUANTITY_MAX} units")
    if line.unit_price is not None and line.unit_price.currency != currency:
        raise InvalidPurchase(field=f"{where}.unit_price", reason=f"the shop sells in {currency}")
    return AskedLine(
        id=new_id(),
        variant_id=line.variant_id,
        sku=line.sku,
        quantity=line.quantity,
        unit_price=None if line.unit_price is None else line.unit_price.amount,
        patch_enabled=line.patch_type is not None,
        patch_type=line.patch_type,
        print_name=line.print_name,
        print_number=line.print_number,
    )


def _placed(answer: dict[str, Any]) -> PlacedOrder:
    currency, payment = answer["currency"], answer["payment"]
    return PlacedOrder(
        id=OrderId(UUID(answer["id"])),
        number=answer["number"],
        status=OrderStatus(answer["status"]),
        email=answer["email"],
        subtotal=Money(answer["subtotal"], currency),
        discount=Money(answer.get("discount", 0), currency),  # an answer that v1 gave has none
        discount_code=answer.get("discount_code"),
        shipping=Money(answer["shipping"], currency),
        shipping_method=answer["shipping_method"],
        total=Money(answer["total"], currency),
        paid=Money(answer.get("paid", 0), currency),
        created_at=datetime.fromisoformat(answer["created_at"]),
        payment_due_at=datetime.fromisoformat(answer["payment_due_at"]),
        payment=None if payment is None else _payment(payment, currency),
    )


def _payment(payment: dict[str, Any], currency: str) -> PaymentAsked:
    return msgspec.convert({**payment, "amount": {"amount": payment["amount"], "currency": currency}}, PaymentAsked)
