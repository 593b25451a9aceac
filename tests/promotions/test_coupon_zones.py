"""A coupon ends at its instant, whatever zone the database is in."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest

from factories import make_coupon, make_product, open_shop, place
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import new_id
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.promotions import CouponNotApplicable, Line
from storeroom.room import Storeroom


@pytest.mark.requirement("CED-GEN-02")
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
async def test_a_coupon_ends_at_its_instant_whatever_zone_the_database_is_in(
    fresh_database: Callable[..., Awaitable[str]], postgres: EmbeddedPostgres, zone: str
) -> None:
    """14 hours ahead of UTC and 11 behind."""
    dsn = await fresh_database()
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    await admin.execute(f"ALTER DATABASE {urlsplit(dsn).path.lstrip('/')} SET timezone TO '{zone}'")
    await admin.close()
    async with Storeroom.open(dsn) as room:
        assert await room.db.fetchval("SELECT current_setting('timezone')") == zone
        shop = await open_shop(room)
        variant_id, lines = await make_product(shop), [Line(new_id(), 1000)]
        now = datetime.now(UTC)
        ends = now + timedelta(hours=1)
        made = await make_coupon(shop, "10 %", "SAVE", auto_apply=True, expires_at=ends, usage_limit_per_user=None)
        assert made.expires_at == ends
        assert abs(made.starts_at - now) < timedelta(hours=1)

        async def applies() -> tuple[bool, bool, bool, bool]:
            try:
                typed = (await shop.coupons.preview(lines=lines, currency="USD", codes=["SAVE"])).discount == 100
            except CouponNotApplicable:
                typed = False
            listed = bool((await shop.coupons.list(valid_now=True)).items)
            automatic = bool((await shop.coupons.all_auto_apply()).everywhere)
            try:
                order = (await place(shop, (variant_id, 1), coupons=["SAVE"])).order
                bought = order.total.amount == order.subtotal.amount - 100 + order.shipping.amount
            except StoreroomError:
                bought = False
            return typed, listed, automatic, bought

        assert await applies() == (True,) * 4
        await room.db.execute(
            "UPDATE coupons SET starts_at = now() - INTERVAL '1 hour', expires_at = now() - INTERVAL '1 second'"
        )
        assert await applies() == (False,) * 4
        await room.db.execute(
            "UPDATE coupons SET starts_at = now() + INTERVAL '1 hour', expires_at = now() + INTERVAL '2 hours'"
        )
        assert await applies() == (False,) * 4
        await room.db.execute("UPDATE coupons SET starts_at = now()")
        assert await applies() == (True,) * 4
