"""A small ERP to try the shop's ERP sync with: takes what the shop sends, keeps it, prints it, and can answer back.

    python examples/erp_receiver/receiver.py serve --port 9090
    python examples/erp_receiver/receiver.py send Inventory sku=SHIRT-RED quantity_on_hand=5 --secret whsec_…

Nothing but the standard library. It shows what an ERP has to do: make one record for one `Idempotency-Key`, however
often it is sent, and answer with the id under which it keeps it. It is no ERP: it checks nothing and forgets nothing.
"""

import argparse
import base64
import hashlib
import hmac
import json
import re
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PREFIXES = {
    "customer-master": "CUST",
    "item-master": "ITEM",
    "sales-order": "SO",
    "payment-receipt": "RCPT",
    "credit-memo": "CM",
    "shipment": "SHIP",
}
BODY_BYTES_MAX = 4 * 1024 * 1024
NUMBERS = frozenset({"quantity_on_hand", "amount", "credit_limit"})  # what the shop reads as numbers; all else is text
PATH = re.compile(r"/([a-z-]+)(?:/([A-Za-z0-9-]{1,50}))?")

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    number       INTEGER PRIMARY KEY,
    entity       TEXT NOT NULL,
    erp_id       TEXT UNIQUE,
    key          TEXT NOT NULL UNIQUE,   -- of the shop: one entity, one key, one record
    content      TEXT NOT NULL,
    times_sent   INTEGER NOT NULL DEFAULT 1
)"""


class Records:
    """What the shop has sent; one row for each entity."""

    def __init__(self, file: str) -> None:
        self._db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._db.execute(SCHEMA)
        self._lock = threading.Lock()

    def make(self, entity: str, key: str, content: dict[str, Any]) -> tuple[str, bool]:
        """The id of the record of this key, and whether it is new. A repeat brings the newer content."""
        with self._lock:
            known = self._db.execute("SELECT erp_id FROM records WHERE key = ?", (key,)).fetchone()
            if known:
                self._write(known[0], content)
                return known[0], False
            number = self._db.execute(
                "INSERT INTO records (entity, key, content) VALUES (?, ?, ?) RETURNING number",
                (entity, key, json.dumps(content)),
            ).fetchone()[0]
            erp_id = f"{PREFIXES[entity]}-{number:06}"
            self._db.execute("UPDATE records SET erp_id = ? WHERE number = ?", (erp_id, number))
            return erp_id, True

    def change(self, erp_id: str, content: dict[str, Any]) -> bool:
        """Whether there is such a record."""
        with self._lock:
            return self._write(erp_id, content)

    def all(self, entity: str) -> list[dict[str, Any]]:
        """The records of a kind, the oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT erp_id, times_sent, content FROM records WHERE entity = ? ORDER BY number", (entity,)
            ).fetchall()
        return [{**json.loads(row[2]), "erp_id": row[0], "times_sent": row[1]} for row in rows]

    def counts(self) -> dict[str, int]:
        """How many records there are of each kind."""
        with self._lock:
            return dict(self._db.execute("SELECT entity, count(*) FROM records GROUP BY entity").fetchall())

    def _write(self, erp_id: str, content: dict[str, Any]) -> bool:
        changed = self._db.execute(
            "UPDATE records SET content = ?, times_sent = times_sent + 1 WHERE erp_id = ?",
            (json.dumps(content), erp_id),
        )
        return changed.rowcount == 1


class Handler(BaseHTTPRequestHandler):
    """`POST /{entity}` makes a record, `PUT /{entity}/{id}` changes one, `GET` shows what is there."""

    protocol_version = "HTTP/1.1"
    records: Records
    token: str | None

    def do_GET(self) -> None:
        """All records of a kind, or how many there are of each."""
        if self._refused():
            return
        if self.path == "/":
            self._answer(200, {"ok": True, "records": self.records.counts()})
        elif self.path.strip("/") in PREFIXES:
            self._answer(200, {"items": self.records.all(self.path.strip("/"))})
        else:
            self._answer(404, {"error": "no such entity"})

    def do_POST(self) -> None:
        """A record that may be new: the key says whether it is."""
        content = self._content()
        key, entity = self.headers.get("Idempotency-Key"), self._named()[0]
        if self._refused():
            return
        if entity is None or key is None or content is None:
            self._answer(422, {"error": "POST /{entity} with an Idempotency-Key and a JSON object"})
            return
        erp_id, made = self.records.make(entity, key, content)
        self._say(erp_id, content, "new" if made else "known")
        self._answer(201 if made else 200, _ids(erp_id, content))

    def do_PUT(self) -> None:
        """A record that we have."""
        content = self._content()
        entity, erp_id = self._named()
        if self._refused():
            return
        if entity is None or erp_id is None or content is None or not self.records.change(erp_id, content):
            self._answer(404, {"error": "no such record"})
            return
        self._say(erp_id, content, "changed")
        self._answer(200, _ids(erp_id, content))

    def _named(self) -> tuple[str | None, str | None]:
        match = PATH.fullmatch(self.path)
        return (match[1], match[2]) if match and match[1] in PREFIXES else (None, None)

    def _content(self) -> dict[str, Any] | None:
        length = int(self.headers.get("Content-Length", "0"))
        body = self.rfile.read(min(length, BODY_BYTES_MAX))
        try:
            content = json.loads(body)
        except ValueError:
            return None
        return content if isinstance(content, dict) else None

    def _refused(self) -> bool:
        if self.token is None or hmac.compare_digest(self.headers.get("Authorization", ""), f"Bearer {self.token}"):
            return False
        self._answer(401, {"error": "who are you?"})
        return True

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _say(self, erp_id: str, content: dict[str, Any], how: str) -> None:
        data = content.get("data", {})
        name = next((data[field] for field in ("number", "reference", "email", "name") if data.get(field)), "")
        print(f"{content.get('entity', '?'):16} {erp_id:12} {how:8} {name}", flush=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # of the base class
        """Nothing: `_say` has said it."""


def _ids(erp_id: str, content: dict[str, Any]) -> dict[str, Any]:
    lines = content.get("data", {}).get("lines", []) if content.get("entity") == "Sales Order" else []
    return {"id": erp_id, "lines": [f"{erp_id}-{n}" for n in range(1, len(lines) + 1)]}


def serve(host: str, port: int, file: str, token: str | None) -> None:
    """Take what comes until somebody presses Ctrl-C."""
    handler = type("Bound", (Handler,), {"records": Records(file), "token": token})
    with ThreadingHTTPServer((host, port), handler) as server:
        print(f"ERP at http://{host}:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("closed")


def send(shop: str, tenant: str, secret: str, kind: str, data: dict[str, Any]) -> int:
    """Tell the shop something, signed by the Standard Webhooks scheme; return the status of its answer."""
    message_id, at = f"erp_{uuid.uuid4().hex}", str(int(time.time()))
    occurred_at = datetime.now(UTC).isoformat()  # not to the second: of two counts in one second the later one stands
    body = json.dumps({"id": message_id, "type": kind, "occurred_at": occurred_at, "data": data}).encode()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
    request = urllib.request.Request(
        f"{shop.rstrip('/')}/v1/webhooks/{tenant}/epicor_propello",
        data=body,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{signature}",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            print(answer.status, answer.read().decode())
            return int(answer.status)
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode())
        return error.code


def _facts(words: list[str]) -> dict[str, Any]:
    """`sku=4711 quantity_on_hand=5` as an object. A SKU of digits is a text, and keeps its zeros."""
    facts: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        number = name in NUMBERS and re.fullmatch(r"-?[0-9]{1,18}", value)
        facts[name] = int(value) if number else value
    return facts


def main() -> int:
    """Serve, or send one message."""
    parser = argparse.ArgumentParser(description="A small ERP to try the shop's ERP sync with.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="take what the shop sends")
    serving.add_argument("--host", default="127.0.0.1")
    serving.add_argument("--port", type=int, default=9090, help="0: any that is free")
    serving.add_argument(
        "--file", default=":memory:", help="where records are kept; without it they end with the process"
    )
    serving.add_argument("--token", help="what the shop has to say: Authorization: Bearer …")
    sending = commands.add_parser("send", help="tell the shop something")
    sending.add_argument("kind", help="Inventory, 'Payment Receipt' or Customer")
    sending.add_argument("facts", nargs="+", help="such as sku=SHIRT-RED quantity_on_hand=5")
    sending.add_argument("--shop", default="http://127.0.0.1:8000")
    sending.add_argument("--tenant", default="default")
    sending.add_argument("--secret", required=True, help="of the source epicor_propello, as the shop has shown it")
    asked = parser.parse_args()
    if asked.command == "serve":
        serve(asked.host, asked.port, asked.file, asked.token)
        return 0
    return 0 if send(asked.shop, asked.tenant, asked.secret, asked.kind, _facts(asked.facts)) < 300 else 1


if __name__ == "__main__":
    sys.exit(main())
