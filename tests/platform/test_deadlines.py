"""A caller bounds the time of a call: what waits for a rival's lock is given up, and nothing of it stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from factories import SECRET, make_method, make_product, open_shop, place
from rivals import _until_blocked
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import ProductId, VariantId
from storeroom.promotions import DiscountType
from storeroom.room import Shop, Storeroom
from storeroom.subscriptions import BillingPeriod, SubscriptionPayment
from tenancy.estate import fingerprint

# what is called, the row that a rival holds, and where it is
CALLS: dict[str, tuple[str, Callable[[Shop, dict[str, Any]], Awaitable[Any]]]] = {
    "products.update": ("products", lambda s, k: s.products.update(product_id=k["products"], name="Blouse")),
    "products.delete": ("products", lambda s, k: s.products.delete(product_id=k["products"])),
    "inventory.adjust": (
        "stock_levels",
        lambda s, k: s.inventory.adjust(variant_id=k["stock_levels"], by=1, reason="found"),
    ),
    "checkout.place": ("stock_levels", lambda s, k: place(s, (k["stock_levels"], 1), payment_method="zelle")),
    "coupons.increment_usage": ("coupons", lambda s, k: s.coupons.increment_usage(code="TEN")),
    "coupons.delete": ("coupons", lambda s, k: s.coupons.delete(code="TEN")),
    "orders.cancel": ("orders", lambda s, k: s.orders.cancel(order_id=k["orders"], reason="changed my mind")),
    "hosted_sessions.complete": (
        "stripe_sessions",
        lambda s, k: s.hosted_sessions.complete(session_id=k["stripe_sessions"]),
    ),
    "subscriptions.delete": (
        "subscriptions",
        lambda s, k: s.subscriptions.delete(subscription_id=k["subscriptions"]),
    ),
    "subscriptions.renew": (
        "subscriptions",
        lambda s, k: s.subscriptions.renew(subscription_id=k["subscriptions"], payment_reference="p1"),
    ),
}


@pytest.fixture(scope="module")
async def quiet_room(dsn: str) -> AsyncIterator[Storeroom]:
    """Connections of its own, to be counted. Without groups: who leaves a group that has sailed has its order placed,
    since others are aboard, and finds it again by its idempotency key."""
    async with Storeroom.open(f"{dsn}&application_name=deadlines", secret=SECRET, grouping=False) as opened:
        yield opened


async def stock_up(shop: Shop) -> dict[str, Any]:
    await make_method(shop)
    variant_id: VariantId = await make_product(shop, stock=9)
    product_id: ProductId = (await shop.products.variant(variant_id=variant_id)).product_id
    coupon = await shop.coupons.create(
        code="TEN", name="Ten", discount_type=DiscountType.PERCENTAGE, percentage=Decimal(10)
    )
    placed = await place(shop, (variant_id, 1), payment_method="zelle")
    subscription = await shop.subscriptions.create(
        product_id=product_id,
        wallet="W",
        payment_method=SubscriptionPayment.MANUAL,
        billing_period=BillingPeriod.MONTH,
    )
    saved = await shop.hosted_sessions.save(id="cs_1", resource_id=placed.order.number, amount=placed.order.total)
    return {
        "products": product_id,
        "stock_levels": variant_id,
        "coupons": coupon.id,
        "orders": placed.order.id,
        "subscriptions": subscription.id,
        "stripe_sessions": saved.id,
    }


async def state(shop: Shop) -> dict[str, Any]:
    """Every row of the shop and who wrote it; the trail, which notes that somebody tried, is left out."""
    found = await fingerprint(shop.context.db, shop.tenant_id)  # type: ignore[arg-type]
    return {table: rows for table, rows in found.items() if not table.startswith("audit_")}


@pytest.mark.requirement("CED-OP-080")
@pytest.mark.parametrize("name", CALLS)
async def test_a_call_past_its_deadline_leaves_nothing_behind(quiet_room: Storeroom, name: str) -> None:
    shop = await open_shop(quiet_room)
    keys = await stock_up(shop)
    table, call = CALLS[name]
    column = "variant_id" if table == "stock_levels" else "id"
    before = await state(shop)
    limits: list[asyncio.Timeout] = []

    async def bounded() -> Any:
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            return await call(shop, keys)

    async with quiet_room.db.transaction() as rival:
        held = await rival.fetchval(
            f"SELECT 1 FROM {table} WHERE tenant_id = $1 AND {column} = $2 FOR UPDATE", shop.tenant_id, keys[table]
        )
        assert held == 1
        waiting = asyncio.create_task(bounded())
        await _until_blocked(quiet_room.db, await rival.fetchval("SELECT pg_backend_pid()"), waiting)
        limits[0].reschedule(asyncio.get_running_loop().time())  # its time is over while it waits
        with pytest.raises((TimeoutError, StoreroomError)) as ended:
            await waiting
        assert isinstance(ended.value, TimeoutError)
        async with asyncio.timeout(60):  # the server hears of it a moment later
            while await quiet_room.db.fetchval(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))",
                await rival.fetchval("SELECT pg_backend_pid()"),
            ):
                await asyncio.sleep(0.002)
    assert await state(shop) == before
    left = (  # of this database: another worker may run these tests in its own
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deadlines' AND datname = current_database() "
        "AND state LIKE 'idle in trans%'"
    )
    assert await quiet_room.db.fetchval(left) == 0
    await call(shop, keys)  # and now it does what it was asked for
    assert await state(shop) != before
