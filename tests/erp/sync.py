"""A shop, an ERP beside it, and what a test wants to know of both."""

from __future__ import annotations

import importlib.util
import ipaddress
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

from factories import make_product, place
from storeroom.core.ids import VariantId
from storeroom.erp import ErpCarrier, ErpConnection
from storeroom.erp.jobs import queue_unsynced
from storeroom.flows.model import Placement
from storeroom.integration import Courier, Dispatcher
from storeroom.orders import Order
from storeroom.payments import Payment
from storeroom.refunds import Refund
from storeroom.room import Shop, Storeroom

RECEIVER = Path(__file__).parents[2] / "examples" / "erp_receiver" / "receiver.py"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
TOKEN = "a-token-of-the-erp"


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("erp_receiver", RECEIVER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


receiver: Any = _loaded()


@dataclass
class ReferenceErp:
    """The example, served in this process; `answers` come before its own, `answers_to` where a path begins so."""

    url: str
    records: Any
    requests: list[tuple[str, str, dict[str, str], Any]]
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    answers_to: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)

    def all(self, entity: str) -> list[dict[str, Any]]:
        return list(self.records.all(entity))

    def next_answer(self, path: str) -> tuple[int, bytes] | None:
        of_path = (answers for begins, answers in self.answers_to.items() if path.startswith(begins))
        answers = next(of_path, self.answers)
        return answers.pop(0) if answers else None

    def sent(self, entity: str) -> list[str]:
        """The methods by which something of this kind was sent."""
        return [method for method, path, _, _ in self.requests if path.startswith(f"/{entity}")]


@contextmanager
def reference_erp(token: str | None = TOKEN) -> Iterator[ReferenceErp]:
    records = receiver.Records(":memory:")
    requests: list[tuple[str, str, dict[str, str], Any]] = []
    erp = ReferenceErp("", records, requests)

    class Handler(receiver.Handler):  # type: ignore[misc, name-defined]
        def _content(self) -> Any:
            self.said = super()._content()
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append((self.command, self.path, headers, self.said))
            return self.said

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            told = None if self.command == "GET" else erp.next_answer(self.path)
            if told is None:
                super()._answer(status, content)
                return
            status, body = told
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _say(self, *_: object) -> None: ...

    bound = type("Bound", (Handler,), {"records": records, "token": token})
    with ThreadingHTTPServer(("127.0.0.1", 0), bound) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        serving.start()
        erp.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield erp
        finally:
            server.shutdown()
            serving.join()


@dataclass
class Sync:
    """One shop and those who send for it."""

    room: Storeroom
    shop: Shop
    courier: Courier

    def dispatcher(self) -> Dispatcher:
        carrier = ErpCarrier(self.room.db, self.courier, keys=self.room.token_keys, wanted_kept=timedelta(0))
        return Dispatcher(self.room.db, self.courier, keys=self.room.token_keys, carriers=[carrier])

    async def send(self) -> None:
        """What is queued, once."""
        await self.dispatcher().run_once()

    async def sweep(self, limit: int = 500) -> int:
        return await queue_unsynced(self.room.db, limit=limit)

    async def connect(self, url: str, **settings: Any) -> ErpConnection:
        asked = {"base_url": url, "auth": "bearer", "credential": TOKEN, **settings}
        return await self.shop.erp.connect(**asked)

    async def fan_out(self) -> None:
        """Let events become rows, and send none of them."""
        carrier = ErpCarrier(self.room.db, self.courier, keys=self.room.token_keys, wanted_kept=timedelta(0))
        dispatcher = Dispatcher(self.room.db, self.courier, keys=self.room.token_keys, carriers=[carrier])
        await dispatcher._fan_out(self.shop.tenant_id)

    async def one(self, sql: str, *args: object) -> Any:
        return await self.room.db.fetchval(self.room.db.names.render(sql), self.shop.tenant_id, *args)

    async def run(self, sql: str, *args: object) -> str:
        return await self.room.db.execute(self.room.db.names.render(sql), self.shop.tenant_id, *args)

    async def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        found = await self.room.db.fetch(self.room.db.names.render(sql), self.shop.tenant_id, *args)
        return [tuple(row) for row in found]

    async def queued(self, entity: str | None = None) -> list[tuple[str, UUID]]:
        """Rows for the ERP, whatever became of them: what each is about."""
        await self.fan_out()
        found = await self.rows(
            "SELECT entity_type, entity_id FROM {webhook_queue} WHERE tenant_id = $1 AND destination = 'epicor_propello' "
            "ORDER BY created_at, id"
        )
        return [(kind, id_) for kind, id_ in found if entity in {None, kind}]

    async def due_now(self) -> None:
        await self.run("UPDATE {webhook_queue} SET next_attempt_at = now() WHERE tenant_id = $1 AND status = 'pending'")

    async def forget_queue(self) -> None:
        await self.run("DELETE FROM {webhook_queue} WHERE tenant_id = $1")

    async def place(self, *lines: tuple[VariantId, int], **facts: Any) -> Placement:
        asked = lines or [(await make_product(self.shop, price=2_500), 2)]
        return await place(self.shop, *asked, payment_method="zelle", **facts)

    async def paid(self, **facts: Any) -> tuple[Order, Payment]:
        placed = await self.place(**facts)
        assert placed.order.payment is not None
        payment = await self.shop.payments.verify(payment_id=placed.order.payment.id)
        return await self.shop.orders.get(order_id=placed.order.id), payment

    async def refund(self, payment: Payment, amount: Any = None) -> Refund:
        return await self.shop.refunds.request(payment_id=payment.id, amount=amount, reason="wrong size")
