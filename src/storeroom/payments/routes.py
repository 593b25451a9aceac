"""HTTP of payments: customers start them and send proofs; staff look, decide, and configure the ways to pay."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.ids import OrderId, PaymentId, PaymentMethodId, UserId
from storeroom.core.money import CurrencyMismatch, Money, UnknownCurrency
from storeroom.core.pages import Page
from storeroom.gateways import GatewayNotFound
from storeroom.orders import OrderNotFound
from storeroom.payments import errors
from storeroom.payments.methods import MethodChanges, PaymentMethods
from storeroom.payments.model import (
    CUSTOMER_REFERENCE_LENGTH_MAX,
    ICON_URL_LENGTH_MAX,
    INSTRUCTIONS_LENGTH_MAX,
    METHOD_NAME_LENGTH_MAX,
    METHODS_MAX,
    NOTES_LENGTH_MAX,
    PROOF_BYTES_MAX,
    WINDOW_HOURS_DEFAULT,
    WINDOW_HOURS_MAX,
    AttemptAction,
    AttemptActor,
    AttemptStatus,
    CustomerPayment,
    Payer,
    PaymentMethod,
    PaymentMethodType,
    PaymentStatus,
    ReviewItem,
)
from storeroom.payments.proofs import KINDS
from storeroom.payments.service import Payments
from storeroom.web import (
    IDEMPOTENT,
    PAGE_SIZE_DEFAULT,
    AnyRequest,
    CursorParameter,
    InvalidRequest,
    Limiter,
    LimitParameter,
    MalformedRequest,
    Principal,
    requires,
    says,
)

FORM_BYTES_MAX: Final = PROOF_BYTES_MAX + 64 * 1024  # the file, and the fields around it
LOOKUPS_BY_ADDRESS: Final = 60  # in LOOKUP_WINDOW: phone numbers are not to be guessed
LOOKUPS_OF_ORDER: Final = 20
LOOKUP_WINDOW: Final = timedelta(minutes=10)

Reference = Annotated[str, Meta(min_length=1, max_length=CUSTOMER_REFERENCE_LENGTH_MAX)]
Notes = Annotated[str, Meta(max_length=NOTES_LENGTH_MAX)]
Code = Annotated[str, Meta(min_length=1, max_length=50, examples=["zelle"])]
Phone = Annotated[str, Meta(min_length=3, max_length=40, examples=["+1 512 555 0123"])]
Number = Annotated[str, Meta(min_length=1, max_length=20)]
Hours = Annotated[int, Meta(ge=1, le=WINDOW_HOURS_MAX)]
MethodName = Annotated[str, Meta(min_length=1, max_length=METHOD_NAME_LENGTH_MAX)]
Instructions = Annotated[str, Meta(min_length=1, max_length=INSTRUCTIONS_LENGTH_MAX)]
GatewayId = Annotated[str, Meta(min_length=1, max_length=50, examples=["sslcommerz"])]
Icon = Annotated[str, Meta(max_length=ICON_URL_LENGTH_MAX)]

V = TypeVar("V", bound=msgspec.Struct)


def as_view(view: type[V], found: object) -> V:
    """The fields that go out."""
    return view(**{name: getattr(found, name) for name in view.__struct_fields__})


# --- What comes in ----------------------------------------------------------------------------------------------------


class NewPayment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How somebody wants to pay an order."""

    method: Code
    amount: Money | None = None  # None: all that is due
    phone: Phone | None = None  # of the order, where no session shows whose it is


class NewProof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shows that a payment was made; a file comes as multipart/form-data, in the part `file`."""

    customer_reference: Reference | None = None
    notes: Notes | None = None
    number: Number | None = None  # of the order, with
    phone: Phone | None = None  # the phone of it, where no session shows whose it is


class Verification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What staff saw."""

    received: Money | None = None  # None: what was asked
    notes: Notes | None = None


class Rejection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is refused; the customer reads it."""

    reason: Annotated[str, Meta(min_length=1, max_length=NOTES_LENGTH_MAX)]


class ReceivedMoney(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money that came unasked or late."""

    method: Code
    amount: Money
    reference: Reference | None = None
    notes: Notes | None = None


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


# --- What goes out ----------------------------------------------------------------------------------------------------


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


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A payment, as staff see it."""

    id: PaymentId
    reference: str
    order_id: OrderId
    user_id: UserId | None
    payment_method_id: PaymentMethodId
    amount: Money
    received_amount: Money | None
    refunded_amount: Money
    status: PaymentStatus
    customer_reference: str | None
    proof_content_type: str | None
    customer_notes: str | None
    verified_by: UserId | None
    verified_at: datetime | None
    verification_notes: str | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    completed_at: datetime | None
    failed_at: datetime | None


class PaymentList(msgspec.Struct, frozen=True, kw_only=True):
    """All payments of an order, oldest first."""

    items: list[PaymentView]


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log of a payment."""

    attempt_number: int
    action: AttemptAction
    status: AttemptStatus
    success: bool
    performed_by: UserId | None
    performed_by_type: AttemptActor
    failure_reason: str | None
    request_data: dict[str, Any] | None
    ip_address: str | None
    user_agent: str | None
    created_at: datetime


class AttemptList(msgspec.Struct, frozen=True, kw_only=True):
    """The log of a payment, from the first attempt on."""

    items: list[AttemptView]


# --- Customers --------------------------------------------------------------------------------------------------------


@get("/v1/payment-methods", summary="Ways to pay", tags=["payments"], responses=says())
async def offered_methods(payment_methods: NamedDependency[PaymentMethods]) -> OfferedMethods:
    """What a checkout may name. How to pay is told with the order."""
    return OfferedMethods(items=[as_view(OfferedMethod, method) for method in await payment_methods.offered()])


@post(
    "/v1/orders/{number:str}/payments",
    summary="Start another payment",
    tags=["payments"],
    opt=IDEMPOTENT,
    responses=says(
        OrderNotFound,
        errors.OrderNotPayable,
        errors.PaymentMethodNotFound,
        errors.PaymentMethodInactive,
        errors.AmountOutsideLimits,
        errors.TooManyOpenPayments,
        errors.InvalidPayment,
        CurrencyMismatch,
    ),
)
async def start_payment(
    number: FromPath[str],
    data: JSONBody[NewPayment],
    principal: NamedDependency[Principal],
    limiter: NamedDependency[Limiter],
    payments: NamedDependency[Payments],
) -> CustomerPayment:
    """For the rest of an order, for a part of it, or after the first payment has expired.

    The order must be the caller's, by account or session, or the phone must be the order's.
    """
    payer = await _payer(principal, limiter, number, data.phone, right="payments.verify")
    started = await payments.start(order_number=number, method=data.method, amount=data.amount, payer=payer)
    return await payments.customer_view(reference=started.reference, payer=payer)


@get("/v1/payments/{reference:str}", summary="A payment", tags=["payments"], responses=says(errors.PaymentNotFound))
async def customer_payment(
    reference: FromPath[str],
    principal: NamedDependency[Principal],
    limiter: NamedDependency[Limiter],
    payments: NamedDependency[Payments],
) -> CustomerPayment:
    """How to pay, how it stands, and why the last proof was refused; for the account or session that ordered."""
    return await payments.customer_view(reference=reference, payer=await _payer(principal, limiter, None, None))


@dataclass
class ProofOperation(Operation):
    """Says in the API's description that a proof comes as JSON or as a form."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        fields = dict.fromkeys(NewProof.__struct_fields__, text)
        self.request_body = RequestBody(
            required=True,
            content={
                "application/json": OpenAPIMediaType(
                    schema=Schema(type=OpenAPIType.OBJECT, properties={**fields}, additional_properties=False)
                ),
                "multipart/form-data": OpenAPIMediaType(
                    schema=Schema(
                        type=OpenAPIType.OBJECT,
                        properties={**fields, "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)},
                    )
                ),
            },
        )


@post(
    "/v1/payments/{reference:str}/proof",
    summary="Say that a payment was made",
    tags=["payments"],
    status_code=200,
    request_max_body_size=FORM_BYTES_MAX,
    operation_class=ProofOperation,
    responses=says(
        errors.PaymentNotFound,
        errors.PaymentExpired,
        errors.PaymentMoveRefused,
        errors.PaymentAttemptsUsedUp,
        errors.InvalidPayment,
        errors.ProofNotAccepted,
        errors.FilesUnavailable,
    ),
)
async def submit_proof(
    reference: FromPath[str],
    request: AnyRequest,
    principal: NamedDependency[Principal],
    limiter: NamedDependency[Limiter],
    payments: NamedDependency[Payments],
) -> CustomerPayment:
    """A transaction id as JSON, or a form with a file in the part `file`: JPEG, PNG, WebP, HEIC or PDF, up to 10 MB.

    The payment must be the caller's, by account or session, or number and phone must be those of its order.
    """
    proof, file = await _proof(request)
    payer = await _payer(principal, limiter, proof.number, proof.phone, right="payments.verify")
    await payments.submit_proof(
        reference=reference, customer_reference=proof.customer_reference, file=file, notes=proof.notes, payer=payer
    )
    return await payments.customer_view(reference=reference, payer=payer)


# --- Staff: payments --------------------------------------------------------------------------------------------------

READ: Final = [requires("payments.read")]
VERIFY: Final = [requires("payments.verify")]
ADMIN: Final = ["admin: payments"]


@get("/v1/admin/payments", summary="Payments", tags=ADMIN, guards=READ, responses=says())
async def list_payments(
    payments: NamedDependency[Payments],
    status: FromQuery[PaymentStatus | None] = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[PaymentView]:
    """Newest first."""
    page = await payments.list(status=status, cursor=cursor, limit=limit)
    return Page([as_view(PaymentView, payment) for payment in page.items], page.next_cursor)


@get("/v1/admin/payments/review", summary="Payments to verify", tags=ADMIN, guards=READ, responses=says())
async def payments_to_review(
    payments: NamedDependency[Payments], cursor: CursorParameter = None, limit: LimitParameter = PAGE_SIZE_DEFAULT
) -> Page[ReviewItem]:
    """What awaits verification, oldest first, with the customer's proof and what is due."""
    return await payments.pending_review(cursor=cursor, limit=limit)


@get(
    "/v1/admin/payments/{payment_id:uuid}",
    summary="A payment",
    tags=ADMIN,
    guards=READ,
    responses=says(errors.PaymentNotFound),
)
async def get_payment(payment_id: FromPath[UUID], payments: NamedDependency[Payments]) -> PaymentView:
    """One payment."""
    return as_view(PaymentView, await payments.get(payment_id=PaymentId(payment_id)))


@get(
    "/v1/admin/payments/{payment_id:uuid}/attempts",
    summary="The log of a payment",
    tags=ADMIN,
    guards=READ,
    responses=says(errors.PaymentNotFound),
)
async def payment_attempts(payment_id: FromPath[UUID], payments: NamedDependency[Payments]) -> AttemptList:
    """Who tried what, from the first attempt on."""
    attempts = await payments.attempts(payment_id=PaymentId(payment_id))
    return AttemptList(items=[as_view(AttemptView, attempt) for attempt in attempts])


@dataclass
class ProofFileOperation(Operation):
    """Says in the API's description which files may come."""

    def __post_init__(self) -> None:
        file = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        found = OpenAPIResponse(description="The file", content=dict.fromkeys(KINDS, file))
        self.responses = {**(self.responses or {}), "200": found}


@get(
    "/v1/admin/payments/{payment_id:uuid}/proof",
    summary="The file of a payment",
    tags=ADMIN,
    guards=READ,
    operation_class=ProofFileOperation,
    responses=says(errors.PaymentNotFound, errors.ProofNotFound, errors.FilesUnavailable),
)
async def payment_proof(payment_id: FromPath[UUID], payments: NamedDependency[Payments]) -> Stream:
    """What the customer sent. It comes from a stranger, so the browser is told to run nothing of it."""
    proof = await payments.open_proof(payment_id=PaymentId(payment_id))
    return Stream(
        proof.chunks,
        media_type=proof.content_type,
        headers={
            "Content-Length": str(proof.size),
            "Content-Disposition": "inline",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        },
    )


@post(
    "/v1/admin/payments/{payment_id:uuid}/verify",
    summary="The money arrived",
    tags=ADMIN,
    guards=VERIFY,
    status_code=200,
    opt=IDEMPOTENT,
    responses=says(
        errors.PaymentNotFound, errors.PaymentMoveRefused, errors.InvalidPayment, errors.StaffRequired, CurrencyMismatch
    ),
)
async def verify_payment(
    payment_id: FromPath[UUID], data: JSONBody[Verification], payments: NamedDependency[Payments]
) -> PaymentView:
    """Completes the payment and credits the order; the amount may differ from what was asked."""
    verified = await payments.verify(payment_id=PaymentId(payment_id), received=data.received, notes=data.notes)
    return as_view(PaymentView, verified)


@post(
    "/v1/admin/payments/{payment_id:uuid}/reject",
    summary="The money did not arrive",
    tags=ADMIN,
    guards=VERIFY,
    status_code=200,
    opt=IDEMPOTENT,
    responses=says(errors.PaymentNotFound, errors.PaymentMoveRefused, errors.InvalidPayment, errors.StaffRequired),
)
async def reject_payment(
    payment_id: FromPath[UUID], data: JSONBody[Rejection], payments: NamedDependency[Payments]
) -> PaymentView:
    """The customer is told the reason and may send another proof."""
    return as_view(PaymentView, await payments.reject(payment_id=PaymentId(payment_id), reason=data.reason))


@post(
    "/v1/admin/payments/{payment_id:uuid}/cancel",
    summary="Withdraw a payment",
    tags=ADMIN,
    guards=VERIFY,
    status_code=200,
    responses=says(errors.PaymentNotFound, errors.PaymentMoveRefused),
)
async def cancel_payment(payment_id: FromPath[UUID], payments: NamedDependency[Payments]) -> PaymentView:
    """Before any money came."""
    return as_view(PaymentView, await payments.cancel(payment_id=PaymentId(payment_id)))


@get(
    "/v1/admin/orders/{order_id:uuid}/payments",
    summary="The payments of an order",
    tags=ADMIN,
    guards=READ,
    responses=says(OrderNotFound),
)
async def order_payments(order_id: FromPath[UUID], payments: NamedDependency[Payments]) -> PaymentList:
    """Oldest first."""
    found = await payments.for_order(order_id=OrderId(order_id))
    return PaymentList(items=[as_view(PaymentView, payment) for payment in found])


@post(
    "/v1/admin/orders/{order_id:uuid}/payments",
    summary="Record money that came unasked",
    tags=ADMIN,
    guards=VERIFY,
    opt=IDEMPOTENT,
    responses=says(
        OrderNotFound,
        errors.PaymentMethodNotFound,
        errors.InvalidPayment,
        errors.StaffRequired,
        CurrencyMismatch,
    ),
)
async def record_received(
    order_id: FromPath[UUID], data: JSONBody[ReceivedMoney], payments: NamedDependency[Payments]
) -> PaymentView:
    """Late, in another amount, or for an order that was cancelled: then it is due back."""
    recorded = await payments.record_received(order_id=OrderId(order_id), **msgspec.structs.asdict(data))
    return as_view(PaymentView, recorded)


# --- Staff: the ways to pay -------------------------------------------------------------------------------------------

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


route_handlers: Sequence[ControllerRouterHandler] = (
    offered_methods,
    start_payment,
    customer_payment,
    submit_proof,
    list_payments,
    payments_to_review,
    get_payment,
    payment_attempts,
    payment_proof,
    verify_payment,
    reject_payment,
    cancel_payment,
    order_payments,
    record_received,
    list_methods,
    add_method,
    reorder_methods,
    get_method,
    update_method,
    delete_method,
)


def _methods(methods: Sequence[PaymentMethod]) -> MethodList:
    return MethodList(items=[as_view(MethodView, method) for method in methods])


async def _payer(
    principal: Principal, limiter: Limiter, number: str | None, phone: str | None, *, right: str = "payments.read"
) -> Payer | None:
    """Who asks; None for staff with the right, who act for any customer. Whoever names a phone is counted."""
    if principal.may(right):
        return None
    if phone is not None:
        await limiter.by_address("payment_lookup", times=LOOKUPS_BY_ADDRESS, window=LOOKUP_WINDOW)
        await limiter.by("payment_lookup_of", number or "", times=LOOKUPS_OF_ORDER, window=LOOKUP_WINDOW)
    named = None if number is None else number.strip().upper()
    return Payer(user_id=principal.user_id, session_id=principal.session_id, number=named, phone=phone)


async def _proof(request: AnyRequest) -> tuple[NewProof, bytes | None]:
    """The fields and the file, from JSON or from a form."""
    kind = request.content_type[0]
    file: bytes | None = None
    if kind == "multipart/form-data":
        form = await request.form()
        given: dict[str, Any] = {}
        for name, value in form.multi_items():
            if name in given or (name == "file" and file is not None):
                raise InvalidRequest(reason=f"{name} comes twice", field=name)
            if name == "file":
                if not isinstance(value, UploadFile):
                    raise InvalidRequest(reason="file: send it with a filename", field="file")
                file = await value.read()
            else:
                given[name] = value
        source: Any = given
    elif kind in ("", "application/json"):
        try:
            source = msgspec.json.decode(await request.body())
        except msgspec.DecodeError:
            raise MalformedRequest(reason="the body is not JSON") from None
    else:
        raise MalformedRequest(reason="send application/json or multipart/form-data")
    try:
        return msgspec.convert(source, NewProof), file
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise InvalidRequest(reason=message, field=place.rstrip("`") or None) from None
