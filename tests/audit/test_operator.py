"""What the operator does to a shop stands in that shop's trail."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest

from storeroom.audit import Entry
from storeroom.database.service import ActorKind
from storeroom.room import Shop, Storeroom
from storeroom.tenants import HostTaken, InvalidTenant, TenantExists


async def trail(room: Storeroom, shop: Shop) -> list[Entry]:
    """Oldest first."""
    page = await room.tenant(shop.tenant_id).audit.list()
    return list(reversed(page.items))


async def test_each_act_leaves_one_entry_with_what_it_changed(room: Storeroom) -> None:
    name, host = f"t_{secrets.token_hex(6)}", f"{secrets.token_hex(6)}.test"
    tenants, shop = room.tenants, room.tenant(name)
    await tenants.create(name, name="A shop", currency="EUR", open_orders_max=5)
    await tenants.update(name, open_orders_max=7, staff_second_factor_required=True, order_window=timedelta(days=3))
    await tenants.add_host(name, host)
    await tenants.add_host(name, host)  # changes nothing
    await tenants.suspend(name)
    await tenants.resume(name)
    await tenants.remove_host(name, host.upper())
    await tenants.remove_host(name, host)  # changes nothing
    entries = await trail(room, shop)
    assert [entry.action for entry in entries] == [
        f"tenants.{verb}" for verb in ("create", "update", "add_host", "suspend", "resume", "remove_host")
    ]
    for entry in entries:
        assert (entry.actor_kind, entry.user_email, entry.resource_type) == (ActorKind.SYSTEM, "operator", "tenant")
        assert entry.success
    made, updated, added, suspended, resumed, removed = entries
    assert made.new_values is not None
    assert (made.new_values["currency"], made.new_values["open_orders_max"]) == ("EUR", 5)
    assert updated.old_values == {"open_orders_max": 5, "staff_second_factor_required": False, "order_window": "P7D"}
    assert updated.new_values == {"open_orders_max": 7, "staff_second_factor_required": True, "order_window": "P3D"}
    assert (added.old_values, added.new_values) == (None, {"host": host})
    assert (suspended.old_values, suspended.new_values) == ({"status": "active"}, {"status": "suspended"})
    assert (resumed.old_values, resumed.new_values) == ({"status": "suspended"}, {"status": "active"})
    assert (removed.old_values, removed.new_values) == ({"host": host}, None)


async def test_what_was_refused_changes_nothing_and_leaves_nothing(room: Storeroom, shop: Shop) -> None:
    """An operator who is refused hears it at the prompt; a shop's staff need not."""
    before = await trail(room, shop)
    other, host = f"t_{secrets.token_hex(6)}", f"{secrets.token_hex(6)}.test"
    await room.tenants.create(other, name="Other", currency="USD")
    await room.tenants.add_host(other, host)
    for refused, error in (
        (room.tenants.create(shop.tenant_id, name="Again", currency="USD"), TenantExists),
        (room.tenants.update(shop.tenant_id, open_orders_max=0), InvalidTenant),
        (room.tenants.update(shop.tenant_id, currency="EUR"), InvalidTenant),
        (room.tenants.add_host(shop.tenant_id, host), HostTaken),
    ):
        with pytest.raises(error):
            await refused
    assert await trail(room, shop) == before
    assert await room.tenants.hosts(shop.tenant_id) == []
