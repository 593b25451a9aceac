"""The ways to pay: configured by staff, offered to customers."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypedDict

import msgspec
from typing_extensions import Unpack

from storeroom.audit import audited
from storeroom.core.ids import PaymentMethodId, new_id
from storeroom.core.money import CurrencyMismatch, Money, currency_digits
from storeroom.database.errors import violations
from storeroom.database.service import Service, operation, transactional
from storeroom.gateways import GatewayNotFound
from storeroom.payments import queries
from storeroom.payments.errors import (
    InvalidPaymentMethod,
    PaymentMethodInUse,
    PaymentMethodNotFound,
    PaymentMethodTaken,
    TooManyPaymentMethods,
)
from storeroom.payments.model import (
    DETAILS_BYTES_MAX,
    ICON_URL_LENGTH_MAX,
    INSTRUCTIONS_LENGTH_MAX,
    METHOD_NAME_LENGTH_MAX,
    METHODS_MAX,
    STORE_CREDIT_CODE,
    WINDOW_HOURS_DEFAULT,
    WINDOW_HOURS_MAX,
    PaymentMethod,
    PaymentMethodType,
    missing_details,
)

_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")
_ICON: Final = re.compile(r"(?:https?://|/)[^\s\x00]+")
SORT_ORDER_MAX: Final = 1_000_000
GATEWAY_ID_LENGTH_MAX: Final = 50


class MethodChanges(TypedDict, total=False):
    """What `PaymentMethods.update` may change, by name."""

    method_type: PaymentMethodType
    name: str
    is_active: bool
    is_manual: bool
    instructions: str
    payment_details: Mapping[str, Any]
    min_amount: Money
    max_amount: Money | None
    confirmation_window_hours: int
    sort_order: int
    icon_url: str | None
    gateway_id: str | None


class PaymentMethods(Service):
    """What staff configure and a checkout offers."""

    @audited("payments.create_method", "payment_method")
    @transactional
    async def create(
        self,
        *,
        code: str,
        method_type: PaymentMethodType,
        name: str,
        instructions: str,
        payment_details: Mapping[str, Any],
        is_active: bool = True,
        is_manual: bool = True,
        min_amount: Money | None = None,
        max_amount: Money | None = None,
        currency: str | None = None,
        confirmation_window_hours: int = WINDOW_HOURS_DEFAULT,
        sort_order: int = 0,
        icon_url: str | None = None,
        gateway_id: str | None = None,
    ) -> PaymentMethod:
        """Add a way to pay.

        Args:
            code: what a checkout names: 1 to 50 lower-case letters, digits, `-` and `_`. It cannot be changed later.
            method_type: decides what the details must say.
            name: for customers.
            instructions: for customers, after they ordered.
            payment_details: where to send the money; see `model.DETAILS_REQUIRED`. Customers read them: no secrets.
            is_active: offered to customers.
            is_manual: staff verify each payment.
            min_amount: of one payment, itself allowed; None: any.
            max_amount: of one payment, itself allowed; None: any.
            currency: None: the shop's.
            confirmation_window_hours: so long a payment waits for its money.
            sort_order: smaller ones are shown first.
            icon_url: a picture.
            gateway_id: the provider behind it; while that is inactive, this is not offered.

        Raises:
            InvalidPaymentMethod: a setting cannot be right; `field` names it.
            UnknownCurrency, CurrencyMismatch: of the currency, or of a limit in another one.
            PaymentMethodTaken: the code is another method's, or store credit's.
            GatewayNotFound: no such gateway.
            TooManyPaymentMethods: the shop has METHODS_MAX.
        """
        if code == STORE_CREDIT_CODE:
            raise PaymentMethodTaken(method=code)
        if not _CODE.fullmatch(code):
            raise InvalidPaymentMethod(field="code", reason="1 to 50 lower-case letters, digits, '-' or '_'")
        chosen = currency or (await self.context.settings()).currency
        currency_digits(chosen)
        settings = _checked(
            chosen,
            method_type=method_type,
            name=name,
            is_active=is_active,
            is_manual=is_manual,
            instructions=instructions,
            payment_details=payment_details,
            min_amount=min_amount or Money(0, chosen),
            max_amount=max_amount,
            confirmation_window_hours=confirmation_window_hours,
            sort_order=sort_order,
            icon_url=icon_url,
            gateway_id=gateway_id,
        )
        if len(await queries.methods_in_order(self.db, tenant_id=self.tenant_id, size=METHODS_MAX)) >= METHODS_MAX:
            raise TooManyPaymentMethods(maximum=METHODS_MAX)
        with self._known_gateway(settings):
            made = await queries.insert_method(
                self.db,
                tenant_id=self.tenant_id,
                method_id=new_id(),
                code=code,
                currency=chosen,
                **settings,
            )
        if made is None:
            raise PaymentMethodTaken(method=code)
        return made

    @audited("payments.update_method", "payment_method", "method_id")
    @transactional
    async def update(self, *, method_id: PaymentMethodId, **changes: Unpack[MethodChanges]) -> PaymentMethod:
        """Change settings by name; the others stay. Payments that were started keep their amount and window.

        Raises:
            PaymentMethodNotFound: no such method.
            InvalidPaymentMethod, CurrencyMismatch: as for `create`, judged with the settings that stay.
            GatewayNotFound: no such gateway.
        """
        known = await queries.method_to_change(self.db, tenant_id=self.tenant_id, method_id=method_id)
        if known is None:
            raise PaymentMethodNotFound(method=method_id)
        if unknown := set(changes) - MethodChanges.__annotations__.keys():
            raise InvalidPaymentMethod(field=min(unknown), reason="no such setting, or one that cannot be changed")
        settings = {name: getattr(known, name) for name in MethodChanges.__annotations__} | dict(changes)
        checked = _checked(known.min_amount.currency, **settings)
        with self._known_gateway(checked):
            updated = await queries.update_method(self.db, tenant_id=self.tenant_id, method_id=method_id, **checked)
        if updated is None:
            raise PaymentMethodNotFound(method=method_id)
        return updated

    @audited("payments.reorder_methods", "payment_method")
    @transactional
    async def reorder(self, *, method_ids: Sequence[PaymentMethodId]) -> list[PaymentMethod]:
        """Show these methods first, in this order; the others follow as they did. Returns all of them.

        Raises:
            PaymentMethodNotFound: one of them is not the shop's. Nothing was changed.
            InvalidPaymentMethod: one is named twice.
        """
        if len(set(method_ids)) != len(method_ids):
            raise InvalidPaymentMethod(field="method_ids", reason="a method is named twice")
        present = await queries.methods_in_order(self.db, tenant_id=self.tenant_id, size=METHODS_MAX)
        for method_id in method_ids:
            if method_id not in present:
                raise PaymentMethodNotFound(method=method_id)
        wanted = [*method_ids, *(method_id for method_id in present if method_id not in method_ids)]
        await queries.place_methods(
            self.db, tenant_id=self.tenant_id, method_ids=wanted, places=list(range(1, len(wanted) + 1))
        )
        return await queries.methods(self.db, tenant_id=self.tenant_id, size=METHODS_MAX)

    @audited("payments.delete_method", "payment_method", "method_id")
    @transactional
    async def delete(self, *, method_id: PaymentMethodId) -> None:
        """Remove a method by which nobody ever paid.

        Raises:
            PaymentMethodNotFound: no such method.
            PaymentMethodInUse: payments were made by it; deactivate it.
        """
        method = await queries.method_to_change(self.db, tenant_id=self.tenant_id, method_id=method_id)
        if method is None:
            raise PaymentMethodNotFound(method=method_id)
        with violations({"payments_method_fkey": lambda: PaymentMethodInUse(method=method.code)}, self.db.names):
            await queries.delete_method(self.db, tenant_id=self.tenant_id, method_id=method_id)

    @transactional
    async def ensure_store_credit(self) -> PaymentMethod:
        """The method by which store credit is spent, made where it is missing.

        It is never active: nobody starts a payment by it, and no list offers it. The checkout takes what the buyer has.

        Raises:
            PaymentMethodTaken: staff had named a method of another type so, before there was store credit.
        """
        currency = (await self.context.settings()).currency
        found = await queries.method_by_code(self.db, tenant_id=self.tenant_id, code=STORE_CREDIT_CODE)
        if found is None:  # a rival may make it at the same time: then it is read once more
            found = await queries.insert_method(
                self.db,
                tenant_id=self.tenant_id,
                method_id=new_id(),
                code=STORE_CREDIT_CODE,
                method_type=PaymentMethodType.STORE_CREDIT,
                name="Store credit",
                is_active=False,
                is_manual=False,
                instructions="Your store credit pays for this.",
                payment_details={},
                min_amount=0,
                max_amount=None,
                currency=currency,
                confirmation_window_hours=WINDOW_HOURS_DEFAULT,
                sort_order=SORT_ORDER_MAX,
                icon_url=None,
                gateway_id=None,
            ) or await queries.method_by_code(self.db, tenant_id=self.tenant_id, code=STORE_CREDIT_CODE)
        if found is None or found.method_type is not PaymentMethodType.STORE_CREDIT:
            raise PaymentMethodTaken(method=STORE_CREDIT_CODE)
        return found

    @operation
    async def get(self, *, method_id: PaymentMethodId) -> PaymentMethod:
        """One method, active or not. Raises PaymentMethodNotFound."""
        found = await queries.method(self.db, tenant_id=self.tenant_id, method_id=method_id)
        if found is None:
            raise PaymentMethodNotFound(method=method_id)
        return found

    @operation
    async def get_by_code(self, *, code: str) -> PaymentMethod:
        """The method that a checkout names so, active or not. Raises PaymentMethodNotFound."""
        found = await queries.method_by_code(self.db, tenant_id=self.tenant_id, code=code)
        if found is None:
            raise PaymentMethodNotFound(method=code)
        return found

    @operation
    async def list(self) -> Sequence[PaymentMethod]:
        """All methods in the order they are shown; at most METHODS_MAX."""
        return await queries.methods(self.db, tenant_id=self.tenant_id, size=METHODS_MAX)

    @operation
    async def offered(self, *, total: Money | None = None) -> Sequence[PaymentMethod]:
        """What a customer may choose from, in the order it is shown; with a total, what takes a payment of it."""
        active = await queries.active_methods(self.db, tenant_id=self.tenant_id, size=METHODS_MAX)
        return [method for method in active if total is None or method.takes(total)]

    def _known_gateway(self, settings: "_Settings") -> AbstractContextManager[None]:
        return violations(
            {"payment_methods_gateway_fkey": lambda: GatewayNotFound(gateway=str(settings["gateway_id"]))},
            self.db.names,
        )


class _Settings(TypedDict):
    method_type: PaymentMethodType
    name: str
    is_active: bool
    is_manual: bool
    instructions: str
    payment_details: dict[str, Any]
    min_amount: int
    max_amount: int | None
    confirmation_window_hours: int
    sort_order: int
    icon_url: str | None
    gateway_id: str | None


def _checked(currency: str, **settings: Any) -> _Settings:
    """The settings as the statements take them, or the first that cannot be right."""
    try:
        method_type = PaymentMethodType(settings["method_type"])
    except ValueError:
        raise InvalidPaymentMethod(field="method_type", reason="no such type of method") from None
    if method_type is PaymentMethodType.STORE_CREDIT:
        raise InvalidPaymentMethod(field="method_type", reason="the method of store credit is the shop's own")
    name, instructions = str(settings["name"]).strip(), str(settings["instructions"]).strip()
    if not 1 <= len(name) <= METHOD_NAME_LENGTH_MAX or "\x00" in name:
        raise InvalidPaymentMethod(field="name", reason=f"1 to {METHOD_NAME_LENGTH_MAX} characters")
    if not 1 <= len(instructions) <= INSTRUCTIONS_LENGTH_MAX or "\x00" in instructions:
        raise InvalidPaymentMethod(field="instructions", reason=f"1 to {INSTRUCTIONS_LENGTH_MAX} characters")
    details = dict(settings["payment_details"])
    try:
        encoded = msgspec.json.encode(details)
    except TypeError:
        raise InvalidPaymentMethod(field="payment_details", reason="is not JSON") from None
    if len(encoded) > DETAILS_BYTES_MAX or rb"\u0000" in encoded:
        raise InvalidPaymentMethod(field="payment_details", reason=f"JSON of at most {DETAILS_BYTES_MAX} bytes")
    if missing := missing_details(method_type, details):
        raise InvalidPaymentMethod(field="payment_details", reason=f"{method_type.value} needs {missing}")
    low, high = settings["min_amount"], settings["max_amount"]
    for field, limit in (("min_amount", low), ("max_amount", high)):
        if limit is not None and limit.currency != currency:
            raise CurrencyMismatch(expected=currency, actual=limit.currency, field=field)
    if low.amount < 0:
        raise InvalidPaymentMethod(field="min_amount", reason="is negative")
    if high is not None and (high.amount < 1 or high < low):
        raise InvalidPaymentMethod(field="max_amount", reason="is less than one unit, or less than the minimum")
    hours, place, icon = settings["confirmation_window_hours"], settings["sort_order"], settings["icon_url"]
    if not 1 <= hours <= WINDOW_HOURS_MAX:
        raise InvalidPaymentMethod(field="confirmation_window_hours", reason=f"1 to {WINDOW_HOURS_MAX} hours")
    if abs(place) > SORT_ORDER_MAX:
        raise InvalidPaymentMethod(field="sort_order", reason=f"-{SORT_ORDER_MAX} to {SORT_ORDER_MAX}")
    if icon is not None and (len(icon) > ICON_URL_LENGTH_MAX or not _ICON.fullmatch(icon)):
        raise InvalidPaymentMethod(field="icon_url", reason="https://… or a path that begins with /")
    gateway = settings["gateway_id"]
    if gateway is not None and not 1 <= len(gateway) <= GATEWAY_ID_LENGTH_MAX:
        raise InvalidPaymentMethod(field="gateway_id", reason="the id of a gateway")
    return _Settings(
        method_type=method_type,
        name=name,
        is_active=bool(settings["is_active"]),
        is_manual=bool(settings["is_manual"]),
        instructions=instructions,
        payment_details=details,
        min_amount=low.amount,
        max_amount=None if high is None else high.amount,
        confirmation_window_hours=hours,
        sort_order=place,
        icon_url=icon,
        gateway_id=gateway,
    )
