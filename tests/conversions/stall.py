"""A shop that tells two providers, both on loopback, its visitors, and who sends."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from factories import place
from receiver import Answer, Receiver, Request, status
from storeroom.conversions import ConversionSender, Provider, ProviderKind, Purchases
from storeroom.core.ids import CartId, SessionId, VariantId
from storeroom.core.visitor import Visitor
from storeroom.database.service import Actor, ActorKind
from storeroom.flows.model import Placement
from storeroom.integration import Courier, Dispatcher
from storeroom.room import Shop, Storeroom

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
TOKEN = "EAABsbCS1iHgBAsecret"
API_SECRET = "q9k2m-secret-4x"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"
CUSTOMER = Actor(kind=ActorKind.CUSTOMER, name="guest")


async def meta_takes(request: Request, writer: Any) -> None:
    """As Meta documents it: how many it has."""
    body = b'{"events_received":%d,"messages":[],"fbtrace_id":"A1"}' % len(request.json["data"])
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


google_takes: Answer = status(204)


@dataclass
class Stall:
    """A shop, its providers, their receivers, and visitors who buy."""

    room: Storeroom
    shop: Shop
    courier: Courier
    meta: Receiver
    google: Receiver
    pixel: Provider = field(init=False)
    stream: Provider = field(init=False)
    variant: VariantId = field(init=False)

    def sender(self, **settings: Any) -> ConversionSender:
        bases = {
            ProviderKind.META: f"http://127.0.0.1:{self.meta.port}",
            ProviderKind.GA4: f"http://127.0.0.1:{self.google.port}",
        }
        return ConversionSender(self.room.db, self.courier, keys=self.room.token_keys, bases=bases, **settings)

    async def carried(self) -> None:
        """What the outbox holds is brought to those that wait."""
        purchases = Purchases(self.room.db, self.room.tenants.cache)
        await Dispatcher(self.room.db, self.courier, keys=self.room.token_keys, carriers=(purchases,)).run_once()

    async def told(self) -> None:
        """All that waits is due, and told to whoever takes it."""
        for provider in await self.shop.conversions.providers():
            await self.shop.conversions.retry(provider_id=provider.id)
        await self.sender().run_once()

    async def visitor(self, *, consents: bool | None = True, **signals: str) -> Visitor:
        guest, _ = await self.shop.acting(actor=CUSTOMER, ip="203.0.113.9", user_agent=BROWSER).sessions.guest()
        visitor = Visitor(session_id=SessionId(guest.id))
        if consents is not None:
            await self.shop.conversions.set_signals(visitor=visitor, consents=consents, **signals)
        return visitor

    async def adds(self, visitor: Visitor, quantity: int = 1, shop: Shop | None = None) -> CartId:
        buying = (shop or self.shop).acting(
            actor=CUSTOMER, ip="203.0.113.9", user_agent=BROWSER, request_id=f"r-{quantity}"
        )
        cart = await buying.carts.create(visitor=visitor)
        await buying.carts.add(cart_id=cart.id, variant_id=self.variant, quantity=quantity, visitor=visitor)
        return cart.id

    async def buys(self, visitor: Visitor, quantity: int = 1, **facts: Any) -> Placement:
        buying = self.shop.acting(actor=CUSTOMER, ip="203.0.113.9", user_agent=BROWSER)
        return await place(buying, (self.variant, quantity), visitor=visitor, payment_method="zelle", **facts)

    async def waiting(self) -> list[tuple[str, str, int]]:
        page = await self.shop.conversions.list(limit=100)
        return sorted((row.event_name, row.status.value, row.retry_count) for row in page.items)

    async def paid(self, placed: Placement) -> None:
        assert placed.order.payment is not None
        await self.shop.payments.verify(payment_id=placed.order.payment.id)

    async def write(self, count: int) -> None:
        """So many events as they stand in the table, one visitor in ten."""
        await self.room.db.execute(
            "INSERT INTO analytics_events (tenant_id, id, event_name, payload) "
            "SELECT $1, gen_random_uuid(), 'AddToCart', jsonb_build_object("
            "'meta', jsonb_build_object('event_name', 'AddToCart', 'event_id', n::text, 'event_time', 1700000000,"
            " 'user_data', jsonb_build_object('em', jsonb_build_array(md5(n::text)))),"
            "'ga4', jsonb_build_object('client_id', (n % ($2::int / 10 + 1))::text, 'events', jsonb_build_array("
            " jsonb_build_object('name', 'add_to_cart', 'params', jsonb_build_object('value', n))))) "
            "FROM generate_series(1, $2::int) n",
            self.shop.tenant_id,
            count,
        )
