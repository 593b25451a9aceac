"""The ways to pay over HTTP: what is offered, and how staff configure it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, cast
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.ids import PaymentMethodId
from storeroom.core.money import CurrencyMismatch, Money, UnknownCurrency
from storeroom.gateways import GatewayNotFound
from storeroom.payments import errors
from storeroom.payments.methods import MethodChanges, PaymentMethods
from storeroom.payments.model import (
    ICON_URL_LENGTH_MAX,
    INSTRUCTIONS_LENGTH_MAX,
    METHOD_NAME_LENGTH_MAX,
    METHODS_MAX,
    WINDOW_HOURS_DEFAULT,
    WINDOW_HOURS_MAX,
    PaymentMethod,
    PaymentMethodType,
)
from storeroom.payments.views import READ, Code, as_view
from storeroom.web import IDEMPOTENT, requires, says

Hours = Annotated[int, Meta(ge=1, le=WINDOW_HOURS_MAX)]
MethodName = Annotated[str, Meta(min_length=1, max_length=METHOD_NAME_LENGTH_MAX)]
Instructions = Annotated[str, Meta(min_length=1, max_length=INSTRUCTIONS_LENGTH_MAX)]
GatewayId = Annotated[str, Meta(min_length=1, max_length=50, examples=["sslcommerz"])]
Icon = Annotated[str, Meta(max_length=ICON_URL_LENGTH_MAX)]


class NewMethod(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way to pay."""

    code: Code
    method_type: PaymentMethodType
    name: MethodName
    instructions: Instructions
    payment_details: dict[str, Any]
    is_active: bool = True
    is_manual: bool = True
    min_amount: Money | None = None
    max_amount: Money | None = None
    currency: Annotated[str, Meta(min_length=3, max_length=10)] | None = None  # None: the shop's
    confirmation_window_hours: Hours = WINDOW_HOURS_DEFAULT
    sort_order: int = 0
    icon_url: Icon | None = None
    gateway_id: GatewayId | None = None  # None: staff look for the money


class MethodPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall change; the rest stays."""

    method_type: PaymentMethodType | UnsetType = UNSET
    name: MethodName | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    is_manual: bool | UnsetType = UNSET
    instructions: Instructions | UnsetType = UNSET
    payment_details: dict[str, Any] | UnsetType = UNSET
    min_amount: Money | UnsetType = UNSET
    max_amount: Money | UnsetType | None = UNSET
    confirmation_window_hours: Hours | UnsetType = UNSET
    sort_order: int | UnsetType = UNSET
    icon_url: Icon | UnsetType | None = UNSET
    gateway_id: GatewayId | UnsetType | None = UNSET


class MethodOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The methods to show first, in this order."""

    method_ids: Annotated[list[PaymentMethodId], Meta(max_length=METHODS_MAX)]


class OfferedMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A way to pay, before anything is ordered."""

    code: str
    method_type: PaymentMethodType
    name: str
    min_amount: Money
    max_amount: Money | None
    confirmation_window_hours: int
    icon_url: str | None


class OfferedMethods(msgspec.Struct, frozen=True, kw_only=True):
    """The ways to pay, in the order to show them."""

    items: list[OfferedMethod]


class MethodView(msgspec.Struct, frozen=True, kw_only=True):
    """A way to pay, as staff configure it."""

    id: PaymentMethodId
    code: str
    method_type: PaymentMethodType
    name: str
    is_active: bool
    is_manual: bool
    instructions: str
    payment_details: dict[str, Any]
    min_amount: Money
    max_amount: Money | None
    confirmation_window_hours: int
    sort_order: int
    icon_url: str | None
    gateway_id: str | None
    created_at: datetime
    updated_at: datetime


class MethodList(msgspec.Struct, frozen=True, kw_only=True):
    """All ways to pay, in the order they are shown."""

    items: list[MethodView]


@get("/v1/payment-methods", summary="Ways to pay", tags=["payments"], responses=says())
async def offered_methods(payment_methods: NamedDependency[PaymentMethods]) -> OfferedMethods:
    """What a checkout may name. How to pay is told with the order."""
    return OfferedMethods(items=[as_view(OfferedMethod, method) for method in await payment_methods.offered()])


SETTINGS: Final = [requires("settings.write")]
ADMIN_METHODS: Final = ["admin: payment methods"]


@get("/v1/admin/payment-methods", summary="Ways to pay", tags=ADMIN_METHODS, guards=READ, responses=says())
async def list_methods(payment_methods: NamedDependency[PaymentMethods]) -> MethodList:
    """All of them, in the order they are shown."""
    return _methods(await payment_methods.list())


@post(
    "/v1/admin/payment-methods",
    summary="Add a way to pay",
    tags=ADMIN_METHODS,
    guards=SETTINGS,
    opt=IDEMPOTENT,
    responses=says(
        errors.InvalidPaymentMethod,
        errors.PaymentMethodTaken,
        errors.TooManyPaymentMethods,
        CurrencyMismatch,
        UnknownCurrency,
        GatewayNotFound,
    ),
)
async def add_method(data: JSONBody[NewMethod], payment_methods: NamedDependency[PaymentMethods]) -> MethodView:
    """What the details must say depends on the type: Zelle needs a recipient_name and an email or phone, and so on."""
    return as_view(MethodView, await payment_methods.create(**msgspec.structs.asdict(data)))


@put(
    "/v1/admin/payment-methods/order",
    summary="Show them in another order",
    tags=ADMIN_METHODS,
    guards=SETTINGS,
    responses=says(errors.PaymentMethodNotFound, errors.InvalidPaymentMethod),
)
async def reorder_methods(data: JSONBody[MethodOrder], payment_methods: NamedDependency[PaymentMethods]) -> MethodList:
    """Those that are not named follow as they did."""
    return _methods(await payment_methods.reorder(method_ids=data.method_ids))


@get(
    "/v1/admin/payment-methods/{method_id:uuid}",
    summary="A way to pay",
    tags=ADMIN_METHODS,
    guards=READ,
    responses=says(errors.PaymentMethodNotFound),
)
async def get_method(method_id: FromPath[UUID], payment_methods: NamedDependency[PaymentMethods]) -> MethodView:
    """Active or not."""
    return as_view(MethodView, await payment_methods.get(method_id=PaymentMethodId(method_id)))


@patch(
    "/v1/admin/payment-methods/{method_id:uuid}",
    summary="Change a way to pay",
    tags=ADMIN_METHODS,
    guards=SETTINGS,
    responses=says(errors.PaymentMethodNotFound, errors.InvalidPaymentMethod, CurrencyMismatch, GatewayNotFound),
)
async def update_method(
    method_id: FromPath[UUID], data: JSONBody[MethodPatch], payment_methods: NamedDependency[PaymentMethods]
) -> MethodView:
    """Payments that were started stay as they are."""
    given = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET}
    changes = cast("MethodChanges", given)
    return as_view(MethodView, await payment_methods.update(method_id=PaymentMethodId(method_id), **changes))


@delete(
    "/v1/admin/payment-methods/{method_id:uuid}",
    summary="Remove a way to pay",
    tags=ADMIN_METHODS,
    guards=SETTINGS,
    responses=says(errors.PaymentMethodNotFound, errors.PaymentMethodInUse),
)
async def delete_method(method_id: FromPath[UUID], payment_methods: NamedDependency[PaymentMethods]) -> None:
    """Only one by which nobody ever paid; others are deactivated."""
    await payment_methods.delete(method_id=PaymentMethodId(method_id))


def _methods(methods: Sequence[PaymentMethod]) -> MethodList:
    return MethodList(items=[as_view(MethodView, method) for method in methods])


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    offered_methods,
    list_methods,
    add_method,
    reorder_methods,
    get_method,
    update_method,
    delete_method,
)
