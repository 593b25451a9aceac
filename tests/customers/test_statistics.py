"""What a customer has bought is right after everything that can happen to an order, one at a time and at once."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from factories import make_method, make_product, place, purchase, usd
from rivals import race
from storeroom.core.ids import OrderId, UserId
from storeroom.core.money import Money
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database, Transaction
from storeroom.flows.errors import OutOfStock
from storeroom.identity import UserNotFound
from storeroom.orders import OrderStatus
from storeroom.room import Shop

Totals = tuple[int, Money, datetime | None]
RECOUNT = "SELECT update_customer_statistics($1, $2)"


async def buyer(shop: Shop, name: str = "ann") -> UserId:
    return (await shop.users.register(email=f"{name}@buyer.example", password="correct horse", full_name=name)).id


async def kept(shop: Shop, user_id: UserId) -> Totals:
    customer = await shop.customers.get(customer_id=user_id)
    return customer.total_orders, customer.total_spent, customer.last_order_date


async def counted(db: Database, shop: Shop, user_id: UserId) -> Totals:
    """By another way than the function's: every order with its payments, added up here."""
    count, spent, last = 0, 0, None
    for order in await db.fetch(
        "SELECT id, status, total_amount, created_at, cancelled_at FROM orders WHERE tenant_id = $1 AND user_id = $2",
        shop.tenant_id,
        user_id,
    ):
        if order["cancelled_at"] is not None:
            continue
        payments = await db.fetch(
            "SELECT received_amount AS came, refunded_amount AS went FROM payments WHERE tenant_id = $1 AND order_id = $2",
            shop.tenant_id,
            order["id"],
        )
        worth = order["total_amount"]
        if any(payment["went"] for payment in payments):
            worth = min(worth, sum((payment["came"] or 0) - payment["went"] for payment in payments))
        count += 1
        spent += 0 if order["status"] == "refunded" else worth
        last = max(last or order["created_at"], order["created_at"])
    return count, usd(spent), last


async def buy(shop: Shop, user_id: UserId, variant_id: Any, quantity: int = 1, **facts: Any) -> OrderId:
    return (await place(shop, (variant_id, quantity), visitor=Visitor(user_id=user_id), **facts)).order.id


async def pay_back(db: Database, shop: Shop, order_id: UUID, amount: int) -> None:
    """As a refund will: the payment's row, then the order's sum, in one transaction."""
    async with shop.transaction() as tx:
        await tx.orders.lock(order_id=OrderId(order_id))
        assert isinstance(tx.context.db, Transaction)
        await tx.context.db.execute(
            "UPDATE payments SET refunded_amount = refunded_amount + $3, status = 'partially_refunded' "
            "WHERE tenant_id = $1 AND order_id = $2 AND received_amount IS NOT NULL",
            shop.tenant_id,
            order_id,
            amount,
        )
        await tx.orders.recompute_paid(order_id=OrderId(order_id))


async def test_who_bought_nothing_has_zeros(shop: Shop) -> None:
    assert await kept(shop, await buyer(shop)) == (0, usd(0), None)


@pytest.mark.requirement("SIG-PLC-03", "SIG-FN-01")
async def test_an_order_counts_once_however_often_it_is_said(shop: Shop, database: Database) -> None:
    ann, shirt = await buyer(shop), await make_product(shop, price=1000)
    first = await place(shop, (shirt, 2), visitor=Visitor(user_id=ann), source="market", purchase_id="1")
    again = await place(shop, (shirt, 2), visitor=Visitor(user_id=ann), source="market", purchase_id="1")
    assert again.order.id == first.order.id
    expected = (1, usd(2000), first.order.created_at)
    assert await kept(shop, ann) == expected
    for _ in range(2):
        assert await database.fetchval(RECOUNT, shop.tenant_id, ann)
        assert await kept(shop, ann) == expected
    assert (await shop.customers.update_statistics(customer_id=ann)).total_orders == 1


@pytest.mark.requirement("SIG-FN-01", "SIG-CUS-07")
async def test_cancelled_orders_do_not_count(shop: Shop) -> None:
    ann, shirt = await buyer(shop), await make_product(shop, price=1000)
    kept_order, lost = await buy(shop, ann, shirt), await buy(shop, ann, shirt, 3)
    assert (await kept(shop, ann))[:2] == (2, usd(4000))
    await shop.cancellation.cancel(order_id=lost, reason="changed my mind")
    order = await shop.orders.get(order_id=kept_order)
    assert await kept(shop, ann) == (1, usd(1000), order.created_at)
    await shop.orders.cancel(order_id=kept_order, reason="this one too")
    assert await kept(shop, ann) == (0, usd(0), None)


@pytest.mark.requirement("SIG-CUS-07")
async def test_what_went_back_was_not_spent(shop: Shop, database: Database) -> None:
    ann, shirt = await buyer(shop), await make_product(shop, price=1000)
    await make_method(shop)
    order_id = await buy(shop, ann, shirt, 10, payment_method="zelle")
    await shop.payments.record_received(order_id=order_id, method="zelle", amount=usd(10_500))
    assert (await kept(shop, ann))[:2] == (1, usd(10_000))
    await pay_back(database, shop, order_id, 500)  # what was too much was never spent
    assert (await kept(shop, ann))[:2] == (1, usd(10_000))
    await pay_back(database, shop, order_id, 3000)
    assert (await kept(shop, ann))[:2] == (1, usd(7000))
    await shop.orders.move(order_id=order_id, to=OrderStatus.REFUNDED)
    assert (await kept(shop, ann))[:2] == (1, usd(0))


async def test_orders_of_guests_are_nobodys_until_they_are_claimed(shop: Shop, database: Database) -> None:
    ann, shirt = await buyer(shop), await make_product(shop, price=1000)
    session, _ = await shop.sessions.guest()
    await place(shop, (shirt, 1), visitor=Visitor(session_id=session.id), email="ann@buyer.example")
    count = "SELECT count(*) FROM customer_statistics WHERE tenant_id = $1"
    assert await database.fetchval(count, shop.tenant_id) == 0
    await database.execute(
        "UPDATE users SET email_verified = TRUE, email_verified_at = now() WHERE tenant_id = $1 AND id = $2",
        shop.tenant_id,
        ann,
    )
    assert await shop.orders.claim_guest_orders(user_id=ann) == 1
    assert (await kept(shop, ann))[:2] == (1, usd(1000))


async def test_an_order_that_is_refused_counts_nothing(shop: Shop, database: Database) -> None:
    ann, shirt = await buyer(shop), await make_product(shop, stock=1)
    with pytest.raises(OutOfStock):
        await buy(shop, ann, shirt, 2)
    assert await kept(shop, ann) == (0, usd(0), None)


async def test_nobodys_statistics_are_refused(shop: Shop, database: Database) -> None:
    nobody = UserId(UUID(int=7))
    assert not await database.fetchval(RECOUNT, shop.tenant_id, nobody)
    with pytest.raises(UserNotFound):
        await shop.customers.update_statistics(customer_id=nobody)


@pytest.mark.requirement("SIG-FN-01", "SIG-CUS-07")
async def test_a_sum_waits_for_the_order_that_is_being_placed(shop: Shop, database: Database) -> None:
    ann, shirt = await buyer(shop), await make_product(shop, price=1000)
    await buy(shop, ann, shirt)

    async def placing(tx: Transaction) -> None:
        here = Shop(shop.context.on(tx))
        await here.checkout.place_in(tx, purchase((shirt, 1)), visitor=Visitor(user_id=ann))

    async def summing() -> None:
        await database.fetchval(RECOUNT, shop.tenant_id, ann)

    assert await race(database, placing, summing) is None
    assert (await kept(shop, ann))[:2] == (2, usd(2000))


@pytest.mark.requirement("SIG-FN-01", "SIG-CUS-07")
async def test_an_order_waits_for_the_sum_that_does_not_know_it(shop: Shop, database: Database) -> None:
    ann, shirt = await buyer(shop), await make_product(shop, price=1000)
    await buy(shop, ann, shirt)

    async def summing(tx: Transaction) -> None:
        await tx.fetchval(RECOUNT, shop.tenant_id, ann)

    async def placing() -> OrderId:
        return await buy(shop, ann, shirt)

    await race(database, summing, placing)
    assert (await kept(shop, ann))[:2] == (2, usd(2000))


async def test_control_a_sum_that_takes_no_lock_loses_an_order(shop: Shop, database: Database) -> None:
    """The proof of the proof: read, then write, and the order between the two is gone."""
    ann, shirt = await buyer(shop), await make_product(shop, price=1000)
    await buy(shop, ann, shirt)
    async with database.transaction() as tx:
        count, spent, _ = await counted(database, shop, ann)
        await buy(shop, ann, shirt)
        await tx.execute(
            "UPDATE customer_statistics SET total_orders = $3, total_spent = $4 WHERE tenant_id = $1 AND user_id = $2",
            shop.tenant_id,
            ann,
            count,
            spent.amount,
        )
    assert (await kept(shop, ann))[0] == 1 < (await counted(database, shop, ann))[0]


@pytest.mark.requirement("SIG-CUS-07", "SIG-FN-01")
async def test_everything_at_once_ends_right(shop: Shop, database: Database) -> None:
    """Two customers place, cancel, pay back and are summed up, all at the same time and in any order."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    await shop.context.settings()
    shirt = await make_product(shop, stock=1000, price=700)
    await make_method(shop)
    people = [await buyer(shop, name) for name in ("ann", "ben")]
    orders = [(who, await buy(shop, who, shirt, payment_method="zelle")) for who in people for _ in range(6)]
    for _, order_id in orders[::3]:
        await shop.payments.record_received(order_id=order_id, method="zelle", amount=usd(700))

    async def do(step: int) -> None:
        who, order_id = orders[step % len(orders)]
        if step % len(orders) % 3 == 0:
            await pay_back(database, shop, order_id, 100)
        elif step % 3 == 1:
            await shop.orders.cancel(order_id=order_id, reason="no")
        await database.fetchval(RECOUNT, shop.tenant_id, who)
        await buy(shop, who, shirt)

    steps = list(range(len(orders)))
    chance.shuffle(steps)
    await asyncio.gather(*(do(step) for step in steps))
    for who in people:
        assert await kept(shop, who) == await counted(database, shop, who)
        assert (await kept(shop, who))[0] == 10  # six, less the two of three in the second place, and six more
