"""What sends us messages: each source's bytes and headers, written out by hand so that no library is asked about itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two characters").decode()  # good for every scheme


def body_of(**facts: Any) -> bytes:
    return json.dumps({"type": "Inventory", "id": f"evt_{secrets.token_hex(6)}", **facts}).encode()


def standard(body: bytes, *, secret: str = SECRET, id: str | None = None, age_s: int = 0) -> dict[str, str]:  # noqa: A002
    key, at = base64.b64decode(secret.removeprefix("whsec_")), int(time.time()) - age_s
    name = id or f"msg_{secrets_of()}"
    mac = hmac.digest(key, f"{name}.{at}.".encode() + body, hashlib.sha256)
    return {
        "Webhook-Id": name,
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def timed(body: bytes, *, secret: str = SECRET, header: str = "Stripe-Signature", age_s: int = 0) -> dict[str, str]:
    at = int(time.time()) - age_s
    mac = hmac.digest(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return {header: f"t={at},v1={mac.hex()}"}


def plain(
    body: bytes, *, secret: str = SECRET, header: str = "X-Signature", prefix: str = "", base_64: bool = False
) -> dict[str, str]:
    mac = hmac.digest(secret.encode(), body, hashlib.sha256)
    return {header: prefix + (base64.b64encode(mac).decode() if base_64 else mac.hex())}


def mailgun(event: str, recipient: str, *, secret: str = SECRET, age_s: int = 0, **facts: Any) -> bytes:
    at, token = str(int(time.time()) - age_s), secrets_of()
    mac = hmac.digest(secret.encode(), (at + token).encode(), hashlib.sha256)
    said = {"event": event, "id": secrets_of(), "recipient": recipient, "severity": "permanent", **facts}
    signature = {"timestamp": at, "token": token, "signature": mac.hex()}
    return json.dumps({"signature": signature, "event-data": said}).encode()


def parcel(number: str, status: str) -> bytes:
    about = {"tracking_number": number, "carrier": "usps", "tracking_status": {"status": status}}
    return json.dumps({"event": "track_updated", "data": about, "test": True}).encode()


def secrets_of() -> str:
    return secrets.token_hex(16)
