"""The same messages in any order, some of them twice, end in the same shop."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded import afternoon, at

from factories import make_product, open_shop, usd
from storeroom.core.money import Money
from storeroom.database.service import SYSTEM
from storeroom.room import Shop, Storeroom

MESSAGES = afternoon()
UNSEEN = {"id", "customer_id", "order_summary_id", "created_at", "updated_at", "last_synced_at", "marketing_consent_at"}


async def tell(shop: Shop, kind: str, entity: dict[str, Any], when: Any) -> None:
    if entity.get("deleted"):
        await shop.vendure.delete_address(vendure_address_id=str(entity["id"]), at=when)
        return
    upsert: Any = getattr(shop.vendure, f"upsert_{kind}")
    await upsert(**{kind: entity}, at=when)


async def heard(room: Storeroom, order: list[int]) -> dict[str, Any]:
    """What a fresh shop has become after these messages."""
    shop = await open_shop(room, actor=SYSTEM)
    for sku in ("SHIRT", "CAP"):
        await make_product(shop, sku=sku)
    for place in order:
        await tell(shop, *MESSAGES[place])
    buyer = await shop.customers.by_vendure_id(vendure_customer_id="7")
    assert buyer is not None
    assert (await shop.vendure.unsynced()).items == []
    (summary,) = (await shop.orders.summaries(customer_id=buyer.id)).items
    whole = await shop.orders.get(order_id=summary.id)
    return {
        "customer": seen(buyer),
        "addresses": [seen(each) for each in await shop.customers.addresses(customer_id=buyer.id)],
        "summary": seen(summary),
        "items": [seen(each) for each in await shop.orders.summary_items(order_id=summary.id)],
        "milestones": (whole.created_at, whole.paid_at, whole.shipped_at, whole.delivered_at, whole.metadata),
    }


def seen(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__ if name not in UNSEEN}


@pytest.mark.requirement("SIG-SYN-02", "SIG-SYN-01", "SIG-PLC-02")
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(MESSAGES))), twice=st.lists(st.integers(0, len(MESSAGES) - 1), max_size=3))
async def test_the_end_is_the_same(room: Storeroom, order: list[int], twice: list[int]) -> None:
    end = await heard(room, [*order, *twice])
    assert end["customer"] == {
        "vendure_customer_id": "7",
        "email": "nimal@buyer.example",
        "first_name": "Nimal K.",
        "last_name": "Perera-Silva",
        "full_name": "Nimal K. Perera-Silva",
        "phone_number": None,
        "phone_verified": False,
        "total_orders": 1,
        "total_spent": usd(2 * 1100 + 3 * 550 - 100 + 550),
        "last_order_date": at(20),
        "marketing_consent": True,
        "is_active": True,
        "custom_fields": {"title": "Mr", "club": {"team": "Kandy", "since": [2019]}, "size": "L"},
    }
    (home,) = end["addresses"]
    assert (home["vendure_address_id"], home["is_default"], home["address_type"]) == ("22", True, "shipping")
    summary = end["summary"]
    assert (summary["status"], summary["delivery_stage"], summary["tracking_number"]) == (
        "delivered",
        "DELIVERED",
        "TE-9",
    )
    assert (summary["total_with_tax"], summary["is_paid"]) == (usd(2 * 1100 + 3 * 550 - 100 + 550), True)
    assert [(item["variant_name"], item["quantity"], item["unit_price_with_tax"]) for item in end["items"]] == [
        ("SHIRT red", 2, Money(1100, "USD")),
        ("CAP red", 3, Money(550, "USD")),
    ]
    assert [item["patch_type"] for item in end["items"]] == ["league", None]
    assert end["milestones"] == (at(20), at(21), at(90), at(90), {"giftWrap": False})
