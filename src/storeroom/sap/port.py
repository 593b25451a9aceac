"""How SAP is asked: over HTTP, at the address that the shop's staff have set. Never inside a transaction.

The address is a secret as a whole, `https://name:password@sap.example/shop`, so that whoever may change where SAP is
asked has to know the password, and cannot have it sent elsewhere.
"""

import base64
import hashlib
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit
from uuid import UUID

import msgspec

from storeroom.configuration import Setting, declare
from storeroom.core.secrets import Secret
from storeroom.integration import Answer, Courier, DestinationRefused, InvalidWebhook, NoAnswer
from storeroom.sap.errors import SapFailed
from storeroom.sap.model import CODE_LENGTH_MAX, NUMBER_LENGTH_MAX, InvoicedOrder, ToSync

TIMEOUT: Final = timedelta(seconds=20)  # of one call, in all
ADDRESS_LENGTH_MAX: Final = 1_000
CUSTOMER_BYTES_MAX: Final = 64 * 1024
INVOICE_BYTES_MAX: Final = 10 * 1024 * 1024
JSON: Final = "application/json"
PDF: Final = "application/pdf"


class SapAddress(msgspec.Struct, frozen=True):
    """Where SAP answers, and with what it is asked."""

    base: str
    authorization: Secret | None


class InvoiceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What SAP said when it was asked for an invoice. `error`: why it is none."""

    answer: Answer
    content_type: str
    said: Any  # of JSON; None: something else
    error: str | None

    @property
    def invoice_number(self) -> str | None:
        """The number, where the answer has one that can be kept."""
        number = self.said.get("invoice_number") if isinstance(self.said, dict) else None
        tidy = number.strip() if isinstance(number, str) else ""
        return tidy if 1 <= len(tidy) <= NUMBER_LENGTH_MAX and tidy.isprintable() else None

    def kept(self) -> dict[str, Any]:
        """What the audit keeps of it: JSON as it is, of a document its length and SHA-256."""
        if isinstance(self.said, dict):
            return {"answer": self.said}
        body = self.answer.body
        kept = {"content_type": self.content_type, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        if self.error is not None:
            kept["begins"] = body[:500].decode("utf-8", "replace").replace("\x00", "")
        return {"answer": kept}


def address(text: str) -> SapAddress:
    """An address as staff set it: `https://name:password@host/path`, or a bearer token as `https://:token@host/path`."""
    tidy = text.strip()
    wrong = ValueError("https://name:password@host/path, or https://:token@host/path")
    if len(tidy) > ADDRESS_LENGTH_MAX or not tidy.isascii() or not tidy.isprintable() or " " in tidy:
        raise wrong
    try:
        parts = urlsplit(tidy)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise wrong
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    base = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not password:
        return SapAddress(base, None)
    if not name:
        return SapAddress(base, Secret(f"Bearer {password}"))
    return SapAddress(base, Secret("Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()))


SAP_ADDRESS: Final[Setting[SapAddress | None]] = declare(
    Setting(
        key="sap.address",
        default=None,
        parse=address,
        group="sap",
        secret=True,
        says="where the shop's SAP answers, with name and password: `https://name:password@sap.example/shop`",
    )
)


class Sap:
    """One shop's SAP."""

    def __init__(self, courier: Courier, address: SapAddress) -> None:
        self._courier, self._address = courier, address

    async def customer(self, customer: ToSync) -> str:
        """Tell SAP of a customer; return their number there. The same row again is the same customer.

        Raises:
            SapFailed: SAP did not answer, refused, or said no number.
        """
        body = msgspec.json.encode(
            {
                "email": customer.customer_email,
                "customer_id": customer.customer_id,
                "full_name": customer.full_name,
                "phone": customer.phone,
                "company_code": customer.company_code,
                "customer_code": customer.sap_customer_code,
            }
        )
        answer = await self._ask("POST", "/customers", body=body, key=customer.id, bytes_max=CUSTOMER_BYTES_MAX)
        if not 200 <= answer.status < 300:
            raise SapFailed(reason=f"answered {answer.status}", status=answer.status)
        said = _json(answer.body)
        code = said.get("customer_code") if isinstance(said, dict) else None
        if isinstance(code, int) and not isinstance(code, bool):
            code = str(code)
        if not isinstance(code, str) or not 1 <= len(code.strip()) <= CODE_LENGTH_MAX or not code.isprintable():
            raise SapFailed(reason="answered without a customer_code", status=answer.status)
        return code.strip()

    async def invoice(
        self, order: InvoicedOrder, *, invoice_number: str | None, company_code: str | None
    ) -> InvoiceAnswer:
        """Ask for the invoice of an order: an object of JSON, or a PDF, of INVOICE_BYTES_MAX at most.

        Raises:
            SapFailed: nobody answered. What is answered, but is no invoice, says so itself.
        """
        asked = {"order": order.order_number, "invoice": invoice_number, "company": company_code}
        query = urlencode({name: value for name, value in asked.items() if value}, quote_via=quote)
        answer = await self._ask("GET", f"/invoices?{query}", bytes_max=INVOICE_BYTES_MAX)
        content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()[:100]
        said = _json(answer.body) if content_type == JSON else None
        error = None
        if not 200 <= answer.status < 300:
            error = f"answered {answer.status}"
        elif not (isinstance(said, dict) or (content_type == PDF and answer.body.startswith(b"%PDF-"))):
            error = f"answered neither an object of JSON nor a PDF, but {content_type or 'no content type'}"
        return InvoiceAnswer(answer=answer, content_type=content_type, said=said, error=error)

    async def _ask(
        self, method: str, path: str, *, body: bytes = b"", key: UUID | None = None, bytes_max: int
    ) -> Answer:
        headers = {"accept": f"{JSON}, {PDF}"}
        if body:
            headers |= {"content-type": JSON, "idempotency-key": str(key)}
        if self._address.authorization is not None:
            headers["authorization"] = self._address.authorization.reveal()
        try:
            return await self._courier.ask(
                method, self._address.base + path, body=body, headers=headers, within=TIMEOUT, bytes_max=bytes_max
            )
        except (NoAnswer, DestinationRefused, InvalidWebhook) as error:
            raise SapFailed(reason=str(error)) from None


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
