"""What goes wrong in one shop keeps no other from its turn."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from factories import make_method, make_product, open_shop, place
from storeroom.core.visitor import Visitor
from storeroom.flows.cancellation import cancel_unpaid
from storeroom.inventory.jobs import expire_reservations
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentStatus, expire_payments
from storeroom.room import Storeroom


async def break_first(dsn: str, tenant_id: str) -> None:
    """From now on nothing that a job does in this shop can be written down, and so is not done."""
    owner = await asyncpg.connect(dsn)
    try:
        await owner.execute(
            f"ALTER TABLE audit_logs ADD CONSTRAINT broken CHECK (tenant_id <> '{tenant_id}') NOT VALID"
        )
    finally:
        await owner.close()


async def test_the_job_fails_when_all_shops_had_their_turn(fresh_database: Callable[[], Awaitable[str]]) -> None:
    dsn = await fresh_database()
    async with Storeroom.open(dsn) as room:
        shops, placed, carts = [], [], []
        for shop in sorted([await open_shop(room), await open_shop(room)], key=lambda shop: shop.tenant_id):
            await make_method(shop)
            variant_id = await make_product(shop)
            session, _ = await shop.sessions.guest()
            cart = await shop.carts.create(visitor=Visitor(session_id=session.id))
            await shop.carts.add(cart_id=cart.id, variant_id=variant_id)
            await shop.carts.reserve(cart_id=cart.id)
            shops.append(shop)
            carts.append(variant_id)
            placed.append(await place(shop, (variant_id, 2), payment_method="zelle"))
        for table, column in (
            ("inventory_reservations", "expires_at"),
            ("payments", "expires_at"),
            ("orders", "payment_due_at"),
        ):
            await room.db.execute(f"UPDATE {table} SET {column} = now() - interval '1 second'")
        await break_first(dsn, shops[0].tenant_id)

        for job in (expire_reservations, expire_payments, cancel_unpaid):
            with pytest.raises(asyncpg.CheckViolationError, match="broken"):
                await job(room.db)

        levels = [await shop.inventory.level(variant_id=id_) for shop, id_ in zip(shops, carts, strict=True)]
        assert [level.reserved for level in levels] == [3, 0]
        payments = []
        orders = []
        for shop, placement in zip(shops, placed, strict=True):
            assert placement.order.payment is not None
            payments.append((await shop.payments.get(payment_id=placement.order.payment.id)).status)
            orders.append((await shop.orders.get(order_id=placement.order.id)).status)
        assert payments == [PaymentStatus.PENDING, PaymentStatus.EXPIRED]
        assert orders == [OrderStatus.PENDING_PAYMENT, OrderStatus.CANCELLED]
