"""What a Vendure shop says of its customers, addresses and orders, read into ours. Pure.

The shapes are those of Vendure's own entities, as its events carry them; see docs/vendure.md. Amounts are integers of
the smallest unit there as here. What is not known here is kept.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from storeroom.core.contact import Address, InvalidAddress, InvalidPhone, normal_address, normal_email, normal_phone
from storeroom.core.money import Money, UnknownCurrency, currency_digits
from storeroom.identity import AddressType, SyncedCustomer
from storeroom.orders import DeliveryStage, OrderStatus
from storeroom.sources import EXTERNAL_ID_LENGTH_MAX, InvalidSourceMessage, Said, source_instant

VENDURE: Final = "vendure"
CODE_LENGTH_MAX: Final = 20
LINES_MAX: Final = 1_000
AMOUNT_MAX: Final = 1_000_000_000_000
UNITS_MAX: Final = 10_000
_CUSTOM: Final = "customFields."  # each custom field is a field of its own, so that a message may say only some
CONSENT: Final = f"{_CUSTOM}marketingConsent"
_DELETED: Final = "deleted"
_LINES: Final = {  # what we call them, what Vendure does
    "recipient_name": "fullName",
    "company": "company",
    "street_line_1": "streetLine1",
    "street_line_2": "streetLine2",
    "city": "city",
    "state_province": "province",
    "postal_code": "postalCode",
    "country_code": "countryCode",
    "phone": "phoneNumber",
}
_S = OrderStatus
STATES: Final[Mapping[str, OrderStatus]] = {
    "PaymentAuthorized": _S.PENDING_PAYMENT,
    "PaymentSettled": _S.PAYMENT_RECEIVED,
    "Modifying": _S.PROCESSING,
    "ArrangingAdditionalPayment": _S.PROCESSING,
    "PartiallyShipped": _S.PROCESSING,
    "Shipped": _S.SHIPPED,
    "PartiallyDelivered": _S.SHIPPED,
    "Delivered": _S.DELIVERED,
    "Cancelled": _S.CANCELLED,
}
NOT_PLACED: Final = frozenset({"Created", "Draft", "AddingItems", "ArrangingPayment"})  # a cart there, and no order
_STAGES: Final = {_S.SHIPPED: DeliveryStage.DISPATCHED, _S.DELIVERED: DeliveryStage.DELIVERED}

# What every customer or order of Vendure has, and what is read of it elsewhere: the rest is metadata.
_OF_ALL: Final = frozenset({"createdAt", "updatedAt", "deletedAt", "user", "channels", "__typename", "deleted"})
_OF_CUSTOMERS: Final = _OF_ALL | {"emailAddress", "firstName", "lastName", "phoneNumber", "orders", "addresses"}
_OF_ORDERS: Final = _OF_ALL | {
    *("code", "state", "active", "type", "orderPlacedAt", "currencyCode", "customer", "customerId"),
    *("lines", "surcharges", "couponCodes", "promotions", "discounts", "payments", "fulfillments", "shippingLines"),
    *("shippingAddress", "billingAddress", "taxSummary", "taxZoneId", "modifications", "totalQuantity"),
    *("subTotal", "subTotalWithTax", "shipping", "shippingWithTax", "total", "totalWithTax"),
    *("sellerOrders", "aggregateOrder", "aggregateOrderId"),
}


# What is read of the records within an order; the rest, as tokens and details of cards, is not kept.
_OF_BUYERS: Final = frozenset({"id", "emailAddress", "firstName", "lastName", "phoneNumber"})
_OF_PAYMENTS: Final = frozenset({"method", "amount", "state", "createdAt"})
_OF_REFUNDS: Final = frozenset({"state", "total"})


class Incomplete(Exception):
    """A record of which not enough is known yet; `field` says what is missing."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class VendureLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an order, before its variant is known."""

    sku: str
    product_name: str | None
    variant_title: str | None
    quantity: int
    unit_price: int
    tax_amount: int
    discount_amount: int
    patch_type: str | None
    print_name: str | None
    print_number: str | None


class VendureOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order, before its customer and its variants are known."""

    code: str
    status: OrderStatus
    delivery_stage: DeliveryStage
    currency: str
    email: str | None
    name: str | None
    phone: str | None
    shipping_address: Address | None
    billing_address: Address | None
    subtotal_amount: int
    discount_amount: int
    shipping_amount: int
    tax_amount: int
    total_amount: int
    paid: int
    payment_method: str | None
    shipping_method: str | None
    carrier: str | None
    tracking_number: str | None
    coupon: str | None
    metadata: dict[str, Any]
    placed_at: datetime | None
    paid_at: datetime | None
    state_at: datetime
    lines: list[VendureLine]


# --- What a message tells ---------------------------------------------------------------------------------------------


def told(entity: Mapping[str, Any], *, without: Sequence[str] = ()) -> dict[str, Any]:
    """The fields that an entity says something about; those it leaves out are not among them."""
    fields = {
        str(name): value for name, value in entity.items() if name not in {"id", "customFields", _DELETED, *without}
    }
    custom = entity.get("customFields")
    if custom is not None:
        fields |= {f"{_CUSTOM}{name}": value for name, value in _mapping(custom, "customFields").items()}
    fields.pop("user", None)  # of a login there, with its tokens, nothing is kept
    if isinstance(fields.get("customer"), Mapping):
        fields["customer"] = _only(fields["customer"], _OF_BUYERS)
    if isinstance(fields.get("payments"), list):
        fields["payments"] = [
            {
                **_only(payment, _OF_PAYMENTS),
                **({"refunds": _of_each(payment["refunds"], _OF_REFUNDS)} if "refunds" in payment else {}),
            }
            if isinstance(payment, Mapping)
            else payment
            for payment in fields["payments"]
        ]
    country = entity.get("country")
    if country is not None:  # {"code": "LK", "name": "Sri Lanka"}, or as old releases have it, the code alone
        del fields["country"]
        fields["countryCode"] = country.get("code") if isinstance(country, Mapping) else country
    return fields


def _only(entity: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {str(name): value for name, value in entity.items() if name in names}


def _of_each(given: object, names: frozenset[str]) -> object:
    if not isinstance(given, list):
        return given
    return [_only(each, names) if isinstance(each, Mapping) else each for each in given]


def gone() -> dict[str, Any]:
    """What a message tells of a record that is deleted there."""
    return {_DELETED: True}


def is_gone(values: Mapping[str, Any]) -> bool:
    """Whether it is deleted there; whatever is said of it later does not bring it back."""
    return values.get(_DELETED) is True or values.get("deletedAt") is not None


def external_id(given: object, field: str = "id") -> str:
    """An id as Vendure writes it, number or text. Raises InvalidSourceMessage."""
    text = str(given) if isinstance(given, str | int) and not isinstance(given, bool) else ""
    if not 1 <= len(text) <= EXTERNAL_ID_LENGTH_MAX or not text.isprintable():
        raise InvalidSourceMessage(field=field, reason="an id is a number or a short text")
    return text


def customer_id_of(entity: Mapping[str, Any]) -> str | None:
    """Whose an address or order is; None where the message does not say."""
    customer = entity.get("customer")
    if isinstance(customer, Mapping) and customer.get("id") is not None:
        return external_id(customer["id"], "customer.id")
    given = entity.get("customerId")
    return None if given is None else external_id(given, "customerId")


# --- What a record comes to -------------------------------------------------------------------------------------------


def customer_of(said: Mapping[str, Said], *, customer_id: str) -> SyncedCustomer:
    """The customer that a record describes.

    Raises:
        InvalidSourceMessage: a field is no text where one is needed.
        Incomplete: the mail address is not known.
    """
    values = {name: each.value for name, each in said.items()}
    for name in ("firstName", "lastName", "phoneNumber", "emailAddress"):
        _text(values, name)
    email = _text(values, "emailAddress")
    if email is None:
        raise Incomplete("emailAddress")
    custom = {name.removeprefix(_CUSTOM): value for name, value in values.items() if name.startswith(_CUSTOM)}
    verified, consent = custom.pop("phoneVerified", None), custom.pop("marketingConsent", None)
    other = {
        name: value for name, value in values.items() if name not in _OF_CUSTOMERS and not name.startswith(_CUSTOM)
    }
    return SyncedCustomer(
        external_id=customer_id,
        email=email,
        first_name=_text(values, "firstName"),
        last_name=_text(values, "lastName"),
        phone=_text(values, "phoneNumber"),
        phone_verified=verified is True,
        marketing_consent=consent if isinstance(consent, bool) else None,
        marketing_consent_at=said[CONSENT].instant if CONSENT in said else None,
        is_active=not is_gone(values),
        custom_fields={**other, **custom},
    )


def address_of(values: Mapping[str, Any], *, name: str | None) -> tuple[Address, AddressType]:
    """The address that a record describes, and what it is for; `name`: of its customer.

    Raises:
        InvalidSourceMessage: a line cannot be taken.
        Incomplete: a line is missing.
    """
    lines = {ours: _text(values, theirs) for ours, theirs in _LINES.items()}
    lines["recipient_name"] = lines["recipient_name"] or name
    if lines["country_code"] is None:
        raise Incomplete("countryCode")
    try:
        address = normal_address(_address(lines))
    except InvalidAddress as error:
        field = _LINES.get(error.field or "", "address")
        if error.reason == "missing":
            raise Incomplete(field) from None
        raise InvalidSourceMessage(field=field, reason=error.reason) from error
    ships, bills = (values.get(flag) is True for flag in ("defaultShippingAddress", "defaultBillingAddress"))
    if ships == bills:
        return address, AddressType.BOTH
    return address, AddressType.SHIPPING if ships else AddressType.BILLING


def default_since(said: Mapping[str, Said]) -> str | None:
    """Since when an address is a default, so that the one chosen last is; None: it is none."""
    flags = [said[name] for name in ("defaultShippingAddress", "defaultBillingAddress") if name in said]
    return max((flag.at for flag in flags if flag.value is True), default=None)


def order_of(said: Mapping[str, Said], *, country: str) -> VendureOrder | None:
    """The order that a record describes; None while it is a cart there.

    Args:
        said: the fields of the record.
        country: whose customs telephone numbers follow.

    Raises:
        InvalidSourceMessage: a field cannot be right.
        Incomplete: something is not known yet.
    """
    values = {name: each.value for name, each in said.items()}
    state = _needed(values, "state")
    if state in NOT_PLACED:
        return None
    if state not in STATES:
        raise InvalidSourceMessage(field="state", reason=f"no state of an order: {str(state)[:40]}")
    code = _needed(values, "code").upper()
    if len(code) > CODE_LENGTH_MAX:
        raise InvalidSourceMessage(field="code", reason=f"at most {CODE_LENGTH_MAX} characters")
    currency = _needed(values, "currencyCode")
    try:
        currency_digits(currency)
    except UnknownCurrency:
        raise InvalidSourceMessage(field="currencyCode", reason="a currency of ISO 4217") from None
    sums = _Sums(values)
    method, paid, paid_at = _payments(values, state, sums.total)
    status = STATES[state]
    if status is _S.PENDING_PAYMENT and paid >= sums.total:
        status = _S.PAYMENT_RECEIVED
    stage = values.get(f"{_CUSTOM}deliveryStage")
    carrier, tracking = _parcel(values)
    customer = values.get("customer") if isinstance(values.get("customer"), Mapping) else {}
    shipping = _copy(values, "shippingAddress")
    return VendureOrder(
        code=code,
        status=status,
        delivery_stage=DeliveryStage(stage)
        if stage in set(DeliveryStage)
        else _STAGES.get(status, DeliveryStage.ORDER_CONFIRMED),
        currency=currency,
        email=_email(customer),
        name=_name(customer) or (shipping and shipping.recipient_name) or None,
        phone=_phone(_text(values.get("shippingAddress") or {}, "phoneNumber"), country)
        or _phone(_text(customer or {}, "phoneNumber"), country),
        shipping_address=shipping,
        billing_address=_copy(values, "billingAddress") or shipping,
        subtotal_amount=sums.lines,
        discount_amount=sums.discount,
        shipping_amount=sums.shipping,
        tax_amount=sums.tax,
        total_amount=sums.total,
        paid=paid,
        payment_method=method,
        shipping_method=_shipping_method(values),
        carrier=carrier,
        tracking_number=tracking,
        coupon=next(iter(_list(values, "couponCodes")), None),
        metadata={
            name.removeprefix(_CUSTOM): value
            for name, value in values.items()
            if name not in _OF_ORDERS and name != f"{_CUSTOM}deliveryStage"
        },
        placed_at=_instant(values, "orderPlacedAt") or _instant(values, "createdAt"),
        paid_at=paid_at,
        state_at=said["state"].instant,
        lines=sums.with_discounts(currency),
    )


class _Sums:
    """What an order comes to, in our terms: lines - discount + shipping + tax is the total, to the last unit.

    Vendure takes discounts off the lines before they make its subTotal, and adds surcharges to it. Here the lines stand
    undiscounted, what is less is the discount, and what is more goes with the shipping.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        given = _list(values, "lines", needed=True)
        cancelled = values.get("state") == "Cancelled"
        read = [_line(line, place, cancelled=cancelled) for place, line in enumerate(given)]
        self.read = [line for line in read if line is not None]
        if not self.read:
            raise Incomplete("lines")
        self.lines = sum(line.quantity * line.unit_price for line in self.read)
        subtotal = _amount(values, "subTotal", self.lines)
        net = _amount(values, "total", subtotal + _amount(values, "shipping", 0))
        self.total = _amount(values, "totalWithTax", None)
        self.discount = max(0, self.lines - subtotal)
        self.shipping = net - subtotal + max(0, subtotal - self.lines)
        self.tax = self.total - net
        if net < subtotal:
            raise InvalidSourceMessage(field="total", reason="less than subTotal")
        if self.tax < 0:
            raise InvalidSourceMessage(field="totalWithTax", reason="less than total")

    def with_discounts(self, currency: str) -> list[VendureLine]:
        """The lines, each with its part of the discount: the parts sum to the whole."""
        if not self.discount:
            return self.read
        weights = [line.quantity * line.unit_price for line in self.read]
        parts = Money(self.discount, currency).split(weights)
        return [
            msgspec.structs.replace(line, discount_amount=part.amount)
            for line, part in zip(self.read, parts, strict=True)
        ]


def _line(given: object, place: int, *, cancelled: bool) -> VendureLine | None:
    """A line; None where nothing of it is left. Of a cancelled order the line is as it was placed."""
    where = f"lines[{place}]"
    line = _mapping(given, where)
    variant = _mapping(line.get("productVariant") or {}, f"{where}.productVariant")
    sku = _text(variant, "sku", f"{where}.productVariant.") or _text(line, "sku", f"{where}.")
    if sku is None:
        raise InvalidSourceMessage(field=f"{where}.productVariant.sku", reason="missing")
    quantity = line.get("quantity")
    if cancelled and not quantity:
        quantity = line.get("orderPlacedQuantity") or 0
    if type(quantity) is not int or not 0 <= quantity <= UNITS_MAX:
        raise InvalidSourceMessage(field=f"{where}.quantity", reason=f"0 to {UNITS_MAX}")
    if quantity == 0:
        return None
    with_tax = _amount(line, "unitPriceWithTax", line.get("unitPrice"), f"{where}.")
    net = _amount(line, "unitPrice", with_tax, f"{where}.")
    if net > with_tax:
        raise InvalidSourceMessage(field=f"{where}.unitPriceWithTax", reason="less than unitPrice")
    custom = _mapping(line.get("customFields") or {}, f"{where}.customFields")
    product = _mapping(variant.get("product") or {}, f"{where}.productVariant.product")
    patch = _text(custom, "patchType", f"{where}.customFields.")
    return VendureLine(
        sku=sku,
        product_name=_text(product, "name", f"{where}.productVariant.product."),
        variant_title=_text(variant, "name", f"{where}.productVariant."),
        quantity=quantity,
        unit_price=net,
        tax_amount=(with_tax - net) * quantity,
        discount_amount=0,
        patch_type=None if custom.get("patchEnabled") is False else patch,
        print_name=_text(custom, "printName", f"{where}.customFields."),
        print_number=_text(custom, "printNumber", f"{where}.customFields."),
    )


def _payments(values: Mapping[str, Any], state: str, total: int) -> tuple[str | None, int, datetime | None]:
    """How it was paid, how much arrived less what went back, and when the first of it came."""
    paid, method, first = 0, None, None
    if "payments" not in values:  # then only the state tells
        return None, total if state not in {"PaymentAuthorized", "Cancelled"} else 0, None
    for place, given in enumerate(_list(values, "payments")):
        where = f"payments[{place}]."
        payment = _mapping(given, where[:-1])
        if payment.get("state") not in {"Settled", "Authorized"}:
            continue
        method = _text(payment, "method", where) or method
        if payment["state"] == "Settled":
            paid += _amount(payment, "amount", 0, where)
            at = _instant(payment, "createdAt", where)
            first = at if first is None or (at is not None and at < first) else first
        for number, refund in enumerate(_list(payment, "refunds", where)):
            back = _mapping(refund, f"{where}refunds[{number}]")
            if back.get("state") == "Settled":
                paid -= _amount(back, "total", 0, f"{where}refunds[{number}].")
    return method, paid, first


def _parcel(values: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Carrier and tracking number of the parcel that was sent last."""
    for place, given in reversed(list(enumerate(_list(values, "fulfillments")))):
        where = f"fulfillments[{place}]."
        parcel = _mapping(given, where[:-1])
        tracking = _text(parcel, "trackingCode", where)
        if tracking is not None:
            return _text(parcel, "method", where), tracking
    return None, None


def _shipping_method(values: Mapping[str, Any]) -> str | None:
    for line in _list(values, "shippingLines"):
        method = line.get("shippingMethod") if isinstance(line, Mapping) else None
        if isinstance(method, Mapping):
            return _text(method, "code", "shippingLines.") or _text(method, "name", "shippingLines.")
    return None


def _copy(values: Mapping[str, Any], field: str) -> Address | None:
    """An order's own copy of an address: tidied where it can be, else as it was typed; None where there is none."""
    given = values.get(field)
    if not given:
        return None
    entity = told(_mapping(given, field))
    lines = {ours: _text(entity, theirs, f"{field}.") for ours, theirs in _LINES.items()}
    if not lines["street_line_1"] or not lines["country_code"]:
        return None
    address = _address({**lines, "country_code": lines["country_code"].upper()}, f"{field}.")
    try:
        return normal_address(address)
    except InvalidAddress:
        return address


def _address(lines: Mapping[str, str | None], where: str = "") -> Address:
    needed = ("recipient_name", "street_line_1", "city", "state_province", "postal_code", "country_code")
    try:
        return msgspec.convert({**lines, **{name: lines[name] or "" for name in needed}}, Address)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        field = _LINES.get(path.rstrip("`"), "address")
        raise InvalidSourceMessage(field=f"{where}{field}", reason=reason) from error


def _email(customer: Mapping[str, Any] | None) -> str | None:
    given = _text(customer or {}, "emailAddress", "customer.")
    return None if given is None else normal_email(given, field="customer.emailAddress")


def _name(customer: Mapping[str, Any] | None) -> str | None:
    names = [_text(customer or {}, name, "customer.") for name in ("firstName", "lastName")]
    return " ".join(filter(None, names)) or None


def _phone(given: str | None, country: str) -> str | None:
    """The number in its stored form, where it is one; it is only how the order is looked up."""
    try:
        return None if given is None else normal_phone(given, country)
    except InvalidPhone:
        return None


def _text(values: Mapping[str, Any], name: str, where: str = "") -> str | None:
    """A text, None where there is none or nothing in it."""
    given = values.get(name)
    if given is None:
        return None
    if not isinstance(given, str):
        raise InvalidSourceMessage(field=f"{where}{name}", reason="text")
    return given.strip() or None


def _needed(values: Mapping[str, Any], name: str) -> str:
    given = _text(values, name)
    if given is None:
        raise Incomplete(name)
    return given


def _amount(values: Mapping[str, Any], name: str, otherwise: object, where: str = "") -> int:
    given = values.get(name)
    if given is None:
        given = otherwise
    if given is None:
        raise Incomplete(f"{where}{name}")
    if type(given) is not int or not 0 <= given <= AMOUNT_MAX:
        raise InvalidSourceMessage(field=f"{where}{name}", reason="an integer of the smallest unit, not negative")
    return given


def _instant(values: Mapping[str, Any], name: str, where: str = "") -> datetime | None:
    given = values.get(name)
    if given is None:
        return None
    return source_instant(given, field=f"{where}{name}")


def _list(values: Mapping[str, Any], name: str, where: str = "", *, needed: bool = False) -> list[Any]:
    given = values.get(name)
    if given is None and needed:
        raise Incomplete(f"{where}{name}")
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > LINES_MAX:
        raise InvalidSourceMessage(field=f"{where}{name}", reason=f"a list of at most {LINES_MAX}")
    return given


def _mapping(given: object, field: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidSourceMessage(field=field, reason="an object")
    return given
