"""Who is reminded of a cart, when, how often, and who is not."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from factories import SECRET, forged_from, make_method, make_product, open_shop, place, purchase
from rivals import race
from serving import app_of
from storeroom import notices
from storeroom.carts import Cart
from storeroom.carts.jobs import abandon_idle
from storeroom.configuration import ConfigUnreadable
from storeroom.conversions import ProviderKind
from storeroom.core.clock import FixedClock
from storeroom.core.ids import CartId, OrderId, PaymentId, UserId, VariantId, new_id
from storeroom.core.visitor import Visitor
from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import Actor, ActorKind
from storeroom.identity import ProfileChanges, TokenKeys
from storeroom.notices import Notice
from storeroom.retention import CartReminderNotFound, CartReminderStatus
from storeroom.retention.jobs import note_idle, remind, remind_due
from storeroom.room import Shop, Storeroom

DUE = timedelta(seconds=7_201)
QUEUED = "SELECT id, payload FROM webhook_queue WHERE tenant_id = $1 AND destination = 'mail' ORDER BY id"
S = CartReminderStatus


@dataclass
class Desk:
    """A shop whose carts are kept."""

    shop: Shop
    room: Storeroom
    variant: VariantId

    @property
    def db(self) -> Database:
        return self.room.db

    @property
    def keys(self) -> TokenKeys:
        return self.room.token_keys

    async def buyer(self, *, consents: bool = True) -> UserId:
        user_id = UserId(new_id())  # without the half second that a password takes
        await self.db.execute(
            "INSERT INTO users (tenant_id, id, email, status) VALUES ($1, $2, $3, 'active')",
            self.shop.tenant_id,
            user_id,
            f"{secrets.token_hex(5)}@buyer.example",
        )
        await self.says(user_id, consents=consents)
        return user_id

    async def says(self, user_id: UserId, *, consents: bool) -> None:
        own = self.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, user_id=user_id))
        await own.users.update_profile(user_id=user_id, changes=ProfileChanges(marketing_consent=consents))

    async def cart(self, user_id: UserId, *, lines: int = 1, domain: str | None = None) -> Cart:
        cart = await self.shop.carts.create(visitor=Visitor(user_id=user_id), domain=domain)
        if lines:
            await self.shop.carts.add(cart_id=cart.id, variant_id=self.variant, quantity=2)
        return cart

    async def ordered(self, *, domain: str | None = None) -> tuple[OrderId, PaymentId]:
        """An order of a guest's cart, and its payment."""
        session, _ = await self.shop.sessions.guest()
        cart = await self.shop.carts.for_session(session.id)
        await self.shop.carts.add(cart_id=cart.id, variant_id=self.variant)
        placed = await self.shop.checkout.place(
            _purchase(cart.id), visitor=Visitor(session_id=session.id), domain=domain
        )
        assert placed.order.payment is not None
        return placed.order.id, placed.order.payment.id

    async def failed(self, *, domain: str | None = None) -> tuple[OrderId, PaymentId]:
        order_id, payment_id = await self.ordered(domain=domain)
        await self.shop.payments.reject(payment_id=payment_id, reason="no such transfer")
        return order_id, payment_id

    async def back(self, by: timedelta = DUE) -> None:
        """Let time pass for carts and reminders."""
        for table, column in (("carts", "updated_at"), ("cart_reminders", "waiting_since")):
            await self.db.execute(
                f"UPDATE {table} SET {column} = {column} - $2::interval WHERE tenant_id = $1",
                self.shop.tenant_id,
                by,
            )

    async def remind(self) -> int:
        return await self.db.run(self.reminding)

    async def reminding(self, tx: Transaction) -> int:
        return await remind_due(tx, context=self.shop.context.on(tx), keys=self.keys, limit=50)

    async def mails(self) -> list[Notice]:
        rows = await self.db.fetch(QUEUED, self.shop.tenant_id)
        return [
            notices.opened(self.keys, tenant_id=self.shop.tenant_id, webhook_id=row["id"], payload=row["payload"])
            for row in rows
        ]

    async def statuses(self) -> list[tuple[CartReminderStatus, int]]:
        return [(each.status, each.reminders) for each in (await self.shop.cart_reminders.list()).items]


def _purchase(cart_id: CartId) -> Any:
    return purchase(cart_id=cart_id, payment_method="zelle")


@pytest.fixture
async def desk(shop: Shop, room: Storeroom) -> Desk:
    await make_method(shop)
    return Desk(shop, room, await make_product(shop, stock=100, price=1500))


# --- A payment that failed -------------------------------------------------------------------------------------------


@pytest.mark.requirement("RED-CART-07")
async def test_a_failed_payment_is_reminded_of_once_after_the_time(desk: Desk) -> None:
    order_id, _ = await desk.failed()
    assert await desk.remind() == 0
    assert await desk.mails() == []
    await desk.back()
    assert await desk.remind() == 1
    assert await desk.remind() == 0
    await desk.back()
    assert await desk.remind() == 0  # max_retries is one
    (mail,) = await desk.mails()
    assert (mail.kind, mail.to, mail.bcc) == ("cart_retry", "bo@buyer.example", ())
    assert mail.facts["total"] == {"amount": 1500, "currency": "USD"}
    assert mail.facts["order_number"] == (await desk.shop.orders.get(order_id=order_id)).order_number
    assert "link" not in mail.facts  # nobody said where the storefront is
    assert await desk.statuses() == [(S.EXHAUSTED, 1)]


@pytest.mark.requirement("RED-CART-07")
async def test_two_workers_at_once_queue_one(desk: Desk) -> None:
    await desk.failed()
    await desk.back()
    async with desk.db.transaction() as tx:
        assert await desk.reminding(tx) == 1
        assert await desk.remind() == 0  # held by the other: passed over
    assert await desk.remind() == 0
    assert len(await desk.mails()) == 1


@pytest.mark.requirement("RED-CART-07")
async def test_a_worker_that_dies_has_queued_nothing_and_counted_nothing(desk: Desk) -> None:
    await desk.failed()
    await desk.back()
    with pytest.raises(ConnectionError):
        async with desk.db.transaction() as tx:
            await desk.reminding(tx)
            raise ConnectionError
    assert await desk.mails() == []
    assert await desk.remind() == 1
    assert len(await desk.mails()) == 1


@pytest.mark.requirement("RED-CART-07")
async def test_what_was_paid_or_cancelled_is_not_reminded_of(desk: Desk) -> None:
    paid, payment_id = await desk.failed()
    await desk.shop.payments.record_received(
        order_id=paid, method="zelle", amount=(await desk.shop.payments.get(payment_id=payment_id)).amount
    )
    cancelled, _ = await desk.failed()
    await desk.shop.cancellation.cancel(order_id=cancelled, reason="the buyer asked")
    await desk.back()
    assert await desk.remind() == 2
    assert await desk.mails() == []
    assert await desk.statuses() == [(S.CANCELLED, 0), (S.PAID, 0)]


async def test_while_another_payment_is_under_way_nobody_is_reminded(desk: Desk) -> None:
    order_id, _ = await desk.failed()
    await desk.shop.payments.start(order_id=order_id, method="zelle")
    await desk.back()
    assert await desk.remind() == 1
    assert await desk.mails() == []
    assert await desk.statuses() == [(S.WAITING, 0)]
    await desk.db.execute(
        "UPDATE payments SET status = 'cancelled' WHERE tenant_id = $1 AND status = 'pending'", desk.shop.tenant_id
    )
    await desk.back()
    assert await desk.remind() == 1
    assert len(await desk.mails()) == 1


async def test_an_order_that_ended_because_nobody_paid_is_still_reminded_of(desk: Desk) -> None:
    """The cart outlives the order's own time: that is what it is kept for."""
    order_id, _ = await desk.failed()
    await desk.db.execute(
        "UPDATE orders SET payment_due_at = now() - INTERVAL '1 minute' WHERE tenant_id = $1 AND id = $2",
        desk.shop.tenant_id,
        order_id,
    )
    assert await desk.shop.orders.cancel_if_unpaid(order_id=order_id)
    await desk.back()
    await desk.remind()
    assert len(await desk.mails()) == 1


@pytest.mark.requirement("RED-CART-01", "RED-CART-02")
async def test_each_cart_follows_its_domain_and_a_changed_timer_counts_at_once(desk: Desk) -> None:
    for name, seconds in (("quick.example", 60), ("slow.example", 86_400)):
        domain = await desk.shop.domains.create(domain_name=name)
        await desk.shop.cart_reminders.upsert(
            domain_id=domain.id, retry_time_seconds=seconds, bcc_emails=[f"sales@{name}"]
        )
        await desk.failed(domain=name.upper())
    await desk.back(timedelta(seconds=61))
    assert await desk.remind() == 1
    assert [mail.bcc for mail in await desk.mails()] == [("sales@quick.example",)]
    await desk.shop.cart_reminders.upsert(
        domain_id=domain.id, retry_time_seconds=30, bcc_emails=["a@slow.example", "b@slow.example"]
    )
    assert await desk.remind() == 1
    assert [mail.bcc for mail in await desk.mails()][1] == ("a@slow.example", "b@slow.example")


async def test_one_reminder_for_each_attempt_that_the_domain_allows(desk: Desk) -> None:
    await desk.shop.cart_reminders.upsert(domain_id=None, max_retries=2)
    await desk.failed()
    for expected in (1, 2, 2):
        await desk.back()
        await desk.remind()
        assert len(await desk.mails()) == expected


@pytest.mark.requirement("RED-CART-08")
async def test_an_inactive_domain_reminds_nobody(desk: Desk) -> None:
    await desk.shop.cart_reminders.upsert(domain_id=None, is_active=False)
    await desk.failed()
    await desk.back()
    assert await desk.remind() == 0
    await desk.back(timedelta(days=7))
    assert await desk.remind() == 1
    assert await desk.mails() == []
    assert await desk.statuses() == [(S.LAPSED, 0)]


# --- A cart that was left --------------------------------------------------------------------------------------------


async def left(desk: Desk) -> int:
    """What the worker does for this shop: notices, then reminds."""
    await note_idle(desk.db)
    await desk.remind()
    return len(await desk.mails())


async def test_who_agreed_is_reminded_of_a_cart_that_was_left(desk: Desk) -> None:
    user_id = await desk.buyer()
    await desk.cart(user_id)
    silent = await desk.cart(await desk.buyer(consents=False))
    empty = await desk.cart(await desk.buyer(), lines=0)
    session, _ = await desk.shop.sessions.guest()
    guest = await desk.shop.carts.for_session(session.id)
    await desk.shop.carts.add(cart_id=guest.id, variant_id=desk.variant)
    assert await left(desk) == 0
    await desk.back()
    assert await left(desk) == 1
    assert await left(desk) == 1
    (mail,) = await desk.mails()
    assert (mail.kind, mail.to) == ("abandoned_cart", (await desk.shop.users.get(user_id=user_id)).email)
    assert [(line["quantity"], line["total"]["amount"]) for line in mail.facts["lines"]] == [(2, 3000)]
    kept = {each.cart_id for each in (await desk.shop.cart_reminders.list()).items}
    assert kept.isdisjoint({silent.id, empty.id, guest.id})


async def test_who_comes_back_empties_orders_or_withdraws_is_not_reminded(desk: Desk) -> None:
    touched, emptied, ordered, withdrew, moved = [await desk.buyer() for _ in range(5)]
    carts = {user: await desk.cart(user) for user in (touched, emptied, ordered, withdrew, moved)}
    await desk.back()
    await note_idle(desk.db)
    assert await desk.statuses() == [(S.WAITING, 0)] * 5
    await desk.shop.carts.add(cart_id=carts[touched].id, variant_id=desk.variant)
    (line,) = await desk.shop.carts.lines(cart_id=carts[emptied].id)
    await desk.shop.carts.remove(cart_id=carts[emptied].id, line_id=line.id)
    await place(desk.shop, cart_id=carts[ordered].id, visitor=Visitor(user_id=ordered), payment_method="zelle")
    await desk.says(withdrew, consents=False)
    await desk.db.execute(
        "UPDATE carts SET status = 'abandoned' WHERE tenant_id = $1 AND id = $2", desk.shop.tenant_id, carts[moved].id
    )
    await desk.cart(moved)
    await desk.remind()
    assert await desk.mails() == []
    found = {each.cart_id: each.status for each in (await desk.shop.cart_reminders.list()).items}
    assert found[carts[touched].id] is S.WAITING  # and from now on its time counts anew
    assert found[carts[emptied].id] is found[carts[ordered].id] is found[carts[moved].id] is S.RETURNED
    assert found[carts[withdrew].id] is S.CANCELLED
    await desk.back()
    await desk.remind()
    assert len(await desk.mails()) == 1


async def test_a_shop_that_abandons_carts_sooner_than_it_reminds_reminds_as_well(desk: Desk) -> None:
    await desk.shop.shop_settings.update(cart_idle=timedelta(minutes=10))
    await desk.cart(await desk.buyer())
    await desk.back(timedelta(minutes=11))
    assert await desk.db.run(lambda tx: abandon_idle(tx, tenant_id=desk.shop.tenant_id, limit=10)) == 1
    (kept,) = (await desk.shop.cart_reminders.list()).items
    assert kept.created_at - kept.waiting_since > timedelta(minutes=10)  # it waits since its owner left it
    assert await left(desk) == 0
    await desk.back()
    assert await left(desk) == 1


async def test_a_cart_that_was_left_weeks_ago_is_not_reminded_of(desk: Desk) -> None:
    await desk.cart(await desk.buyer())
    await desk.back(timedelta(days=21))
    assert await desk.db.run(lambda tx: abandon_idle(tx, tenant_id=desk.shop.tenant_id, limit=10)) == 1
    assert await left(desk) == 0
    assert await desk.statuses() == [(S.LAPSED, 0)]


async def test_two_workers_that_notice_one_cart_keep_it_once(desk: Desk) -> None:
    await desk.cart(await desk.buyer())
    await desk.back()
    await asyncio.gather(note_idle(desk.db), note_idle(desk.db))
    assert await desk.statuses() == [(S.WAITING, 0)]


# --- The way back ----------------------------------------------------------------------------------------------------


async def token_of(desk: Desk) -> str:
    mail = (await desk.mails())[-1]
    return str(mail.facts["link"]).partition("?token=")[2]


async def test_the_link_leads_to_the_storefront_of_the_carts_own_domain(desk: Desk) -> None:
    await desk.shop.configuration.set(key="general.storefront_url", value="https://pages.example/shop/")
    await desk.shop.domains.create(domain_name="own.example")
    user = await desk.buyer()
    await desk.cart(user, domain="nobody-said-so.example")
    await desk.back()
    await left(desk)
    await desk.cart(await desk.buyer(), domain="own.example")
    await desk.back()
    await left(desk)
    links = [str(mail.facts["link"]).partition("?")[0] for mail in await desk.mails()]
    assert links == ["https://pages.example/shop/cart/restore", "https://own.example/cart/restore"]


async def test_the_link_fills_a_cart_once_and_at_todays_prices(desk: Desk) -> None:
    await desk.shop.configuration.set(key="general.storefront_url", value="https://pages.example")
    await desk.cart(await desk.buyer())
    await desk.back()
    await left(desk)
    token = await token_of(desk)
    visitor = Visitor(user_id=await desk.buyer())  # on another machine, as somebody else
    for _ in range(2):
        found = await desk.shop.cart_returns.restore(token=token, visitor=visitor)
        assert found.view is not None and found.left_out == 0
        assert [(line.variant_id, line.quantity) for line in found.view.lines] == [(desk.variant, 2)]
    for wrong in ("", "1.ab.cd", forged_from(token), "x" * 500):
        with pytest.raises(CartReminderNotFound):
            await desk.shop.cart_returns.restore(token=wrong, visitor=visitor)


async def test_each_line_that_comes_back_is_told_as_an_event_of_its_own(desk: Desk) -> None:
    """Of two with one id a provider of advertising would drop the second."""
    await desk.shop.configuration.set(key="general.storefront_url", value="https://pages.example")
    cart = await desk.cart(await desk.buyer())
    await desk.shop.carts.add(cart_id=cart.id, variant_id=await make_product(desk.shop, stock=9, price=700))
    await desk.back()
    await left(desk)
    await desk.shop.conversions.create_provider(
        kind=ProviderKind.META, name="pixel", account_id="1234567890", secret="EAAtoken0123456789"
    )
    guest, _ = await desk.shop.sessions.guest()
    visitor = Visitor(session_id=guest.id)
    await desk.shop.conversions.set_signals(visitor=visitor, consents=True)
    shop = desk.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER), request_id="r-1")
    found = await shop.cart_returns.restore(token=await token_of(desk), visitor=visitor)
    assert found.view is not None and len(found.view.lines) == 2
    told = [row.payload["meta"] for row in (await desk.shop.conversions.list()).items]
    ids = {each["event_id"]: each["custom_data"]["value"] for each in told}
    assert sorted(ids.values()) == [7, 30] and "r-1" in ids  # the id of the call is the first one's


async def test_two_who_follow_the_link_at_once_fill_the_cart_once(desk: Desk) -> None:
    await desk.shop.configuration.set(key="general.storefront_url", value="https://pages.example")
    await desk.cart(await desk.buyer())
    await desk.back()
    await left(desk)
    token, visitor = await token_of(desk), Visitor(user_id=await desk.buyer())
    cart = await desk.shop.carts.create(visitor=visitor)

    async def follow(db: Executor) -> None:
        shop = Shop(desk.shop.context.on(db), keys=desk.keys)
        await shop.cart_returns.restore(token=token, visitor=visitor)

    assert await race(desk.db, follow, lambda: follow(desk.db)) is None
    assert [line.quantity for line in await desk.shop.carts.lines(cart_id=cart.id)] == [2]


async def test_the_link_of_a_payable_order_leads_to_the_order_and_fills_nothing(desk: Desk) -> None:
    await desk.shop.configuration.set(key="general.storefront_url", value="https://pages.example")
    order_id, _ = await desk.failed()
    await desk.back()
    await desk.remind()
    visitor = Visitor(user_id=await desk.buyer())
    found = await desk.shop.cart_returns.restore(token=await token_of(desk), visitor=visitor)
    assert (found.order_id, found.view) == (order_id, None)
    assert await desk.shop.carts.active(visitor=visitor) is None
    await desk.shop.cancellation.cancel(order_id=order_id, reason="too late")
    found = await desk.shop.cart_returns.restore(token=await token_of(desk), visitor=visitor)
    assert found.order_id is None and found.view is not None and len(found.view.lines) == 1


async def test_the_link_ends_and_belongs_to_its_shop(desk: Desk, room: Storeroom) -> None:
    await desk.shop.configuration.set(key="general.storefront_url", value="https://pages.example")
    await desk.failed()
    await desk.back()
    await desk.remind()
    token, visitor = await token_of(desk), Visitor(user_id=await desk.buyer())
    other = await open_shop(room)
    with pytest.raises(CartReminderNotFound):
        await other.cart_returns.restore(token=token, visitor=visitor)
    later = FixedClock(desk.shop.context.clock.now() + timedelta(days=14, seconds=1))
    late = Shop(msgspec.structs.replace(desk.shop.context, clock=later), keys=desk.keys)
    with pytest.raises(CartReminderNotFound):
        await late.cart_returns.restore(token=token, visitor=visitor)


async def test_the_other_link_stops_the_reminders_and_takes_the_consent_back(desk: Desk) -> None:
    await desk.shop.cart_reminders.upsert(domain_id=None, max_retries=5)
    await desk.shop.configuration.set(key="general.storefront_url", value="https://pages.example")
    user_id = await desk.buyer()
    await desk.cart(user_id)
    await desk.back()
    await left(desk)
    anybody = desk.shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, name="guest"))
    for _ in range(2):
        await anybody.cart_returns.stop(token=await token_of(desk))
    assert (await desk.shop.users.profile(user_id=user_id)).marketing_consent is False
    (last, *_) = await desk.shop.users.consents(user_id=user_id)
    assert (last.given, last.actor_kind) == (False, ActorKind.CUSTOMER)
    await desk.back()
    assert await left(desk) == 1
    assert await desk.statuses() == [(S.CANCELLED, 1)]


async def test_without_a_secret_nothing_is_done(desk: Desk) -> None:
    await desk.failed()
    await desk.back()
    assert await remind(desk.db, keys=TokenKeys(None)) == 0
    assert await desk.statuses() == [(S.WAITING, 0)]


async def test_a_shop_where_it_fails_keeps_no_other_from_its_turn(fresh_database: Callable[[], Awaitable[str]]) -> None:
    async with Storeroom.open(await fresh_database(), secret=SECRET) as room:
        desks = []
        for shop in sorted([await open_shop(room), await open_shop(room)], key=lambda shop: shop.tenant_id):
            await make_method(shop)
            desks.append(Desk(shop, room, await make_product(shop, stock=100)))
            await desks[-1].failed()
            await desks[-1].back()
        await room.db.execute(
            "INSERT INTO store_configs (tenant_id, key, value, group_name) "
            "VALUES ($1, 'general.storefront_url', 'no address', 'general')",
            desks[0].shop.tenant_id,
        )
        with pytest.raises(ConfigUnreadable):
            await remind(room.db, keys=room.token_keys)
        assert [await desk.statuses() for desk in desks] == [[(S.WAITING, 0)], [(S.EXHAUSTED, 1)]]
        assert [len(await desk.mails()) for desk in desks] == [0, 1]


async def test_over_http_a_guest_follows_the_link_and_stops_the_mails(desk: Desk) -> None:
    await desk.shop.configuration.set(key="general.storefront_url", value="https://pages.example")
    await desk.cart(await desk.buyer())
    await desk.back()
    await left(desk)
    token = await token_of(desk)
    app = app_of(desk.room)
    headers = {"Storeroom-Tenant": desk.shop.tenant_id}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="https://pages.example", headers=headers
    ) as http:
        found = (await http.post("/v1/carts/restore", json={"token": token})).json()
        assert (found["order_number"], found["lines_left_out"]) == (None, 0)
        guest = {"Authorization": f"Bearer {found['guest_token']}"}
        cart = (await http.get(f"/v1/carts/{found['cart_id']}", headers=guest)).json()
        assert [(item["variant_id"], item["quantity"]) for item in cart["items"]] == [(str(desk.variant), 2)]
        assert (await http.post("/v1/cart-reminders/stop", json={"token": token})).status_code == 204
        for path in ("/v1/carts/restore", "/v1/cart-reminders/stop"):
            assert (await http.post(path, json={"token": "1.ab.cd"})).json()["code"] == "retention.link_not_found"
