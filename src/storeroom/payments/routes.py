"""Payments over HTTP, for customers: started, looked at, proven. The parts that staff use stand beside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.core.money import CurrencyMismatch, Money
from storeroom.orders import OrderNotFound
from storeroom.payments import errors, method_routes, staff_routes
from storeroom.payments.model import PROOF_BYTES_MAX, CustomerPayment, Payer
from storeroom.payments.service import Payments
from storeroom.payments.views import Code, Notes, Reference
from storeroom.web import IDEMPOTENT, AnyRequest, InvalidRequest, Limiter, MalformedRequest, Principal, says

FORM_BYTES_MAX: Final = PROOF_BYTES_MAX + 64 * 1024  # the file, and the fields around it
LOOKUPS_BY_ADDRESS: Final = 60  # in LOOKUP_WINDOW: phone numbers are not to be guessed
LOOKUPS_OF_ORDER: Final = 20
LOOKUP_WINDOW: Final = timedelta(minutes=10)
Phone = Annotated[str, Meta(min_length=3, max_length=40, examples=["+1 512 555 0123"])]
Number = Annotated[str, Meta(min_length=1, max_length=20)]


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
    payer = await payer_of(principal, limiter, number, data.phone, right="payments.verify")
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
    return await payments.customer_view(reference=reference, payer=await payer_of(principal, limiter, None, None))


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
    payer = await payer_of(principal, limiter, proof.number, proof.phone, right="payments.verify")
    await payments.submit_proof(
        reference=reference, customer_reference=proof.customer_reference, file=file, notes=proof.notes, payer=payer
    )
    return await payments.customer_view(reference=reference, payer=payer)


async def payer_of(
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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise MalformedRequest(reason="the body is not JSON") from None
    else:
        raise MalformedRequest(reason="send application/json or multipart/form-data")
    try:
        return msgspec.convert(source, NewProof), file
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise InvalidRequest(reason=message, field=place.rstrip("`") or None) from None


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    start_payment,
    customer_payment,
    submit_proof,
    *method_routes.route_handlers,
    *staff_routes.route_handlers,
)
