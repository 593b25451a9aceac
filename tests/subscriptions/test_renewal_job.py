"""What the worker does at the end of a period: once, whoever else works."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import asyncpg
import pytest
from club import Club, open_club

from factories import SECRET, open_shop
from rivals import race
from storeroom.core.ids import ProductId
from storeroom.database.pool import Transaction
from storeroom.room import Storeroom
from storeroom.subscriptions import BillingPeriod, Subscription, SubscriptionPayment, SubscriptionStatus, queries
from storeroom.subscriptions.jobs import renew_due

S = SubscriptionStatus
OVER = -timedelta(seconds=1)


@pytest.fixture
async def club(fresh_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Club]:
    """In a database of its own: the job looks at all tenants."""
    async with Storeroom.open(await fresh_database(), secret=SECRET) as room:
        yield await open_club(await open_shop(room))


async def access(club: Club, subscription: Subscription) -> bool:
    return await club.subscriptions.has_access(wallet=subscription.wallet, product_id=ProductId(club.product_id))


@pytest.mark.requirement("CED-SUB-05", "CED-SUB-03")
async def test_what_shall_end_ends_whoever_collects(club: Club) -> None:
    wallet = await club.join()
    card = await club.join(payment_method=SubscriptionPayment.STRIPE)
    early = await club.join(cancel_at_period_end=True)
    for each in (wallet, card):
        await club.subscriptions.cancel_at_period_end(subscription_id=each.id)
        await club.end_in(each, OVER)
    assert await renew_due(club.db) == 2
    assert await renew_due(club.db) == 0
    for each in (wallet, card):
        ended = await club.get(each)
        assert ended.status is S.CANCELLED and ended.cancelled_at is not None
        assert await club.events(each) == ["created", "cancellation_scheduled", "cancelled"]
        assert not await access(club, each)
    assert await club.get(early) == early


async def test_a_shop_where_it_fails_keeps_no_other_from_its_turn(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    dsn = await fresh_database()
    async with Storeroom.open(dsn, secret=SECRET) as room:
        shops = sorted([await open_shop(room), await open_shop(room)], key=lambda shop: shop.tenant_id)
        clubs = [await open_club(shop) for shop in shops]
        made = [await club.end_in(await club.join(cancel_at_period_end=True), OVER) for club in clubs]
        owner = await asyncpg.connect(dsn)
        try:
            first = shops[0].tenant_id
            await owner.execute(
                f"ALTER TABLE audit_logs ADD CONSTRAINT broken CHECK (tenant_id <> '{first}') NOT VALID"
            )
        finally:
            await owner.close()
        with pytest.raises(asyncpg.CheckViolationError, match="broken"):
            await renew_due(room.db)
        after = [(await club.get(each)).status for club, each in zip(clubs, made, strict=True)]
        assert after == [S.ACTIVE, S.CANCELLED]


@pytest.mark.requirement("CED-SUB-05")
async def test_run_twice_it_renews_once(club: Club) -> None:
    made = await club.join()
    await club.subscriptions.renew(subscription_id=made.id, payment_reference="ahead")
    assert await renew_due(club.db) == 0, "the period runs"
    made = await club.end_in(made, OVER)
    assert await access(club, made), "paid ahead, and the job has not come by"
    assert await renew_due(club.db) == 1
    assert await renew_due(club.db) == 0
    renewed = await club.get(made)
    following = made.next_period()
    assert (renewed.status, renewed.current_period_start, renewed.current_period_end) == (
        S.ACTIVE,
        following.start,
        following.end,
    )
    assert await club.events(made) == await club.history(made) == ["created", "renewed"]
    trail = await club.db.fetch(
        "SELECT action, actor_kind FROM audit_logs WHERE tenant_id = $1 AND resource_id = $2",
        club.shop.tenant_id,
        made.id,
    )
    assert ("subscriptions.renewed", "system") in [tuple(row) for row in trail]


@pytest.mark.requirement("CED-SUB-05")
async def test_what_nobody_paid_is_past_due_and_expires_after_its_grace(club: Club) -> None:
    made = await club.end_in(await club.join(grace_hours=48), OVER)
    assert not await access(club, made), "the grace is time to pay, not to use"
    assert await renew_due(club.db) == 1
    assert (await club.get(made)).status is S.PAST_DUE
    assert await renew_due(club.db) == 0
    await club.end_in(await club.get(made), -timedelta(hours=48, seconds=-60))
    assert await renew_due(club.db) == 0, "a minute before its grace is over"
    await club.end_in(await club.get(made), -timedelta(hours=48))
    assert await renew_due(club.db) == 1
    assert (await club.get(made)).status is S.EXPIRED
    assert await renew_due(club.db) == 0
    assert await club.events(made) == ["created", "past_due", "expired"]


async def test_a_trial_without_a_payment_ends_and_with_one_goes_on(club: Club) -> None:
    now = await club.db.fetchval("SELECT now()")
    lost, kept = [await club.join(trial_end=now + timedelta(days=7)) for _ in range(2)]
    await club.subscriptions.renew(subscription_id=kept.id, payment_reference="first")
    lost, kept = [await club.end_in(each, OVER) for each in (lost, kept)]
    assert await renew_due(club.db) == 2
    assert (await club.get(lost)).status is S.EXPIRED
    paid = await club.get(kept)
    assert (paid.status, paid.current_period_start) == (S.ACTIVE, kept.trial_end)
    assert paid.current_period_end == paid.next_period().start


async def test_what_is_paid_is_given_before_the_end(club: Club) -> None:
    """Paid ahead for a month and then cancelled: the month comes first."""
    made = await club.join()
    await club.subscriptions.renew(subscription_id=made.id, payment_reference="ahead")
    await club.subscriptions.cancel_at_period_end(subscription_id=made.id)
    await club.end_in(made, OVER)
    assert await renew_due(club.db) == 1
    assert (await club.get(made)).status is S.ACTIVE
    await club.end_in(await club.get(made), OVER)
    assert await renew_due(club.db) == 1
    assert (await club.get(made)).status is S.CANCELLED


async def test_a_provider_renews_its_own(club: Club) -> None:
    card = await club.end_in(await club.join(payment_method=SubscriptionPayment.STRIPE), OVER)
    assert await renew_due(club.db) == 0
    assert await club.get(card) == card


async def test_a_worker_that_was_away_gives_every_period_that_was_paid(club: Club) -> None:
    four_weeks = {"billing_period": BillingPeriod.WEEK, "billing_interval": 4}  # as long wherever they are moved to
    made = await club.join(**four_weeks)
    for number in range(3):
        await club.subscriptions.renew(subscription_id=made.id, payment_reference=f"p{number}")
    made = await club.age(made, timedelta(days=70))
    while await renew_due(club.db):
        pass
    now = await club.db.fetchval("SELECT now()")
    found = await club.get(made)
    assert found.current_at(now)
    assert (await club.events(made)).count("renewed") == 2, "the third still waits"


async def test_two_workers_at_once_do_the_work_of_one(club: Club) -> None:
    made = [await club.end_in(await club.join(), OVER) for _ in range(8)]
    done = await asyncio.gather(*(renew_due(club.db, limit=3) for _ in range(6)))
    while more := await renew_due(club.db):
        done.append(more)
    assert sum(done) == 8
    assert [await club.events(each) for each in made] == [["created", "expired"]] * 8


async def test_the_job_leaves_alone_what_a_rival_holds(club: Club) -> None:
    made = await club.end_in(await club.join(), OVER)
    async with club.db.transaction() as tx:
        await queries.lock_subscription(tx, tenant_id=club.shop.tenant_id, id=made.id)
        assert await renew_due(club.db) == 0
    assert await renew_due(club.db) == 1


async def test_a_payment_that_comes_while_the_job_works_still_counts(club: Club) -> None:
    """The payment waits for the job's lock, and then finds it expired: it begins anew."""
    made = await club.end_in(await club.join(), OVER)

    async def job(tx: Transaction) -> object:
        (due,) = await queries.claim_due(tx, tenant_id=club.shop.tenant_id, size=10)
        return await club.subscriptions.bound(tx).step(subscription=due)

    outcome = await race(
        club.db, job, lambda: club.subscriptions.renew(subscription_id=made.id, payment_reference="p1")
    )
    assert isinstance(outcome, Subscription) and outcome.status is S.ACTIVE
    assert await club.events(made) == ["created", "expired", "renewed"]
