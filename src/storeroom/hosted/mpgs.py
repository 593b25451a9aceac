"""Mastercard's gateway (MPGS), over its REST API: Initiate Checkout opens a page, Retrieve Order tells its end."""

from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import msgspec

from storeroom.core.errors import StoreroomError
from storeroom.core.money import Money
from storeroom.core.secrets import Secret
from storeroom.core.stripping import stripped
from storeroom.hosted.errors import ProviderDown, ProviderMisconfigured, ProviderRefused
from storeroom.hosted.model import MpgsResult, MpgsStatus
from storeroom.hosted.providers import ANSWER_BYTES_MAX, TIMEOUT, Asked, Opened, Outcome, State
from storeroom.integration import Courier, DestinationRefused, InvalidWebhook, NoAnswer

NAME: Final = "mpgs"
API_VERSION: Final = 100
VERSION_MIN: Final = 63  # before it the operation had another name
MERCHANT_NAME_LENGTH_MAX: Final = 40

_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)  # amounts come as numbers, and no fraction may be lost

# `order.status` of Retrieve Order, in our words; what is not here is open still.
_STATUS: Final[Mapping[str, MpgsStatus]] = {
    "AUTHENTICATION_INITIATED": MpgsStatus.PENDING,
    "AUTHENTICATED": MpgsStatus.PENDING,
    "AUTHENTICATION_NOT_NEEDED": MpgsStatus.PENDING,
    "AUTHENTICATION_UNSUCCESSFUL": MpgsStatus.PENDING,  # the buyer may try another card
    "AUTHORIZED": MpgsStatus.AUTHORIZED,
    "CAPTURED": MpgsStatus.CAPTURED,
    "PARTIALLY_CAPTURED": MpgsStatus.CAPTURED,
    "CANCELLED": MpgsStatus.CANCELLED,
    "FAILED": MpgsStatus.FAILED,
    "EXPIRED": MpgsStatus.EXPIRED,
    "REFUNDED": MpgsStatus.REFUNDED,
    "PARTIALLY_REFUNDED": MpgsStatus.CAPTURED,  # `refunded` says how much
    "REFUND_REQUESTED": MpgsStatus.CAPTURED,
    "DISPUTED": MpgsStatus.CAPTURED,
    "CHARGEBACK_PROCESSED": MpgsStatus.CAPTURED,
}
_OUTCOME: Final[Mapping[MpgsStatus, Outcome]] = {
    MpgsStatus.INITIATED: Outcome.OPEN,
    MpgsStatus.PENDING: Outcome.PROCESSING,
    MpgsStatus.AUTHORIZED: Outcome.PROCESSING,
    MpgsStatus.CAPTURED: Outcome.PAID,
    MpgsStatus.REFUNDED: Outcome.PAID,
    MpgsStatus.FAILED: Outcome.FAILED,
    MpgsStatus.CANCELLED: Outcome.FAILED,
    MpgsStatus.EXPIRED: Outcome.EXPIRED,
}


class MpgsProvider:
    """One merchant at Mastercard's gateway."""

    def __init__(
        self,
        *,
        merchant_id: str | None,
        api_password: Secret | None,
        base_url: str | None,
        courier: Courier,
        merchant_name: str = "Shop",
        version: int = API_VERSION,
    ) -> None:
        missing = [
            name
            for name, value in (
                ("merchant_id", merchant_id),
                ("api_password", api_password),
                ("an endpoint", base_url),
            )
            if not value
        ]
        if missing or merchant_id is None or api_password is None or base_url is None:
            raise ProviderMisconfigured(provider=NAME, reason=f"{', '.join(missing)} not set")
        if version < VERSION_MIN:
            raise ProviderMisconfigured(provider=NAME, reason=f"api_version {VERSION_MIN} or later is needed")
        self._courier = courier
        self._merchant_id = merchant_id
        self._password = api_password
        self._host = base_url.rstrip("/")
        self._base = f"{self._host}/api/rest/version/{version}/merchant/{quote(merchant_id, safe='')}"
        self._merchant_name = merchant_name[:MERCHANT_NAME_LENGTH_MAX]

    @property
    def script_url(self) -> str:
        """The library that opens a session's page."""
        return f"{self._host}/static/checkout/checkout.min.js"

    async def open_session(self, asked: Asked) -> Opened:
        """See Provider. The gateway opens another session each time; its order, named by the payment, is one."""
        order_ref = asked.payment_id.replace("-", "")
        said = await self._call(
            "POST",
            "/session",
            {
                "apiOperation": "INITIATE_CHECKOUT",
                "interaction": {
                    "operation": "PURCHASE",
                    "merchant": {"name": self._merchant_name},
                    "returnUrl": asked.return_url,
                    "cancelUrl": asked.cancel_url,
                },
                "order": {
                    "id": order_ref,
                    "reference": asked.reference,
                    "amount": format(asked.amount.decimal(), "f"),
                    "currency": asked.amount.currency,
                    "description": f"Order {asked.order_number}",
                },
            },
        )
        session = said.get("session")
        session_id = session.get("id") if isinstance(session, dict) else None
        indicator = said.get("successIndicator")
        if said.get("result") != "SUCCESS" or not isinstance(session_id, str) or not isinstance(indicator, str):
            raise ProviderDown(provider=NAME, reason="no session")
        return Opened(
            session_id=session_id,
            script_url=self.script_url,
            session_version=_text(session, "version"),
            success_indicator=indicator,
            order_ref=order_ref,
            merchant_id=self._merchant_id,
        )

    async def state(self, session: str) -> State:
        """See Provider; `session` is the order's name. An order that the gateway does not know has no payment yet."""
        try:
            said = await self._call("GET", f"/order/{quote(session, safe='')}")
        except ProviderRefused as error:
            if error.reason != "INVALID_REQUEST":  # so it says that there is no such order
                raise
            return State(session_id=None, outcome=Outcome.OPEN, mpgs=MpgsResult(status=MpgsStatus.INITIATED))
        return self.read(said)

    def read(self, said: Mapping[str, Any]) -> State:
        """An order, as Retrieve Order gives it."""
        word = _text(said, "status")
        if word is None:
            raise ProviderDown(provider=NAME, reason="no order")
        status = _STATUS.get(word, MpgsStatus.PENDING)
        last = _last(said.get("transaction"))
        response, transaction = _inside(last, "response"), _inside(last, "transaction")
        card = _inside(said, "sourceOfFunds", "provided", "card") or _inside(last, "sourceOfFunds", "provided", "card")
        paid = _OUTCOME[status] is Outcome.PAID
        result = MpgsResult(
            status=status,
            received=_money(said, "totalCapturedAmount") if paid else None,
            refunded=_money(said, "totalRefundedAmount") if paid and "totalRefundedAmount" in said else None,
            order_status=word,
            gateway_code=_text(response, "gatewayCode"),
            gateway_transaction_id=_text(transaction, "id"),
            acquirer_code=_text(response, "acquirerCode"),
            authorization_code=_text(transaction, "authorizationCode"),
            card_brand=_text(card, "brand"),
            card_last4=(_text(card, "number") or "")[-4:] or None,
            three_ds_status=_text(said, "authenticationStatus"),
            transaction_receipt=_text(transaction, "receipt"),
            failure_reason=_text(response, "gatewayCode") if status is MpgsStatus.FAILED else None,
            raw=stripped(said),
        )
        return State(session_id=None, outcome=_OUTCOME[status], received=result.received, mpgs=result)

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        login = b64encode(f"merchant.{self._merchant_id}:{self._password.reveal()}".encode()).decode()
        content = msgspec.json.encode(body) if body is not None else b""
        headers = {
            "authorization": f"Basic {login}",
            "content-type": "application/json",
            "accept": "application/json",
        }
        try:
            answer = await self._courier.ask(
                method, self._base + path, body=content, headers=headers, within=TIMEOUT, bytes_max=ANSWER_BYTES_MAX
            )
        except NoAnswer as error:
            raise ProviderDown(provider=NAME, reason=error.reason) from None
        except (DestinationRefused, InvalidWebhook):
            raise ProviderMisconfigured(provider=NAME, reason="its endpoint is not one that we ask") from None
        return _answer(answer.status, answer.body)


def _answer(status: int, text: bytes) -> dict[str, Any]:
    if status in (401, 403):
        raise ProviderMisconfigured(provider=NAME, reason="the merchant or the password is not taken")
    try:
        said = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError):
        said = None
    if status >= 500 or status == 429 or not isinstance(said, dict):
        raise ProviderDown(provider=NAME, reason=f"status {status}")
    if status >= 400:
        raise ProviderRefused(provider=NAME, reason=_text(_inside(said, "error"), "cause") or f"status {status}")
    return said


def _money(said: Mapping[str, Any], name: str) -> Money:
    """One of an order's sums, to the unit: the gateway writes numbers, which are read as decimals."""
    amount, currency = said.get(name), said.get("currency")
    try:
        return Money.of(Decimal(str(amount)), str(currency))
    except (StoreroomError, ArithmeticError):
        raise ProviderDown(provider=NAME, reason="an amount that is none") from None


def _last(transactions: Any) -> Any:
    """The transaction that moved money, or else the last attempt."""
    rows = [each for each in transactions if isinstance(each, dict)] if isinstance(transactions, list) else []
    paid = [
        each
        for each in rows
        if each.get("result") == "SUCCESS" and _text(_inside(each, "transaction"), "type") in ("PAYMENT", "CAPTURE")
    ]
    return [None, *(paid or rows)][-1]


def _inside(said: Any, *path: str) -> Any:
    for name in path:
        said = said.get(name) if isinstance(said, Mapping) else None
    return said


def _text(said: Any, name: str) -> str | None:
    value = said.get(name) if isinstance(said, Mapping) else None
    return value if isinstance(value, str) and value else None
