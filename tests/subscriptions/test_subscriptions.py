"""Subscriptions: begun, found, changed, extended once for each payment, and ended."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from club import Club, open_club

from factories import SECRET, make_method, make_product, open_shop, place, usd
from purse import OURS, RIVAL, WALLET, Purse, open_purse, paid, usdc
from rivals import cut_at, race
from storeroom.catalog import CryptoPrice, ProductNotFound
from storeroom.core.ids import ProductId, SubscriptionId, UserId, new_id
from storeroom.core.visitor import Visitor
from storeroom.database.errors import DatabaseClosed, DatabaseUnavailable
from storeroom.database.pool import Database, Transaction
from storeroom.flows.wallet_payments import Settlement
from storeroom.identity import UserNotFound
from storeroom.refunds import RefundMethod, RefundQuoteDraft
from storeroom.room import Shop, Storeroom
from storeroom.subscriptions import (
    SUBSCRIPTION_MOVES,
    BillingPeriod,
    CollectedElsewhere,
    InvalidSubscription,
    NotOfferedBySubscription,
    PaidFarAhead,
    PeriodGoesBack,
    Subscription,
    SubscriptionChanges,
    SubscriptionEnded,
    SubscriptionMoveRefused,
    SubscriptionNotFound,
    SubscriptionPayment,
    SubscriptionPaymentUnknown,
    SubscriptionPaymentUsed,
    SubscriptionStatus,
    SubscriptionTaken,
)
from storeroom.subscriptions.model import WAITING_MAX
from storeroom.wallets import QuoteItem

S = SubscriptionStatus
STRIPE = {"payment_method": SubscriptionPayment.STRIPE, "wallet": None, "stripe_customer_id": "cus_1"}
JAN_31 = datetime(2026, 1, 31, 12, tzinfo=UTC)
A_DAY = timedelta(days=1)
A_SECOND = timedelta(seconds=1)


async def stored(club: Club, table: str = "subscriptions") -> int:
    return int(await club.db.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", club.shop.tenant_id))


def ids(page: Any) -> list[SubscriptionId]:
    return [each.id for each in page.items]


# --- Beginning --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-067", "CED-OP-068", "CED-SUB-01")
async def test_a_card_subscription_with_a_trial_and_a_wallet_one_read_back_equal(club: Club) -> None:
    card = await club.join(
        **STRIPE,
        stripe_subscription_id="sub_1",
        billing_interval=3,
        starts_at=JAN_31,
        trial_end=JAN_31 + 14 * A_DAY,
        metadata={"plan": "gold", "seats": 3},
    )
    wallet = await club.join(wallet="Wa11et", payment_method=SubscriptionPayment.X402)
    assert [await club.get(each) for each in (card, wallet)] == [card, wallet]
    assert (card.status, card.current_period_end, card.anchor_at) == (S.TRIALING, card.trial_end, card.trial_end)
    assert (card.stripe_customer_id, card.stripe_subscription_id, card.wallet) == ("cus_1", "sub_1", None)
    assert (card.billing_period, card.billing_interval, card.metadata) == ("month", 3, {"plan": "gold", "seats": 3})
    assert (wallet.status, wallet.wallet, wallet.stripe_subscription_id, wallet.trial_end) == (
        S.ACTIVE,
        "Wa11et",
        None,
        None,
    )
    assert await club.events(card) == await club.history(card) == ["created"]


@pytest.mark.requirement("CED-SUB-03")
async def test_a_month_from_the_31st_ends_on_the_last_of_february_and_then_on_the_31st(club: Club) -> None:
    made = await club.join(starts_at=JAN_31)
    assert made.current_period_end == datetime(2026, 2, 28, 12, tzinfo=UTC)
    second = await club.subscriptions.renew(subscription_id=made.id, payment_reference="feb")
    assert second.current_period_start == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert second.current_period_end == datetime(2026, 3, 31, 12, tzinfo=UTC)


async def test_the_product_says_what_is_left_out(shop: Shop) -> None:
    club = await open_club(shop)
    config = {"billing_period": "week", "billing_interval": 2, "trial_days": 7, "grace_hours": 48}
    await shop.products.update(product_id=club.product_id, subscription_config=config)
    facts = {"product_id": club.product_id, "wallet": "W", "payment_method": SubscriptionPayment.X402}
    made = await shop.subscriptions.create(**facts)
    assert (made.billing_period, made.billing_interval, made.grace_hours) == ("week", 2, 48)
    assert made.status is S.TRIALING
    assert made.trial_end == made.current_period_end == made.current_period_start + 7 * A_DAY
    again = await shop.subscriptions.create(**facts)
    assert (again.status, again.trial_end) == (S.ACTIVE, None), "a trial is given once"
    assert again.current_period_end == again.current_period_start + 14 * A_DAY


@pytest.mark.parametrize("holder", ["wallet", "user_id", "stripe_customer_id"])
async def test_a_trial_is_given_once_to_whoever_asks_twice_at_the_same_time(
    club: Club, database: Database, holder: str
) -> None:
    config = {"billing_period": "month", "trial_days": 7}
    await club.shop.products.update(product_id=club.product_id, subscription_config=config)
    ann = await club.shop.users.register(email="ann@buyer.example", password="correct horse battery", full_name="Ann")
    facts: dict[str, Any] = {
        "product_id": club.product_id,
        "payment_method": SubscriptionPayment.MANUAL,
        holder: ann.id if holder == "user_id" else "holder",
    }

    async def first(tx: Transaction) -> object:
        return await club.subscriptions.bound(tx).create(**facts)

    second = await race(database, first, lambda: club.subscriptions.create(**facts))
    assert isinstance(second, Subscription) and (second.status, second.trial_end) == (S.ACTIVE, None)
    trials = await club.subscriptions.list_by_status(status=S.TRIALING)
    assert len(trials.items) == 1 and await stored(club) == 2


async def test_without_a_period_from_anywhere_none_begins(club: Club) -> None:
    with pytest.raises(NotOfferedBySubscription):
        await club.join(billing_period=None)
    await club.shop.products.update(product_id=club.product_id, subscription_config={"billing_period": "fortnight"})
    with pytest.raises(InvalidSubscription) as refused:
        await club.join(billing_period=None)
    assert refused.value.field == "subscription_config"
    assert await stored(club) == 0


@pytest.mark.requirement("CED-SUB-06")
@pytest.mark.parametrize(
    ("field", "facts"),
    [
        ("wallet", {"wallet": ""}),
        ("wallet", {"wallet": "w" * 129}),
        ("user_id", {"wallet": None}),
        ("stripe_subscription_id", {"stripe_subscription_id": "sub_1"}),
        ("billing_interval", {"billing_interval": 0}),
        ("billing_interval", {"billing_interval": 37}),
        ("billing_interval", {"billing_period": BillingPeriod.YEAR, "billing_interval": 4}),
        ("grace_hours", {"grace_hours": -1}),
        ("status", {"status": "paused"}),
        ("period_end", {"starts_at": JAN_31, "period_end": JAN_31}),
        ("starts_at", {"starts_at": datetime(2026, 1, 31)}),  # noqa: DTZ001
        ("starts_at", {"starts_at": datetime(9999, 12, 31, tzinfo=UTC)}),
        ("trial_end", {"trial_end": datetime(1, 1, 1, tzinfo=UTC)}),
        ("metadata", {"metadata": {"a": "b" * 10_000}}),
        ("metadata", {"metadata": {"a": "\0"}}),
    ],
)
async def test_what_is_out_of_bounds_is_refused_and_nothing_written(
    club: Club, field: str, facts: dict[str, Any]
) -> None:
    told = await stored(club, "webhook_queue")
    with pytest.raises(InvalidSubscription) as refused:
        await club.join(**facts)
    assert refused.value.field == field
    assert (await stored(club), await stored(club, "webhook_queue")) == (0, told)


@pytest.mark.requirement("CED-SUB-06")
async def test_the_database_knows_no_other_state_and_no_other_period(club: Club) -> None:
    made = await club.join()
    for column in ("status", "billing_period"):
        with pytest.raises(asyncpg.DataError):
            await club.db.execute(
                f"UPDATE subscriptions SET {column} = 'fortnight' WHERE tenant_id = $1", club.shop.tenant_id
            )
    assert await club.get(made) == made


async def test_whom_and_what_the_shop_does_not_know_it_refuses(club: Club) -> None:
    with pytest.raises(ProductNotFound):
        await club.join(product_id=ProductId(new_id()))
    with pytest.raises(UserNotFound):
        await club.join(user_id=UserId(new_id()))
    assert await stored(club) == 0


@pytest.mark.requirement("CED-OP-067", "CED-SUB-02")
async def test_a_stripe_id_is_taken_once_also_at_the_same_time(club: Club, database: Database) -> None:
    await asyncio.gather(*(club.join() for _ in range(5)))  # without one there may be many

    async def insert(tx: Transaction) -> object:
        return await club.subscriptions.bound(tx).create(
            **STRIPE,
            product_id=club.product_id,
            stripe_subscription_id="sub_1",
            billing_period=BillingPeriod.MONTH,
        )

    outcome = await race(database, insert, lambda: club.join(**STRIPE, stripe_subscription_id="sub_1"))
    assert isinstance(outcome, SubscriptionTaken)
    assert outcome.stripe_subscription_id == "sub_1"
    assert await stored(club) == 6


# --- Finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-068", "CED-TEN-02")
async def test_another_shops_is_not_found(club: Club, room: Storeroom) -> None:
    made = await club.join(wallet="W", payment_method=SubscriptionPayment.STRIPE, stripe_subscription_id="sub_1")
    other = await open_club(await open_shop(room))
    theirs = other.subscriptions
    for unknown in (made.id, SubscriptionId(new_id())):
        with pytest.raises(SubscriptionNotFound):
            await theirs.get(subscription_id=unknown)
    with pytest.raises(SubscriptionNotFound):
        await theirs.by_stripe_subscription_id(stripe_subscription_id="sub_1")
    assert await theirs.by_wallet(wallet="W", product_id=club.product_id) is None
    assert not await theirs.has_access(wallet="W", product_id=club.product_id)
    assert (await theirs.list_active()).items == []
    same = await other.join(payment_method=SubscriptionPayment.STRIPE, stripe_subscription_id="sub_1")
    assert (await theirs.by_stripe_subscription_id(stripe_subscription_id="sub_1")).id == same.id


@pytest.mark.requirement("CED-OP-071", "CED-SUB-06")
async def test_a_wallet_has_its_current_one(club: Club) -> None:
    find = {"wallet": "W", "product_id": club.product_id}
    past = await club.end_in(await club.join(wallet="W"), -A_SECOND)
    ended = await club.join(wallet="W")
    await club.subscriptions.delete(subscription_id=ended.id)
    await club.join(wallet="W", starts_at=datetime.now(UTC) + A_DAY)  # yet to come
    assert await club.subscriptions.by_wallet(**find) is None
    short = await club.join(wallet="W")
    long = await club.join(wallet="W", billing_period=BillingPeriod.YEAR)
    found = await club.subscriptions.by_wallet(**find)
    assert found == long
    await club.subscriptions.delete(subscription_id=long.id)
    found = await club.subscriptions.by_wallet(**find)
    assert found == short
    assert await club.subscriptions.by_wallet(wallet="w", product_id=club.product_id) is None, "case is kept"
    assert past.id != short.id


@pytest.mark.requirement("CED-SUB-06")
@pytest.mark.parametrize("status", S)
async def test_three_states_give_access_and_only_inside_the_period(club: Club, status: S) -> None:
    made = await club.join(wallet="W", status=status)
    ask = {"wallet": "W", "product_id": club.product_id}
    gives = status in (S.TRIALING, S.ACTIVE, S.PAST_DUE)
    assert await club.subscriptions.has_access(**ask) is gives
    assert (ids(await club.subscriptions.list_active()) == [made.id]) is gives
    await club.end_in(made, timedelta(0))  # the end itself is outside
    assert not await club.subscriptions.has_access(**ask)
    assert (await club.subscriptions.list_active()).items == []


async def test_a_hexadecimal_wallet_is_the_same_in_any_case(club: Club) -> None:
    made = await club.join(wallet=" 0xABcd01 ")
    assert made.wallet == "0xabcd01"
    assert await club.subscriptions.by_wallet(wallet="0xAbCD01", product_id=club.product_id) == made
    await club.subscriptions.renew(subscription_id=made.id, payment_reference="0xFF")
    await club.subscriptions.renew(subscription_id=made.id, payment_reference="0xff")
    assert await stored(club, "subscription_payments") == 1


async def test_a_name_that_nobody_can_have_is_nobodys(club: Club) -> None:
    await club.join()
    assert await club.subscriptions.by_wallet(wallet="\0", product_id=club.product_id) is None
    assert (await club.subscriptions.by_stripe_customer_id(stripe_customer_id="a\0")).items == []
    with pytest.raises(SubscriptionNotFound):
        await club.subscriptions.by_stripe_subscription_id(stripe_subscription_id="\0")
    with pytest.raises(InvalidSubscription):
        await club.subscriptions.list_expiring(before=datetime(9999, 12, 31, tzinfo=UTC))


async def test_an_account_has_access_by_itself_or_by_its_wallet(club: Club) -> None:
    user = await club.shop.users.register(email="ann@buyer.example", password="correct horse battery", full_name="Ann")
    made = await club.join(user_id=user.id, wallet=None)
    assert await club.subscriptions.has_access(product_id=club.product_id, user_id=user.id)
    assert await club.subscriptions.has_access(product_id=club.product_id, user_id=user.id, wallet="other")
    assert not await club.subscriptions.has_access(product_id=club.product_id, wallet="other")
    assert not await club.subscriptions.has_access(product_id=ProductId(new_id()), user_id=user.id)
    with pytest.raises(InvalidSubscription):
        await club.subscriptions.has_access(product_id=club.product_id)
    assert ids(await club.subscriptions.list_by_user(user_id=user.id)) == [made.id]


@pytest.mark.requirement("CED-OP-072", "CED-OP-073")
async def test_of_a_stripe_customer_the_exact_one_and_all_of_them(club: Club) -> None:
    other = await open_club(club.shop)
    first = await club.join(**STRIPE, stripe_subscription_id="sub_1")
    second = await other.join(**STRIPE, stripe_subscription_id="sub_2")
    await club.subscriptions.delete(subscription_id=first.id)
    found = await club.subscriptions.by_stripe_subscription_id(stripe_subscription_id="sub_2")
    assert found == second
    with pytest.raises(SubscriptionNotFound):
        await club.subscriptions.by_stripe_subscription_id(stripe_subscription_id="sub_3")
    page = await club.subscriptions.by_stripe_customer_id(stripe_customer_id="cus_1", limit=1)
    rest = await club.subscriptions.by_stripe_customer_id(stripe_customer_id="cus_1", cursor=page.next_cursor, limit=1)
    assert (ids(page), ids(rest), rest.next_cursor) == ([second.id], [first.id], None)
    assert (await club.subscriptions.by_stripe_customer_id(stripe_customer_id="cus_2")).items == []


@pytest.mark.requirement("CED-OP-074", "CED-OP-075")
async def test_a_products_list_has_all_states_and_the_active_list_only_live_ones(club: Club) -> None:
    other = await open_club(club.shop)
    made = [await club.join(status=status) for status in S]
    elsewhere = await other.join()
    assert ids(await club.subscriptions.list_by_product(product_id=club.product_id)) == [m.id for m in made[::-1]]
    live = [m.id for m in made if m.status in (S.TRIALING, S.ACTIVE, S.PAST_DUE)][::-1]
    assert ids(await club.subscriptions.list_active(product_id=club.product_id)) == live
    assert ids(await club.subscriptions.list_active()) == [elsewhere.id, *live]
    assert ids(await club.subscriptions.list_by_status(status="canceled")) == [
        m.id for m in made if m.status is S.CANCELLED
    ]


@pytest.mark.requirement("CED-OP-076")
async def test_what_ends_before_an_instant_is_listed_and_the_instant_itself_is_outside(club: Club) -> None:
    edge = datetime(2030, 1, 1, tzinfo=UTC)
    start = edge - 30 * A_DAY
    before, _, _ = [await club.join(starts_at=start, period_end=edge + by) for by in (-A_SECOND, 0 * A_DAY, A_DAY)]
    earlier = await club.join(starts_at=start, period_end=edge - A_DAY)
    for status in (S.CANCELLED, S.EXPIRED, S.UNPAID):
        await club.join(starts_at=start, period_end=edge - A_DAY, status=status)
    page = await club.subscriptions.list_expiring(before=edge, limit=1)
    rest = await club.subscriptions.list_expiring(before=edge, limit=1, cursor=page.next_cursor)
    assert (ids(page), ids(rest), rest.next_cursor) == ([earlier.id], [before.id], None)
    with pytest.raises(InvalidSubscription):
        await club.subscriptions.list_expiring(before=datetime(2030, 1, 1))  # noqa: DTZ001


# --- Changing ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-069")
async def test_fields_change_and_what_is_left_out_stays(club: Club) -> None:
    made = await club.join(wallet="W", metadata={"a": 1})
    changed = await club.subscriptions.update(
        subscription_id=made.id,
        changes=SubscriptionChanges(
            payment_method=SubscriptionPayment.STRIPE,
            stripe_customer_id="cus_1",
            stripe_subscription_id="sub_1",
            wallet=None,
            metadata={"b": 2},
        ),
    )
    assert changed.updated_at > made.updated_at
    assert changed == msgspec.structs.replace(
        made,
        payment_method=SubscriptionPayment.STRIPE,
        stripe_customer_id="cus_1",
        stripe_subscription_id="sub_1",
        wallet=None,
        metadata={"b": 2},
        updated_at=changed.updated_at,
    )
    assert await club.get(made) == changed
    with pytest.raises(SubscriptionNotFound):
        await club.subscriptions.update(
            subscription_id=SubscriptionId(new_id()), changes=SubscriptionChanges(grace_hours=1)
        )
    with pytest.raises(InvalidSubscription):
        await club.subscriptions.update(
            subscription_id=made.id, changes=SubscriptionChanges(payment_method=SubscriptionPayment.X402)
        )
    assert await club.get(made) == changed
    taken = await club.join(**STRIPE, stripe_subscription_id="sub_2")
    with pytest.raises(SubscriptionTaken):
        await club.subscriptions.update(
            subscription_id=taken.id, changes=SubscriptionChanges(stripe_subscription_id="sub_1")
        )


@pytest.mark.requirement("CED-OP-070")
async def test_a_deleted_one_stays_as_cancelled(club: Club) -> None:
    made = await club.join(wallet="W")
    ended = await club.subscriptions.delete(subscription_id=made.id)
    assert ended == await club.get(made)
    assert ended.status is S.CANCELLED and ended.cancelled_at is not None
    assert await club.subscriptions.by_wallet(wallet="W", product_id=club.product_id) is None
    assert await club.subscriptions.delete(subscription_id=made.id) == ended, "again changes nothing"
    assert await club.events(made) == ["created", "cancelled"]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await club.db.execute("DELETE FROM subscriptions WHERE tenant_id = $1", club.shop.tenant_id)


@pytest.mark.requirement("CED-OP-077")
@pytest.mark.parametrize("before", S)
@pytest.mark.parametrize("after", S)
async def test_a_state_changes_as_the_table_says_and_nothing_else_does(club: Club, before: S, after: S) -> None:
    made = await club.join(status=before)
    if after is not before and after not in SUBSCRIPTION_MOVES[before]:
        with pytest.raises(SubscriptionMoveRefused) as refused:
            await club.subscriptions.update_status(subscription_id=made.id, status=after)
        assert refused.value.allowed == sorted(SUBSCRIPTION_MOVES[before])
        assert await club.get(made) == made
        return
    moved = await club.subscriptions.update_status(subscription_id=made.id, status=after)
    if after is before:
        assert moved == made
        return
    assert moved == msgspec.structs.replace(made, status=after, updated_at=moved.updated_at)
    assert moved.updated_at > made.updated_at
    assert len(await club.events(made)) == len(await club.history(made)) == 2


@pytest.mark.requirement("CED-OP-077", "CED-SUB-06")
async def test_a_state_that_nobody_knows_is_refused(club: Club) -> None:
    made = await club.join()
    for status in ("paused", "", "ACTIVE"):
        with pytest.raises(InvalidSubscription):
            await club.subscriptions.update_status(subscription_id=made.id, status=status)
    with pytest.raises(SubscriptionNotFound):
        await club.subscriptions.update_status(subscription_id=SubscriptionId(new_id()), status="active")
    assert await club.get(made) == made
    told = await club.subscriptions.update_status(subscription_id=made.id, status="canceled")  # as Stripe spells it
    assert told.status is S.CANCELLED


# --- Periods ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-OP-078")
async def test_both_dates_change_at_once_and_a_renewal_told_again_changes_nothing(club: Club) -> None:
    made = await club.join(**STRIPE, starts_at=JAN_31, status=S.PAST_DUE)
    feb = {"period_start": made.current_period_end, "period_end": datetime(2026, 3, 31, 12, tzinfo=UTC)}
    march = {"period_start": feb["period_end"], "period_end": datetime(2026, 4, 30, 12, tzinfo=UTC)}
    extended = await club.subscriptions.extend_period(subscription_id=made.id, **feb)
    assert (extended.current_period_start, extended.current_period_end) == tuple(feb.values())
    assert (extended.status, extended.anchor_at) == (S.ACTIVE, made.anchor_at)
    assert await club.subscriptions.extend_period(subscription_id=made.id, **feb) == extended
    late = await club.subscriptions.update_status(subscription_id=made.id, status="past_due")
    assert await club.subscriptions.extend_period(subscription_id=made.id, **feb) == late, "told again, it pays nothing"
    later = await club.subscriptions.extend_period(subscription_id=made.id, **march)
    assert await club.subscriptions.extend_period(subscription_id=made.id, **feb) == later, "told late"
    assert await club.events(made) == ["created", "renewed", "past_due", "renewed"]
    for start, end in ((JAN_31, JAN_31), (JAN_31, JAN_31 - A_DAY)):
        with pytest.raises(InvalidSubscription):
            await club.subscriptions.extend_period(subscription_id=made.id, period_start=start, period_end=end)
    with pytest.raises(PeriodGoesBack):
        await club.subscriptions.extend_period(
            subscription_id=made.id, period_start=JAN_31, period_end=march["period_end"] - A_DAY
        )
    assert await club.get(made) == later
    await club.subscriptions.delete(subscription_id=made.id)
    with pytest.raises(SubscriptionEnded):
        await club.subscriptions.extend_period(
            subscription_id=made.id, period_start=march["period_end"], period_end=march["period_end"] + A_DAY
        )


@pytest.mark.requirement("CED-OP-078")
async def test_one_renewal_told_twice_at_once_counts_once(club: Club, database: Database) -> None:
    made = await club.join(**STRIPE, starts_at=JAN_31)
    following = made.next_period()
    dates = {"period_start": following.start, "period_end": following.end}

    async def first(tx: Transaction) -> object:
        return await club.subscriptions.bound(tx).extend_period(subscription_id=made.id, **dates)

    outcome = await race(database, first, lambda: club.subscriptions.extend_period(subscription_id=made.id, **dates))
    assert isinstance(outcome, Subscription) and outcome.current_period_end == following.end
    assert await club.events(made) == ["created", "renewed"]


async def test_a_payment_pays_one_period_and_no_other(club: Club) -> None:
    made = await club.end_in(await club.join(), -A_SECOND)
    renewed = await club.subscriptions.renew(subscription_id=made.id, payment_reference="p1")
    assert renewed.current_period_start == made.current_period_end, "no gap and no gift"
    assert renewed == await club.subscriptions.renew(subscription_id=made.id, payment_reference="p1")
    other = await club.join()
    with pytest.raises(SubscriptionPaymentUsed):
        await club.subscriptions.renew(subscription_id=other.id, payment_reference="p1")
    assert await club.events(made) == ["created", "renewed"]
    assert await club.get(other) == other


async def test_two_payments_at_once_pay_two_periods_and_one_payment_one(club: Club, database: Database) -> None:
    made = await club.end_in(await club.join(), -A_SECOND)

    async def first(tx: Transaction) -> object:
        return await club.subscriptions.bound(tx).renew(subscription_id=made.id, payment_reference="p1")

    outcome = await race(
        database, first, lambda: club.subscriptions.renew(subscription_id=made.id, payment_reference="p1")
    )
    assert isinstance(outcome, Subscription)
    assert await club.events(made) == ["created", "renewed"]
    assert await stored(club, "subscription_payments") == 1


@pytest.mark.parametrize(
    "table", ["subscription_payments", "subscriptions", "subscription_history", "webhook_queue", "audit_logs"]
)
async def test_a_cut_leaves_nothing_of_a_renewal_and_the_next_try_does_it_all(club: Club, dsn: str, table: str) -> None:
    made = await club.end_in(await club.join(), -A_SECOND)

    async def renew() -> Subscription:
        return await club.subscriptions.renew(subscription_id=made.id, payment_reference="p1")

    outcome = await cut_at(dsn, club.db, table, renew)
    assert isinstance(outcome, DatabaseUnavailable), outcome
    assert (await club.get(made), await stored(club, "subscription_payments")) == (made, 0)
    assert await club.history(made) == await club.events(made) == ["created"]
    renewed = await renew()
    assert renewed.current_period_start == made.current_period_end
    assert await club.history(made) == await club.events(made) == ["created", "renewed"]
    assert await stored(club, "subscription_payments") == 1


@pytest.mark.parametrize("status", [S.PAST_DUE, S.UNPAID, S.EXPIRED])
async def test_who_comes_late_pays_from_now_on(club: Club, status: S) -> None:
    late = await club.end_in(await club.join(starts_at=JAN_31, status=status), -10 * A_DAY)
    renewed = await club.subscriptions.renew(subscription_id=late.id, payment_reference="p1")
    now = await club.db.fetchval("SELECT now()")
    assert renewed.status is S.ACTIVE
    assert now - timedelta(minutes=1) < renewed.current_period_start == renewed.anchor_at <= now
    assert await club.subscriptions.has_access(wallet=late.wallet, product_id=club.product_id)


async def test_what_was_cancelled_or_is_collected_elsewhere_takes_no_payment(club: Club) -> None:
    ended = await club.join(status=S.CANCELLED)
    with pytest.raises(SubscriptionEnded):
        await club.subscriptions.renew(subscription_id=ended.id, payment_reference="p1")
    card = await club.join(**STRIPE)
    with pytest.raises(CollectedElsewhere):
        await club.subscriptions.renew(subscription_id=card.id, payment_reference="p1")
    with pytest.raises(InvalidSubscription):
        await club.subscriptions.renew(subscription_id=ended.id, payment_reference=" ")
    assert await stored(club, "subscription_payments") == 0


PRICE = 5_000_000  # in USDC


async def chain_club(room: Storeroom, dsn: str) -> tuple[Club, Purse]:
    """A product that costs PRICE in USDC, and the program that watches the chain."""
    purse = await open_purse(room, dsn)
    variant = await purse.staff.products.update_variant(
        variant_id=await make_product(purse.staff), crypto_price=CryptoPrice(usdc(PRICE), OURS)
    )
    return Club(shop=purse.staff, product_id=variant.product_id), purse


async def bought(club: Club, purse: Purse, **facts: Any) -> Settlement:
    """One unit of the product, paid for from a wallet as its order."""
    product = await club.shop.products.get(product_id=club.product_id)
    items = [QuoteItem(variant_id=product.variants[0].id, quantity=1, unit_price=usdc(PRICE))]
    settled: Settlement = await purse.shop.wallet_payments.record(
        paid(items=items, amount=usdc(PRICE), resource_id=str(club.product_id), **facts)
    )
    return settled


async def test_a_wallet_is_extended_by_its_own_transaction_for_this_product_alone(room: Storeroom, dsn: str) -> None:
    club, purse = await chain_club(room, dsn)
    made = await club.end_in(await club.join(wallet=WALLET, payment_method=SubscriptionPayment.X402), -A_SECOND)
    good = {"resource_id": str(club.product_id), "amount": usdc(PRICE)}
    await purse.record(signature="good", **good)
    await purse.record(signature="of-another-wallet", **{**good, "wallet": RIVAL})
    await purse.record(signature="for-another-product", **{**good, "resource_id": "p-2"})
    await purse.record(signature="one-unit-too-little", **{**good, "amount": usdc(PRICE - 1)})
    await purse.record(signature="in-another-asset", **{**good, "amount": usd(PRICE), "account": None})
    await purse.record(signature="given-back", **good)
    quote = RefundQuoteDraft(
        id="q", original_purchase_id="given-back", recipient_wallet=WALLET, amount=usdc(1), expires_in=A_DAY
    )
    await club.shop.refund_quotes.save(quote=quote)
    await club.shop.refund_quotes.mark_processed(quote_id="q", processed_by="ann", signature="back")
    for reference in (
        "of-another-wallet",
        "for-another-product",
        "one-unit-too-little",
        "in-another-asset",
        "given-back",
        "never-sent",
    ):
        with pytest.raises(SubscriptionPaymentUnknown):
            await club.subscriptions.renew(subscription_id=made.id, payment_reference=reference)
    assert await club.get(made) == made
    renewed = await club.subscriptions.renew(subscription_id=made.id, payment_reference="good")
    assert renewed.current_period_end > made.current_period_end


async def test_what_was_paid_is_known_when_it_has_gone_to_the_archive(room: Storeroom, dsn: str) -> None:
    club, purse = await chain_club(room, dsn)
    first = await club.end_in(await club.join(wallet=WALLET, payment_method=SubscriptionPayment.X402), -A_SECOND)
    second = await club.end_in(await club.join(wallet=WALLET, payment_method=SubscriptionPayment.X402), -A_SECOND)
    await purse.record(signature="alone", resource_id=str(club.product_id), amount=usdc(PRICE))
    await bought(club, purse, signature="with-its-order")
    assert await club.shop.transactions.archive_older_than(before=datetime.now(UTC) + A_DAY) == 2
    for made, reference in ((first, "alone"), (second, "with-its-order")):
        renewed = await club.subscriptions.renew(subscription_id=made.id, payment_reference=reference)
        assert renewed.current_period_end > made.current_period_end


async def test_what_paid_the_first_period_pays_no_other(room: Storeroom, dsn: str) -> None:
    club, purse = await chain_club(room, dsn)
    await purse.record(signature="first", resource_id=str(club.product_id), amount=usdc(PRICE))
    facts = {"wallet": WALLET, "payment_method": SubscriptionPayment.X402}
    with pytest.raises(SubscriptionPaymentUnknown):
        await club.join(**facts, payment_reference="never-sent")
    with pytest.raises(InvalidSubscription):
        await club.join(**STRIPE, payment_reference="first")
    made = await club.join(**facts, payment_reference="first")
    assert await club.subscriptions.renew(subscription_id=made.id, payment_reference="first") == made
    late = await club.end_in(made, -A_SECOND)
    assert await club.subscriptions.renew(subscription_id=made.id, payment_reference="first") == late
    with pytest.raises(SubscriptionPaymentUsed):
        await club.join(**facts, payment_reference="first")
    assert (await stored(club), await stored(club, "subscription_payments")) == (1, 1)


async def test_a_payment_that_came_with_a_trial_pays_the_period_after_it(club: Club) -> None:
    made = await club.join(trial_end=datetime.now(UTC) + A_DAY, payment_reference="ahead")
    assert made.status is S.TRIALING
    made = await club.end_in(made, -A_SECOND)
    assert await club.subscriptions.has_access(wallet=made.wallet, product_id=club.product_id), "it waits"


async def test_one_sum_has_several_names_and_pays_one_period(room: Storeroom, dsn: str, database: Database) -> None:
    """The signature, and the reference of the payment that was stored for it."""
    club, purse = await chain_club(room, dsn)
    facts = {"wallet": WALLET, "payment_method": SubscriptionPayment.X402}
    made, rival = [await club.end_in(await club.join(**facts), -A_SECOND) for _ in range(2)]
    settled = await bought(club, purse, signature="sig")

    async def first(tx: Transaction) -> object:
        return await club.subscriptions.bound(tx).renew(subscription_id=made.id, payment_reference="sig")

    outcome = await race(
        database,
        first,
        lambda: club.subscriptions.renew(subscription_id=rival.id, payment_reference=settled.payment_reference),
    )
    assert isinstance(outcome, SubscriptionPaymentUsed)
    renewed = await club.get(made)
    for name in (settled.payment_reference, "sig"):
        assert await club.subscriptions.renew(subscription_id=made.id, payment_reference=name) == renewed
    assert (await club.get(rival), await stored(club, "subscription_payments")) == (rival, 1)


async def test_what_was_taken_under_another_name_of_the_payment_stays_taken(room: Storeroom, dsn: str) -> None:
    """As it was before an order was the name of its payments."""
    club, purse = await chain_club(room, dsn)
    made = await club.end_in(await club.join(wallet=WALLET, payment_method=SubscriptionPayment.X402), -A_SECOND)
    settled = await bought(club, purse, signature="sig")
    await club.db.execute(
        "INSERT INTO subscription_payments (tenant_id, payment_reference, subscription_id, period_start, period_end) "
        "SELECT tenant_id, 'sig', id, current_period_start, current_period_end FROM subscriptions WHERE tenant_id = $1",
        club.shop.tenant_id,
    )
    for name in (settled.payment_reference, "sig"):
        assert await club.subscriptions.renew(subscription_id=made.id, payment_reference=name) == made


async def test_an_order_paid_in_two_parts_pays_one_period_and_only_its_buyers(club: Club) -> None:
    shop = club.shop
    await make_method(shop)
    register = shop.users.register
    ann, bo = [
        await register(email=f"{name}@buyer.example", password="correct horse battery", full_name=name)
        for name in ("ann", "bo")
    ]
    await shop.store_credit.grant(user_id=ann.id, amount=usd(400), note="for the first part")
    product = await shop.products.get(product_id=club.product_id)
    placed = await place(
        shop,
        (product.variants[0].id, 1),
        visitor=Visitor(user_id=ann.id),
        payment_method="zelle",
        use_store_credit=True,
    )
    assert placed.order.payment is not None
    rest = placed.order.payment.reference
    (credit,) = [
        each.reference for each in await shop.payments.for_order(order_id=placed.order.id) if each.reference != rest
    ]
    x402 = {"payment_method": SubscriptionPayment.X402, "wallet": None}
    made = await club.end_in(await club.join(**x402, user_id=ann.id), -A_SECOND)
    for name in (rest, credit):  # a part of the price is not the price
        with pytest.raises(SubscriptionPaymentUnknown):
            await club.subscriptions.renew(subscription_id=made.id, payment_reference=name)
    await shop.payments.submit_proof(reference=rest, customer_reference="TX-1")
    await shop.payments.verify(payment_id=placed.order.payment.id, received=usd(600))
    stranger = await club.end_in(await club.join(**x402, user_id=bo.id), -A_SECOND)
    for name in (rest, credit):
        with pytest.raises(SubscriptionPaymentUnknown):
            await club.subscriptions.renew(subscription_id=stranger.id, payment_reference=name)
    renewed = await club.subscriptions.renew(subscription_id=made.id, payment_reference=rest)
    assert renewed.status is S.ACTIVE
    assert await club.subscriptions.renew(subscription_id=made.id, payment_reference=credit) == renewed
    assert await stored(club, "subscription_payments") == 1


async def test_an_order_whose_money_went_back_pays_nothing(club: Club) -> None:
    shop = club.shop
    await make_method(shop)
    ann = await shop.users.register(email="ann@buyer.example", password="correct horse battery", full_name="Ann")
    product = await shop.products.get(product_id=club.product_id)
    placed = await place(shop, (product.variants[0].id, 1), visitor=Visitor(user_id=ann.id), payment_method="zelle")
    assert placed.order.payment is not None
    reference = placed.order.payment.reference
    await shop.payments.submit_proof(reference=reference, customer_reference="TX-1")
    await shop.payments.verify(payment_id=placed.order.payment.id, received=usd(1000))
    refund = await shop.refunds.request(payment_id=placed.order.payment.id, amount=usd(1), reason="damaged")
    await shop.refunding.complete(refund_id=refund.id, method=RefundMethod.CHECK)
    made = await club.join(payment_method=SubscriptionPayment.X402, wallet=None, user_id=ann.id)
    with pytest.raises(SubscriptionPaymentUnknown):
        await club.subscriptions.renew(subscription_id=made.id, payment_reference=reference)
    assert await stored(club, "subscription_payments") == 0


async def test_so_many_periods_are_paid_ahead_and_no_more(club: Club) -> None:
    made = await club.join()
    for number in range(WAITING_MAX):
        assert await club.subscriptions.renew(subscription_id=made.id, payment_reference=f"p{number}") == made
    with pytest.raises(PaidFarAhead):
        await club.subscriptions.renew(subscription_id=made.id, payment_reference="one more")
    assert await stored(club, "subscription_payments") == WAITING_MAX


# --- Ending -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("CED-SUB-03")
async def test_access_lasts_to_the_end_of_the_period_that_shall_be_the_last(club: Club) -> None:
    made = await club.join(wallet="W")
    ending = await club.subscriptions.cancel_at_period_end(subscription_id=made.id)
    assert ending == msgspec.structs.replace(made, cancel_at_period_end=True, updated_at=ending.updated_at)
    assert await club.subscriptions.cancel_at_period_end(subscription_id=made.id) == ending
    ask = {"wallet": "W", "product_id": club.product_id}
    assert await club.subscriptions.has_access(**ask)
    await club.end_in(made, timedelta(minutes=1))
    assert await club.subscriptions.has_access(**ask)
    await club.end_in(await club.get(made), timedelta(0))
    assert not await club.subscriptions.has_access(**ask)
    assert await club.events(made) == ["created", "cancellation_scheduled"]


async def test_a_cancellation_is_taken_back_while_the_period_runs(club: Club) -> None:
    made = await club.join()
    await club.subscriptions.cancel_at_period_end(subscription_id=made.id)
    back = await club.subscriptions.reactivate(subscription_id=made.id)
    assert not back.cancel_at_period_end
    assert await club.subscriptions.reactivate(subscription_id=made.id) == back
    await club.subscriptions.cancel_at_period_end(subscription_id=made.id)
    await club.end_in(made, timedelta(0))
    with pytest.raises(SubscriptionEnded):
        await club.subscriptions.reactivate(subscription_id=made.id)
    assert (await club.get(made)).cancel_at_period_end
    for status in (S.CANCELLED, S.EXPIRED, S.UNPAID):
        over = await club.join(status=status)
        with pytest.raises(SubscriptionEnded):
            await club.subscriptions.cancel_at_period_end(subscription_id=over.id)


async def test_an_account_ends_its_own_and_not_what_a_provider_collects(club: Club) -> None:
    register = club.shop.users.register
    ann, bo = [
        await register(email=f"{name}@buyer.example", password="correct horse battery", full_name=name)
        for name in ("ann", "bo")
    ]
    own = await club.join(user_id=ann.id)
    card = await club.join(**STRIPE, user_id=ann.id)
    with pytest.raises(SubscriptionNotFound):
        await club.subscriptions.cancel_at_period_end(subscription_id=own.id, user_id=bo.id)
    with pytest.raises(CollectedElsewhere):
        await club.subscriptions.cancel_at_period_end(subscription_id=card.id, user_id=ann.id)
    assert [await club.get(own), await club.get(card)] == [own, card]
    ended = await club.subscriptions.cancel_at_period_end(subscription_id=own.id, user_id=ann.id)
    assert ended.cancel_at_period_end


@pytest.mark.requirement("CED-OP-079")
async def test_after_close_every_call_fails_clearly_and_closing_again_is_harmless(dsn: str, club: Club) -> None:
    made = await club.join()
    async with Storeroom.open(dsn, secret=SECRET) as room:
        subscriptions = room.tenant(club.shop.tenant_id).subscriptions
        assert (await subscriptions.get(subscription_id=made.id)).id == made.id
        await room.close()
        await room.close()
        with pytest.raises(DatabaseClosed):
            await subscriptions.get(subscription_id=made.id)
        with pytest.raises(DatabaseClosed):
            await subscriptions.delete(subscription_id=made.id)
    assert await club.get(made) == made
