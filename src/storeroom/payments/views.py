"""What the routes of payments share: fields that come in, and a payment as staff see it."""

from datetime import datetime
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from storeroom.core.ids import OrderId, PaymentId, PaymentMethodId, UserId
from storeroom.core.money import Money
from storeroom.payments.model import CUSTOMER_REFERENCE_LENGTH_MAX, NOTES_LENGTH_MAX, PaymentStatus
from storeroom.web import requires

Reference = Annotated[str, Meta(min_length=1, max_length=CUSTOMER_REFERENCE_LENGTH_MAX)]
Notes = Annotated[str, Meta(max_length=NOTES_LENGTH_MAX)]
Code = Annotated[str, Meta(min_length=1, max_length=50, examples=["zelle"])]
V = TypeVar("V", bound=msgspec.Struct)


def as_view(view: type[V], found: object) -> V:
    """The fields that go out."""
    return view(**{name: getattr(found, name) for name in view.__struct_fields__})


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


READ: Final = [requires("payments.read")]
