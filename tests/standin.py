"""A provider on this machine: a real server on a real socket that answers as Stripe and Mastercard's gateway document."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

STRIPE_KEY = "sk_test_of_the_stand_in"
WEBHOOK_SECRET = "whsec_of_the_stand_in"
MERCHANT = "TESTSHOP"
PASSWORD = "password-of-the-stand-in"
SUCCESS = "8b1f6a6e6b0d4c57"


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class StandIn:
    """What the server knows, and what it was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)  # Stripe's
    by_key: dict[str, str] = field(default_factory=dict)  # its idempotency keys
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)  # the gateway's
    wrong: Callable[[BaseHTTPRequestHandler], bool] | None = None  # answers instead, if it says so
    _one: threading.Lock = field(default_factory=threading.Lock)  # two with one idempotency key get one session

    def answer(self, asked: Asked) -> tuple[int, Any]:
        with self._one:
            return self._answer(asked)

    def _answer(self, asked: Asked) -> tuple[int, Any]:
        parts = asked.path.strip("/").split("/")
        if parts[:3] == ["v1", "checkout", "sessions"]:
            if asked.headers.get("authorization") != f"Bearer {STRIPE_KEY}":
                return 401, {"error": {"type": "invalid_request_error", "message": f"Invalid API Key: {STRIPE_KEY}"}}
            return self._stripe(asked, parts[3:])
        if parts[:3] == ["api", "rest", "version"] and parts[4:6] == ["merchant", MERCHANT]:
            login = base64.b64encode(f"merchant.{MERCHANT}:{PASSWORD}".encode()).decode()
            if asked.headers.get("authorization") != f"Basic {login}":
                return 401, {
                    "error": {"cause": "INVALID_REQUEST", "explanation": "Invalid credentials."},
                    "result": "ERROR",
                }
            return self._mpgs(asked, parts[6:])
        return 404, {"error": {"code": "resource_missing", "message": "no such path"}}

    def _stripe(self, asked: Asked, rest: list[str]) -> tuple[int, Any]:
        if asked.method == "GET":
            found = self.sessions.get(rest[0])
            gone = {
                "error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such session"}
            }
            return (200, found) if found else (404, gone)
        key = asked.headers.get("idempotency-key", secrets.token_hex(8))
        if key not in self.by_key:
            form = asked.form
            session_id = f"cs_test_{secrets.token_hex(12)}"
            price = "line_items[0][price_data]"
            self.by_key[key] = session_id
            self.sessions[session_id] = {
                "id": session_id,
                "object": "checkout.session",
                "amount_subtotal": int(form[f"{price}[unit_amount]"]),
                "amount_total": int(form[f"{price}[unit_amount]"]),
                "client_reference_id": form["client_reference_id"],
                "created": int(time.time()),
                "currency": form[f"{price}[currency]"],
                "customer_email": form.get("customer_email"),
                "expires_at": int(form.get("expires_at", time.time() + 86_400)),
                "livemode": False,
                "metadata": {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")},
                "mode": form["mode"],
                "payment_intent": None,
                "payment_method_types": ["card"],
                "payment_status": "unpaid",
                "status": "open",
                "success_url": form["success_url"],
                "url": f"https://checkout.stripe.com/c/pay/{session_id}",
            }
        return 200, self.sessions[self.by_key[key]]

    def _mpgs(self, asked: Asked, rest: list[str]) -> tuple[int, Any]:
        if asked.method == "POST" and rest == ["session"]:
            body = asked.json
            order = body["order"]
            self.orders.setdefault(order["id"], {"order": order})
            return 201, {
                "checkoutMode": "WEBSITE",
                "merchant": MERCHANT,
                "result": "SUCCESS",
                "session": {
                    "id": f"SESSION{secrets.token_hex(12)}",
                    "updateStatus": "SUCCESS",
                    "version": "1f2a3b4c01",
                },
                "successIndicator": SUCCESS,
            }
        found = self.orders.get(rest[1], {}).get("answer") if rest[0] == "order" else None
        unknown = {"cause": "INVALID_REQUEST", "explanation": f"Unable to find order {rest[-1]}"}
        return (200, found) if found else (400, {"error": unknown, "result": "ERROR"})

    def stripe_pays(self, session_id: str, *, amount: int | None = None, slowly: bool = False) -> dict[str, Any]:
        """The buyer pays on the page; the session as Stripe then tells of it."""
        session = self.sessions[session_id]
        session |= {
            "status": "complete",
            "payment_status": "unpaid" if slowly else "paid",
            "payment_intent": session["payment_intent"] or f"pi_{secrets.token_hex(12)}",
            "amount_total": amount if amount is not None else session["amount_total"],
        }
        return dict(session)

    def mpgs_says(self, order_id: str, status: str, *, captured: str = "0", **more: Any) -> None:
        """What Retrieve Order will answer, as the gateway documents it: amounts are JSON numbers."""
        order = self.orders[order_id]["order"]
        self.orders[order_id]["answer"] = {
            "amount": Number(order["amount"]),
            "authenticationStatus": "AUTHENTICATION_SUCCESSFUL",
            "currency": order["currency"],
            "id": order_id,
            "merchant": MERCHANT,
            "reference": order["reference"],
            "result": "SUCCESS" if status == "CAPTURED" else "FAILURE",
            "sourceOfFunds": {
                "provided": {
                    "card": {
                        "brand": "MASTERCARD",
                        "expiry": {"month": "1", "year": "39"},
                        "fundingMethod": "CREDIT",
                        "number": "512345xxxxxx2346",
                        "scheme": "MASTERCARD",
                    }
                },
                "type": "CARD",
            },
            "status": status,
            "totalAuthorizedAmount": Number(captured),
            "totalCapturedAmount": Number(captured),
            "totalRefundedAmount": Number("0"),
            "transaction": [
                {"result": "SUCCESS", "transaction": {"id": "auth-1", "type": "AUTHENTICATION"}},
                {
                    "response": {
                        "acquirerCode": "00",
                        "gatewayCode": "APPROVED" if status == "CAPTURED" else "DECLINED",
                    },
                    "result": "SUCCESS" if status == "CAPTURED" else "FAILURE",
                    "transaction": {
                        "acquirer": {"id": "S2I_EMV"},
                        "authorizationCode": "028442",
                        "id": "1",
                        "receipt": "307512345678",
                        "type": "PAYMENT",
                    },
                },
            ],
            **more,
        }


class Number(float):
    """Written as it was given: 144.50 stays 144.50."""

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str

    def __repr__(self) -> str:
        return self.text


def _written(value: Any) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value)


@contextmanager
def serving() -> Iterator[StandIn]:
    """A stand-in that listens on the loopback interface until the test is over."""
    known = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            asked = Asked(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            known.asked.append(asked)
            if known.wrong is not None and known.wrong(self):
                return
            status, answer = known.answer(asked)
            say(self, status, _written(answer).encode())

        do_GET = do_POST = _take  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        known.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()


def say(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def event(kind: str, about: dict[str, Any], *, event_id: str | None = None, created: int | None = None) -> bytes:
    """A message of Stripe's shape."""
    return json.dumps(
        {
            "id": event_id or f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": int(time.time()) if created is None else created,
            "data": {"object": about},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
    ).encode()


def signed(body: bytes, *, secret: str = WEBHOOK_SECRET, age_s: int = 0) -> str:
    """The header as Stripe makes it, written out here so that the library is not asked about itself."""
    at = int(time.time()) - age_s
    mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac},v0={secrets.token_hex(32)}"
