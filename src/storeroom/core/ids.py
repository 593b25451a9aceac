"""Identifiers: UUID version 7 for rows, named by what they identify, and short codes that people read aloud."""

import secrets
from typing import Final, NewType
from uuid import UUID

from uuid_utils.compat import uuid7

TenantId = NewType("TenantId", str)

AddressId = NewType("AddressId", UUID)
ApiKeyId = NewType("ApiKeyId", UUID)
BatchId = NewType("BatchId", UUID)
CartId = NewType("CartId", UUID)
CartItemId = NewType("CartItemId", UUID)
CategoryId = NewType("CategoryId", UUID)
CouponId = NewType("CouponId", UUID)
DisputeId = NewType("DisputeId", UUID)
DomainId = NewType("DomainId", UUID)
EventId = NewType("EventId", UUID)
FileId = NewType("FileId", UUID)
GiftCardId = NewType("GiftCardId", UUID)
JobId = NewType("JobId", UUID)
OrderId = NewType("OrderId", UUID)
OrderLineId = NewType("OrderLineId", UUID)
PaymentId = NewType("PaymentId", UUID)
PaymentMethodId = NewType("PaymentMethodId", UUID)
ProductId = NewType("ProductId", UUID)
RefundId = NewType("RefundId", UUID)
ReservationId = NewType("ReservationId", UUID)
ReturnId = NewType("ReturnId", UUID)
SessionId = NewType("SessionId", UUID)
ShipmentId = NewType("ShipmentId", UUID)
SubscriptionId = NewType("SubscriptionId", UUID)
SupplierId = NewType("SupplierId", UUID)
UserId = NewType("UserId", UUID)
VariantId = NewType("VariantId", UUID)
WebhookId = NewType("WebhookId", UUID)
EndpointId = NewType("EndpointId", UUID)
InboxId = NewType("InboxId", UUID)

# No 0 and O, no 1, I and L: they are misread. No U: fewer words that nobody wants to see on an order.
CODE_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH_MAX: Final = 64


def new_id() -> UUID:
    """A UUID of version 7: ids made later sort later, so rows are added at the end of an index."""
    return uuid7()


def human_code(length: int = 8, group: int = 4) -> str:
    """A random code to read, type and dictate, such as `7KQP-2MXW`.

    Each character carries 4.9 bits from the operating system's randomness: eight of them are enough to be unique, not
    to be secret. What must not be guessed is a token (`core.secrets`).

    Args:
        length: characters without the hyphens, 1 to CODE_LENGTH_MAX.
        group: characters between two hyphens; 0 for none.
    """
    if not 1 <= length <= CODE_LENGTH_MAX or group < 0:
        raise ValueError(f"a code has 1 to {CODE_LENGTH_MAX} characters, in groups of at least 0")
    number, characters = secrets.randbelow(len(CODE_ALPHABET) ** length), []
    for _ in range(length):  # drawn at once: each draw asks the operating system
        number, at = divmod(number, len(CODE_ALPHABET))
        characters.append(CODE_ALPHABET[at])
    code = "".join(characters)
    step = group or length
    return "-".join(code[start : start + step] for start in range(0, length, step))
