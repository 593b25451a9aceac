"""The port to providers that take payments on a page of their own, and what they say in our words.

Nobody calls a provider inside a transaction, and no answer is read without end. What goes wrong is a typed error with
the provider's code at most: neither its message nor a key, an address or anything of the buyer's.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec

from storeroom.core.money import Money
from storeroom.hosted.model import MpgsResult

TIMEOUT: Final = timedelta(seconds=10)  # of one call, in all
ANSWER_BYTES_MAX: Final = 1024 * 1024


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A payment for which a page is to be opened."""

    tenant_id: str
    payment_id: str
    reference: str  # of the payment
    order_number: str
    amount: Money
    customer_email: str | None
    return_url: str  # where the buyer goes afterwards
    cancel_url: str
    expires_at: datetime | None  # None: whenever the provider ends its sessions


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A page that waits for its buyer."""

    session_id: str
    url: str | None = None  # where to send the buyer; None: the script opens it
    script_url: str | None = None  # a library that opens the page in the shop's own
    session_version: str | None = None
    success_indicator: str | None = None
    order_ref: str | None = None  # how the provider calls the order, where that is how it is asked about
    merchant_id: str | None = None
    payment_intent: str | None = None
    expires_at: datetime | None = None


class Outcome(StrEnum):
    """What has become of a page."""

    OPEN = "open"  # nobody has paid yet
    PROCESSING = "processing"  # the buyer is through, the money is on its way
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of a page."""

    session_id: str | None
    outcome: Outcome
    received: Money | None = None
    reference: str | None = None  # the provider's name of the payment
    mpgs: MpgsResult | None = None  # what Mastercard's gateway says besides


class Provider(Protocol):
    """One account of the shop at a provider."""

    async def open_session(self, asked: Asked) -> Opened:
        """Open a page. A retry for the same payment opens no second one where the provider can tell.

        Raises:
            ProviderRefused: the provider refuses what is asked.
            ProviderDown: it does not answer in time, or not in its own shape.
            ProviderMisconfigured: a setting is missing, or the key is wrong.
        """
        ...

    async def state(self, session: str) -> State:
        """Ask what has become of a page: by the session's id, or by the order's where `Opened.order_ref` has one.

        Raises ProviderRefused, ProviderDown, ProviderMisconfigured.
        """
        ...

    def read(self, said: Mapping[str, Any]) -> State:
        """What the provider said of a session, in its own shape. Raises ProviderDown where it is not in that shape."""
        ...
