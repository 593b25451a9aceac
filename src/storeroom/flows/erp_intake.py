"""What the ERP tells: stock, receipts of payments, and the terms of customers. The messages: docs/erp-intake.md.

A message names what it speaks of by the ERP's id, or by ours. It counts at the instant at which it occurred there: what
was said later stands, whichever arrives first. A message that cannot be right changes nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from storeroom.core.ids import PaymentId, UserId, VariantId
from storeroom.core.money import Money, UnknownCurrency, currency_digits
from storeroom.database.service import ActorKind, Context, Service, transactional
from storeroom.flows import queries
from storeroom.flows.errors import ErpReferenceUnknown, SourceForStaff
from storeroom.flows.model import NamedPayment
from storeroom.identity import SyncedAccounts
from storeroom.inbox import Handled, InboxMessage
from storeroom.inventory import Inventory
from storeroom.payments import Payments
from storeroom.sources import InvalidSourceMessage, SourceKind, Sources, source_instant

EPICOR: Final = "epicor_propello"
ERP_ID_LENGTH_MAX: Final = 50
UNITS_MAX: Final = 1_000_000_000
AMOUNT_MAX: Final = 1_000_000_000_000
TERMS_LENGTH_MAX: Final = 200
_VARIANTS_MAX: Final = 2  # more than one, and the item alone says too little


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a message."""

    applied: bool  # False: something later was said before, or it is not honoured
    result: dict[str, Any] = {}  # kept with the message
    payment: NamedPayment | None = None


class ErpIntake(Service):
    """What the ERP of a shop says of it. Each call is one message."""

    @transactional
    async def inventory(self, *, data: Mapping[str, Any], occurred_at: object, event: str) -> Told:
        """Set the stock of an item, counted in the units it is sold in; what is held of it stays held.

        Raises:
            InvalidSourceMessage: a field is missing or cannot be right.
            ErpReferenceUnknown: no such item here, or several variants of it and no sku.
        """
        at = self._when(occurred_at)
        on_hand = _whole(data, "quantity_on_hand", UNITS_MAX)
        variant_id = await self._variant(data)
        sources = Sources(self.context)
        record = await sources.locked(source=EPICOR, kind=SourceKind.ITEM, external_id=str(variant_id))
        count = {"quantity_on_hand": on_hand, "event": event}
        new, _ = await sources.hear(record, told={"count": count}, at=at)
        if new.fields == record.fields:
            later = record.changed_at and record.changed_at.isoformat()
            return Told(applied=False, result={"variant_id": str(variant_id), "known_since": later})
        await sources.keep(msgspec.structs.replace(new, local_id=variant_id), synced=True)
        moved = await Inventory(self.context).count(
            variant_id=variant_id, on_hand=on_hand, reason=f"{EPICOR} {event}"[:200]
        )
        return Told(applied=True, result={"variant_id": str(variant_id), "on_hand": moved.on_hand_after})

    @transactional
    async def payment_receipt(self, *, data: Mapping[str, Any], occurred_at: object) -> Told:
        """Complete a payment whose money the books have, and credit its order: once, however often it is said.

        An amount or currency that was not asked for is not honoured; it stands among the payment's attempts.

        Raises:
            InvalidSourceMessage: a field is missing or cannot be right.
            ErpReferenceUnknown: no such payment here, or the two names mean two.
        """
        self._when(occurred_at)
        if data.get("status") != "confirmed":
            raise InvalidSourceMessage(field="status", reason="confirmed is what there is")
        received = Money(_whole(data, "amount", AMOUNT_MAX, least=1), _currency(data))
        payment = await self._payment(data)
        sources = Sources(self.context)
        record = await sources.locked(source=EPICOR, kind=SourceKind.PAYMENT, external_id=str(payment.id))
        if record.local_id is not None:  # honoured before, by this payment or by one that holds what came late
            return Told(applied=False, result={"payment_id": str(record.local_id)}, payment=payment)
        settled = await Payments(self.context).confirm(payment_id=payment.id, received=received)
        if settled is None:
            asked = msgspec.to_builtins(payment.amount)
            return Told(
                applied=False,
                result={"mismatch": {"asked": asked, "confirmed": msgspec.to_builtins(received)}},
                payment=payment,
            )
        new, _ = await sources.hear(record, told=dict(data), at=self._when(occurred_at))
        await sources.keep(msgspec.structs.replace(new, local_id=settled.id), synced=True)
        return Told(
            applied=True,
            result={"payment_id": str(settled.id), "status": settled.status.value},
            payment=msgspec.structs.replace(payment, id=PaymentId(settled.id)),
        )

    @transactional
    async def customer(self, *, data: Mapping[str, Any], occurred_at: object) -> Told:
        """Keep a customer's credit limit and terms in the account's metadata; other keys stay.

        Raises:
            InvalidSourceMessage: a field is missing or cannot be right.
            ErpReferenceUnknown: no account, or several, of this customer.
        """
        at = self._when(occurred_at)
        erp_id = _text(data, "erp_customer_id", ERP_ID_LENGTH_MAX)
        if erp_id is None:
            raise InvalidSourceMessage(field="erp_customer_id", reason="missing")
        said: dict[str, Any] = {}
        if data.get("credit_limit") is not None:
            said |= {"credit_limit": _whole(data, "credit_limit", AMOUNT_MAX), "credit_currency": _currency(data)}
        if "terms" in data:
            said["terms"] = _text(data, "terms", TERMS_LENGTH_MAX)
        if not said:
            raise InvalidSourceMessage(field="credit_limit", reason="neither it nor terms are given")
        found = await queries.users_of_erp_customer(self.db, tenant_id=self.tenant_id, erp_customer_id=erp_id)
        if len(found) != 1:
            raise ErpReferenceUnknown(field="erp_customer_id", reference=erp_id, found=len(found))
        user_id = UserId(found[0].id)
        sources = Sources(self.context)
        record = await sources.locked(source=EPICOR, kind=SourceKind.CUSTOMER, external_id=erp_id)
        new, other = await sources.hear(record, told=said, at=at)
        await sources.keep(msgspec.structs.replace(new, local_id=user_id), synced=bool(other))
        if other:
            terms = {name: value for name, value in new.values().items() if name in other}
            await SyncedAccounts(self.context).add_to_metadata(user_id=user_id, more=terms)
        return Told(applied=bool(other), result={"user_id": str(user_id), "changed": sorted(other)})

    # --- Shared steps -------------------------------------------------------------------------------------------------

    def _when(self, given: object) -> datetime:
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise SourceForStaff
        return source_instant(given, now=self.context.clock.now())

    async def _variant(self, data: Mapping[str, Any]) -> VariantId:
        """The variant that a message names: by its sku, or by the item of the ERP where that has one variant alone."""
        sku = _text(data, "sku", 100)
        item = _text(data, "erp_item_id", ERP_ID_LENGTH_MAX)
        if item is None and sku is None:
            raise InvalidSourceMessage(field="erp_item_id", reason="neither it nor sku is given")
        if sku is not None:
            found = await queries.variants_of_skus(self.db, tenant_id=self.tenant_id, skus=[sku])
        else:
            found = await queries.variants_of_erp_item(
                self.db, tenant_id=self.tenant_id, erp_item_id=item or "", rows=_VARIANTS_MAX
            )
        if len(found) != 1:
            field, reference = ("sku", sku) if sku is not None else ("erp_item_id", item)
            raise ErpReferenceUnknown(field=field, reference=reference or "", found=len(found))
        return found[0].variant_id

    async def _payment(self, data: Mapping[str, Any]) -> NamedPayment:
        erp_id = _text(data, "erp_payment_id", ERP_ID_LENGTH_MAX)
        reference = _text(data, "payment_reference", 30)
        if erp_id is None and reference is None:
            raise InvalidSourceMessage(field="erp_payment_id", reason="neither it nor payment_reference is given")
        found = (
            await queries.payments_of_erp(self.db, tenant_id=self.tenant_id, erp_payment_id=erp_id) if erp_id else []
        )
        if reference is not None:
            named = await queries.payments_of_reference(self.db, tenant_id=self.tenant_id, reference=reference.upper())
            if found and [each.id for each in found] != [each.id for each in named]:
                raise ErpReferenceUnknown(field="erp_payment_id", reference=erp_id or "", found=len(found))
            found = named
        if len(found) != 1:
            field, given = ("payment_reference", reference) if reference else ("erp_payment_id", erp_id)
            raise ErpReferenceUnknown(field=field, reference=given or "", found=len(found))
        return found[0]


async def inventory_message(context: Context, message: InboxMessage) -> Handled:
    """Stock, as the ERP counts it."""
    data, at = _read(message)
    told = await ErpIntake(context).inventory(data=data, occurred_at=at, event=message.event_id)
    return Handled(result=told.result, skipped=not told.applied)


async def payment_receipt_message(context: Context, message: InboxMessage) -> Handled:
    """Money that is in the books of the ERP."""
    data, at = _read(message)
    told = await ErpIntake(context).payment_receipt(data=data, occurred_at=at)
    payment = told.payment
    return Handled(
        result=told.result,
        order_id=payment.order_id if payment else None,
        payment_id=payment.id if payment else None,
        skipped=not told.applied and "mismatch" not in told.result,
    )


async def customer_message(context: Context, message: InboxMessage) -> Handled:
    """What a customer may owe, and for how long."""
    data, at = _read(message)
    told = await ErpIntake(context).customer(data=data, occurred_at=at)
    return Handled(result=told.result, skipped=not told.applied)


def _read(message: InboxMessage) -> tuple[Mapping[str, Any], object]:
    """What a message says, and when it was so: `{"id", "type", "occurred_at", "data": {...}}`."""
    data = message.payload.get("data")
    if not isinstance(data, Mapping):
        raise InvalidSourceMessage(field="data", reason="an object")
    return data, message.payload.get("occurred_at")


def _whole(data: Mapping[str, Any], field: str, most: int, *, least: int = 0) -> int:
    given = data.get(field)
    if given is None:
        raise InvalidSourceMessage(field=field, reason="missing")
    if type(given) is not int or not least <= given <= most:
        raise InvalidSourceMessage(field=field, reason=f"an integer of {least} to {most}")
    return given


def _text(data: Mapping[str, Any], field: str, length_max: int) -> str | None:
    given = data.get(field)
    if given is None:
        return None
    if not isinstance(given, str) or not 1 <= len(given.strip()) <= length_max or not given.isprintable():
        raise InvalidSourceMessage(field=field, reason=f"text of 1 to {length_max} characters")
    return given.strip()


def _currency(data: Mapping[str, Any]) -> str:
    given = data.get("currency")
    try:
        currency_digits(str(given))
    except UnknownCurrency:
        raise InvalidSourceMessage(field="currency", reason="a currency of ISO 4217") from None
    return str(given)
