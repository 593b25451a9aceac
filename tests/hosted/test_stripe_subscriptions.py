"""Subscriptions that Stripe collects: what it tells of them is followed, once, in whatever order it arrives."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from factories import make_product
from standin import STRIPE_KEY, WEBHOOK_SECRET, event, signed
from storeroom.database.pool import Database
from storeroom.flows.inbound import HANDLERS
from storeroom.inbox import InboxEntry, InboxProcessor, InboxStatus
from storeroom.room import Shop
from storeroom.subscriptions import BillingPeriod, Subscription, SubscriptionPayment, SubscriptionStatus

S = SubscriptionStatus
NOW = datetime.now(UTC).replace(microsecond=0)
A_DAY = timedelta(days=1)
UPDATED, DELETED, PAID = "customer.subscription.updated", "customer.subscription.deleted", "invoice.paid"


@dataclass
class Collected:
    """A shop with a Stripe gateway, and a product that is subscribed to."""

    shop: Shop

    async def begin(self, **facts: Any) -> Subscription:
        """A monthly one, ten days before its end."""
        variant = await self.shop.products.variant(variant_id=await make_product(self.shop))
        return await self.shop.subscriptions.create(
            **{
                "product_id": variant.product_id,
                "payment_method": SubscriptionPayment.STRIPE,
                "stripe_customer_id": "cus_1",
                "stripe_subscription_id": "sub_1",
                "billing_period": BillingPeriod.MONTH,
                "starts_at": NOW - 20 * A_DAY,
                "period_end": NOW + 10 * A_DAY,
                **facts,
            }
        )

    async def tell(self, kind: str, about: dict[str, Any], *, age_s: int = 0) -> InboxEntry:
        """A message of so long ago, taken and handled."""
        body = event(kind, about, created=int(NOW.timestamp()) - age_s)
        receipt = await self.shop.inbound.receive(
            source="stripe", body=body, headers={"Stripe-Signature": signed(body)}
        )
        assert receipt.id is not None
        await self.work()
        return await self.shop.inbox.get(message_id=receipt.id)

    async def work(self) -> None:
        database = self.shop.context.db
        assert isinstance(database, Database)
        processor = InboxProcessor(database, handlers=HANDLERS, tenants=self.shop.context.tenants)
        while await processor.process_next(self.shop.tenant_id):
            pass

    async def now(self) -> Subscription:
        return await self.shop.subscriptions.by_stripe_subscription_id(stripe_subscription_id="sub_1")

    async def history(self, subscription: Subscription) -> list[str]:
        entries = await self.shop.subscriptions.history(subscription_id=subscription.id)
        return [entry.event.value for entry in reversed(entries)]


@pytest.fixture
async def collected(shop: Shop) -> Collected:
    await shop.gateways.create(
        id="stripe", name="stripe", config={"secret_key": STRIPE_KEY, "webhook_secret": WEBHOOK_SECRET}
    )
    await shop.gateways.activate(gateway_id="stripe")
    return Collected(shop)


def line(start: datetime, end: datetime, *, proration: bool = False) -> dict[str, Any]:
    details = {"subscription": "sub_1", "subscription_item": "si_1", "proration": proration}
    return {
        "period": {"start": int(start.timestamp()), "end": int(end.timestamp())},
        "parent": {"type": "subscription_item_details", "subscription_item_details": details},
    }


def old_line(start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "period": {"start": int(start.timestamp()), "end": int(end.timestamp())},
        "type": "subscription",
        "subscription": "sub_1",
        "proration": False,
    }


def invoice(*lines: dict[str, Any]) -> dict[str, Any]:
    """As it is since the version of March 2025. Its own period is the one before."""
    return {
        "id": "in_1",
        "period_start": 1,
        "period_end": 2,
        "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1"}},
        "lines": {"data": list(lines)},
    }


def state(status: str, *, ending: bool = False) -> dict[str, Any]:
    return {"id": "sub_1", "status": status, "cancel_at_period_end": ending}


NEXT = (NOW + 10 * A_DAY, NOW + 40 * A_DAY)


@pytest.mark.parametrize(
    "about",
    [
        invoice(line(*NEXT), line(NOW, NOW + 90 * A_DAY, proration=True)),
        {"id": "in_1", "subscription": "sub_1", "lines": {"data": [old_line(*NEXT)]}},
    ],
)
async def test_a_paid_invoice_is_the_next_period_once(collected: Collected, about: dict[str, Any]) -> None:
    made = await collected.begin()
    for outcome in ("renewed", "ignored"):
        assert (await collected.tell(PAID, about)).result == {"outcome": outcome}
    after = await collected.now()
    assert (after.current_period_start, after.current_period_end, after.status) == (*NEXT, S.ACTIVE)
    stale = await collected.tell(PAID, invoice(line(NOW - 50 * A_DAY, NOW - 20 * A_DAY)))
    assert (stale.result, await collected.now()) == ({"outcome": "ignored"}, after)
    assert await collected.history(made) == ["created", "renewed"]


async def test_the_invoice_of_a_trial_pays_nothing(collected: Collected) -> None:
    made = await collected.begin(trial_end=NOW + 10 * A_DAY)
    assert (await collected.tell(PAID, invoice(line(NOW - 20 * A_DAY, NOW + 10 * A_DAY)))).result == {
        "outcome": "ignored"
    }
    assert (await collected.now()) == made and made.status is S.TRIALING
    await collected.tell(PAID, invoice(line(*NEXT)))
    assert (await collected.now()).status is S.ACTIVE


@pytest.mark.parametrize(
    ("told", "becomes"),
    [
        ("past_due", S.PAST_DUE),
        ("unpaid", S.UNPAID),
        ("incomplete_expired", S.EXPIRED),
        ("canceled", S.CANCELLED),
        ("paused", S.ACTIVE),
        ("incomplete", S.ACTIVE),
        ("trialing", S.ACTIVE),
        ("of tomorrow", S.ACTIVE),
    ],
)
async def test_a_state_is_followed_where_it_leads_anywhere(collected: Collected, told: str, becomes: S) -> None:
    await collected.begin()
    await collected.tell(UPDATED, state(told))
    after = await collected.now()
    assert (after.status, after.cancelled_at is not None) == (becomes, becomes is S.CANCELLED)


async def test_it_ends_with_its_period_and_takes_that_back(collected: Collected) -> None:
    made = await collected.begin()
    for age, ending in ((30, True), (20, False), (10, True)):
        await collected.tell(UPDATED, state("active", ending=ending), age_s=age)
        assert (await collected.now()).cancel_at_period_end is ending
    assert await collected.history(made) == [
        "created",
        "cancellation_scheduled",
        "reactivated",
        "cancellation_scheduled",
    ]


MESSAGES = (
    (UPDATED, state("past_due"), 40),
    (PAID, invoice(line(*NEXT)), 30),
    (UPDATED, state("active"), 20),
    (UPDATED, state("active", ending=True), 10),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
async def test_in_any_order_it_stands_in_the_end_as_stripe_has_it(collected: Collected, order: tuple[int, ...]) -> None:
    await collected.begin()
    for place in (*order, *order):  # and all of them again
        kind, about, age = MESSAGES[place]
        await collected.tell(kind, about, age_s=age)
    after = await collected.now()
    assert (after.status, after.cancel_at_period_end, after.current_period_end) == (S.ACTIVE, True, NEXT[1])


async def test_the_end_is_the_end(collected: Collected) -> None:
    made = await collected.begin()
    assert (await collected.tell(DELETED, state("canceled"), age_s=30)).result == {"outcome": "cancelled"}
    ended = await collected.now()
    assert ended.status is S.CANCELLED and ended.cancelled_at is not None
    for kind, about in ((UPDATED, state("active")), (PAID, invoice(line(*NEXT))), (DELETED, state("canceled"))):
        assert (await collected.tell(kind, about)).status in (InboxStatus.COMPLETED, InboxStatus.SKIPPED)
    assert await collected.now() == ended
    assert await collected.history(made) == ["created", "cancelled"]


async def test_a_subscription_that_comes_after_its_message_is_found_when_it_is_tried_again(
    collected: Collected,
) -> None:
    waiting = await collected.tell(PAID, invoice(line(*NEXT)))
    assert (waiting.status, waiting.attempts) == (InboxStatus.PENDING, 1)
    await collected.begin()
    database = collected.shop.context.db
    due = "UPDATE webhooks_inbox SET next_attempt_at = now(), attempts = $2 WHERE tenant_id = $1"
    await database.execute(due, collected.shop.tenant_id, 1)
    await collected.work()
    assert (await collected.now()).current_period_end == NEXT[1]


async def test_one_that_nobody_knows_is_left_in_the_end_and_other_invoices_at_once(collected: Collected) -> None:
    waiting = await collected.tell(UPDATED, state("active"))
    database = collected.shop.context.db
    last = "UPDATE webhooks_inbox SET next_attempt_at = now(), attempts = max_attempts - 1 WHERE tenant_id = $1"
    await database.execute(last, collected.shop.tenant_id)
    await collected.work()
    left = await collected.shop.inbox.get(message_id=waiting.id)
    assert (left.status, left.result) == (InboxStatus.SKIPPED, {"outcome": "unmatched"})
    for about in ({"id": "in_1", "parent": None, "lines": {"data": []}}, {"id": "in_1", "subscription": "\0"}):
        assert (await collected.tell(PAID, about)).result == {"outcome": "ignored"}


@pytest.mark.parametrize(
    "lines",
    [
        None,
        {"data": None},
        {"data": ["x", {}, {"period": {"start": "a", "end": 10**30}, "type": "subscription"}]},
        {"data": [old_line(NOW + A_DAY, NOW)]},
        {"data": [old_line(NOW, datetime(9999, 1, 1, tzinfo=UTC))]},
    ],
)
async def test_lines_of_another_shape_are_no_period(collected: Collected, lines: Any) -> None:
    made = await collected.begin()
    about = {"id": "in_1", "subscription": {"id": "sub_1"}, "lines": lines}
    assert (await collected.tell(PAID, about)).result == {"outcome": "ignored"}
    assert await collected.now() == made


async def test_one_message_delivered_at_once_to_two_workers_counts_once(collected: Collected) -> None:
    made = await collected.begin()
    about = invoice(line(*NEXT))
    await asyncio.gather(*(collected.tell(PAID, about) for _ in range(3)))
    await collected.work()
    assert await collected.history(made) == ["created", "renewed"]
