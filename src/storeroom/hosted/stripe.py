"""Stripe Checkout, through Stripe's own library: an extra, imported when it is first needed."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec

from storeroom.core.errors import StoreroomError
from storeroom.core.money import Money, currency_digits
from storeroom.core.secrets import Secret
from storeroom.hosted.errors import (
    AmountTooFine,
    ProviderDown,
    ProviderMisconfigured,
    ProviderRefused,
    SignatureRefused,
)
from storeroom.hosted.providers import ANSWER_BYTES_MAX, TIMEOUT, Asked, Opened, Outcome, State
from storeroom.integration import Courier, DestinationRefused, InvalidWebhook, NoAnswer

NAME: Final = "stripe"
API: Final = "https://api.stripe.com"
TOLERANCE_S: Final = 300  # so old a signed message may be
SIGNATURE_LENGTH_MAX: Final = 1_000  # of the header

# Where Stripe counts in another unit than ISO 4217 (docs.stripe.com/currencies, zero-decimal and special cases): two in
# hundredths, though they have no decimals, and the ariary whole, though it has.
_DIGITS: Final = MappingProxyType({"ISK": 2, "MGA": 0, "UGX": 2})
_THOUSANDTHS: Final = 3  # of currencies with so many digits Stripe wants the last one to be 0


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A message of Stripe whose signature was right."""

    id: str
    type: str
    object: dict[str, Any]  # what it is about, as it was then
    created: datetime


class _Data(msgspec.Struct):
    object: dict[str, Any]


class _Message(msgspec.Struct):
    id: str
    type: str
    created: int
    data: _Data


class _Session(msgspec.Struct):
    """What we read of a checkout session."""

    id: str
    status: str | None = None  # open, complete, expired
    payment_status: str | None = None  # paid, unpaid, no_payment_required
    amount_total: int | None = None
    currency: str | None = None
    payment_intent: str | dict[str, Any] | None = None
    url: str | None = None
    expires_at: int | None = None


class StripeProvider:
    """One account at Stripe."""

    def __init__(self, *, secret_key: Secret | None, courier: Courier, base_url: str | None = None) -> None:
        if not secret_key:
            raise ProviderMisconfigured(provider=NAME, reason="secret_key is not set")
        self._secret_key, self._courier = secret_key, courier
        self._base_url = base_url or API

    async def open_session(self, asked: Asked) -> Opened:
        """See Provider. The payment's id is the idempotency key: Stripe answers a retry with the first session."""
        metadata = {"tenant_id": asked.tenant_id, "payment_id": asked.payment_id, "order_number": asked.order_number}
        parameters: dict[str, Any] = {
            "mode": "payment",
            "client_reference_id": asked.reference,
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": asked.amount.currency.lower(),
                        "unit_amount": to_stripe(asked.amount),
                        "product_data": {"name": f"Order {asked.order_number}"},
                    },
                }
            ],
            "success_url": asked.return_url,
            "cancel_url": asked.cancel_url,
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata},
        }
        if asked.customer_email:
            parameters["customer_email"] = asked.customer_email
        if asked.expires_at is not None:
            parameters["expires_at"] = int(asked.expires_at.timestamp())
        key = f"storeroom-{asked.tenant_id}-{asked.payment_id}"
        found = await self._call("create_async", parameters, {"idempotency_key": key})
        session = _session(found)
        return Opened(
            session_id=session.id,
            url=session.url,
            payment_intent=_intent(session),
            expires_at=datetime.fromtimestamp(session.expires_at, UTC) if session.expires_at else None,
        )

    async def state(self, session: str) -> State:
        """See Provider."""
        return self.read(await self._call("retrieve_async", session))

    def read(self, said: Mapping[str, Any]) -> State:
        """See Provider."""
        return read_session(said)

    async def _call(self, name: str, *arguments: Any) -> dict[str, Any]:
        library = _library()
        client = library.StripeClient(
            self._secret_key.reveal(),
            base_addresses={"api": self._base_url},
            max_network_retries=1,
            http_client=_client_class()(self._courier),
        )
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                found = await getattr(client.v1.checkout.sessions, name)(*arguments)
                return dict(found.to_dict())
        except TimeoutError:
            raise ProviderDown(provider=NAME, reason="no answer in time") from None
        except (library.AuthenticationError, library.PermissionError):
            raise ProviderMisconfigured(provider=NAME, reason="the key is not taken") from None
        except (UnicodeDecodeError, AttributeError):  # the library takes any JSON, and of bytes only text
            raise ProviderDown(provider=NAME, reason="an answer of another shape") from None
        except (library.APIConnectionError, library.RateLimitError) as error:
            raise ProviderDown(provider=NAME, reason=type(error).__name__) from None
        except library.StripeError as error:
            status = error.http_status or 0
            if not 400 <= status < 500:
                raise ProviderDown(provider=NAME, reason=f"status {status}") from None
            raise ProviderRefused(provider=NAME, reason=str(error.code or type(error).__name__)) from None


def require_signed(body: bytes, signature: str | None, secret: Secret) -> None:
    """Whether the bytes are signed, lately, with the secret; Stripe's own library decides.

    Raises:
        SignatureRefused: signed with another one, not at all, or more than TOLERANCE_S ago.
        ProviderMisconfigured: the library is not installed.
    """
    library = _library()
    if not signature or len(signature) > SIGNATURE_LENGTH_MAX or not signature.isascii():
        raise SignatureRefused
    try:
        library.WebhookSignature.verify_header(body, signature, secret.reveal(), TOLERANCE_S)
    except (library.SignatureVerificationError, UnicodeDecodeError):
        raise SignatureRefused from None


def read_event(said: Any) -> Event:
    """A message, as its JSON was read. Raises ProviderDown where it is none."""
    try:
        message = msgspec.convert(said, _Message)
        return Event(id=message.id, type=message.type, object=message.data.object, created=_instant(message.created))
    except (ValueError, OverflowError, OSError):
        raise ProviderDown(provider=NAME, reason="a signed message of another shape") from None


def read_session(said: Mapping[str, Any]) -> State:
    """A checkout session, as an answer or an event holds it. Raises ProviderDown where it is none."""
    session = _session(said)
    if session.payment_status in ("paid", "no_payment_required"):
        outcome = Outcome.PAID
    elif session.status == "expired":
        outcome = Outcome.EXPIRED
    elif session.status == "complete":
        outcome = Outcome.PROCESSING
    else:
        outcome = Outcome.OPEN
    received = None
    if outcome is Outcome.PAID and session.amount_total is not None and session.currency:
        received = from_stripe(session.amount_total, session.currency)
    return State(session_id=session.id, outcome=outcome, received=received, reference=_intent(session))


def to_stripe(amount: Money) -> int:
    """An amount as Stripe counts it. Raises AmountTooFine where it takes no such amount."""
    digits = currency_digits(amount.currency)
    shift = _digits(amount.currency) - digits
    step = 10 if digits == _THOUSANDTHS else 10 ** max(0, -shift)
    if amount.amount % step:
        raise AmountTooFine(provider=NAME, amount=amount, step=Money(step, amount.currency))
    return int(amount.amount * 10**shift if shift > 0 else amount.amount // 10**-shift)


def from_stripe(amount: int, currency: str) -> Money:
    """What Stripe counts, in our words. Raises ProviderDown where there is no such amount."""
    code = currency.upper()
    try:
        return Money.of(Decimal(amount).scaleb(-_digits(code)), code)  # which has its bounds
    except StoreroomError:
        raise ProviderDown(provider=NAME, reason="an amount that is none") from None


def _digits(currency: str) -> int:
    return _DIGITS.get(currency, currency_digits(currency))


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _session(said: Mapping[str, Any]) -> _Session:
    try:
        return msgspec.convert(said, _Session)
    except msgspec.ValidationError:
        raise ProviderDown(provider=NAME, reason="no checkout session") from None


def _intent(session: _Session) -> str | None:
    intent = session.payment_intent
    return str(intent.get("id") or "") or None if isinstance(intent, dict) else intent


def _library() -> Any:
    try:
        import stripe  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise ProviderMisconfigured(
            provider=NAME, reason="its library is not installed: pip install 'storeroom[stripe]'"
        ) from None
    return stripe


@lru_cache(maxsize=1)
def _client_class() -> Any:
    """Stripe's client over our own courier, which does not go to private addresses and reads no answer without end."""
    stripe = _library()

    class Client(stripe.HTTPClient):  # type: ignore[name-defined,misc]
        name = "storeroom"

        def __init__(self, courier: Courier) -> None:
            super().__init__()
            self._courier = courier

        async def request_async(
            self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
        ) -> tuple[bytes, int, Mapping[str, str]]:
            content = post_data.encode() if isinstance(post_data, str) else post_data or b""
            try:
                answer = await self._courier.ask(
                    method.upper(), url, body=content, headers=headers, within=2 * TIMEOUT, bytes_max=ANSWER_BYTES_MAX
                )
            except NoAnswer as error:
                raise stripe.APIConnectionError(str(error), should_retry=True) from None
            except (DestinationRefused, InvalidWebhook):
                raise ProviderMisconfigured(provider=NAME, reason="its endpoint is not one that we ask") from None
            return answer.body, answer.status, answer.headers

        async def sleep_async(self, secs: float) -> None:
            await asyncio.sleep(secs)

    return Client
