"""Rows are linked into a chain that cannot be changed unseen, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from factories import make_product
from storeroom.audit.jobs import make_months, seal, seal_tenant
from storeroom.core.ids import VariantId
from storeroom.database.partitions import ensure_months
from storeroom.database.pool import Database
from storeroom.room import Shop


@pytest.fixture
async def clear(database: Database) -> None:
    """What other tests left is sealed before."""
    while await seal(database):
        pass


async def adjust(shop: Shop, variant_id: VariantId, times: int) -> None:
    for _ in range(times):
        await shop.inventory.adjust(variant_id=variant_id, by=1, reason="found")


async def seals(shop: Shop) -> list[Any]:
    sql = "SELECT number, previous_hash, hash, audit_ids FROM audit_seals WHERE tenant_id = $1 ORDER BY number"
    return list(await shop.context.db.fetch(sql, shop.tenant_id))


async def waiting(shop: Shop) -> int:
    return int(
        await shop.context.db.fetchval("SELECT count(*) FROM audit_unsealed WHERE tenant_id = $1", shop.tenant_id)
    )


async def link(shop: Shop, database: Database, size: int) -> int:
    return await database.run(partial(seal_tenant, tenant_id=shop.tenant_id, size=size))


@pytest.mark.requirement("SBB-PRIN-05")
async def test_rows_are_linked_in_batches(shop: Shop, database: Database) -> None:
    variant_id = await make_product(shop)
    await adjust(shop, variant_id, 4)
    assert await waiting(shop) == 6  # the product and the shop itself too
    assert [await link(shop, database, size) for size in (2, 2, 2, 2)] == [2, 2, 2, 0]
    chain = await seals(shop)
    assert [row["number"] for row in chain] == [1, 2, 3]
    assert chain[0]["previous_hash"] == b""
    assert all(later["previous_hash"] == earlier["hash"] for earlier, later in pairwise(chain))
    sealed = [audit_id for row in chain for audit_id in row["audit_ids"]]
    assert sorted(sealed) == sorted(entry.id for entry in (await shop.audit.list()).items)
    assert await waiting(shop) == 0


async def test_a_row_that_commits_late_is_sealed_late(shop: Shop, database: Database) -> None:
    """Writers have no order among them: one that began first may commit last."""
    variant_id, other = await make_product(shop), await make_product(shop)
    await link(shop, database, 100)
    async with shop.transaction() as slow:
        await adjust(slow, variant_id, 1)
        await adjust(shop, other, 1)
        assert await link(shop, database, 100) == 1
    assert await link(shop, database, 100) == 1
    assert await waiting(shop) == 0


async def test_two_workers_make_one_chain(shop: Shop, database: Database) -> None:
    variant_id = await make_product(shop)
    await adjust(shop, variant_id, 10)
    done = 0
    for _ in range(40):
        done += sum(await asyncio.gather(*(link(shop, database, 2) for _ in range(3))))
        if done == 12:
            break
    chain = await seals(shop)
    assert [row["number"] for row in chain] == list(range(1, len(chain) + 1))
    assert set(Counter(audit_id for row in chain for audit_id in row["audit_ids"]).values()) == {1}
    assert done == 12


async def test_another_is_at_it(shop: Shop, database: Database) -> None:
    await make_product(shop)
    async with database.transaction() as tx:
        assert await seal_tenant(tx, tenant_id=shop.tenant_id, size=100) == 2
        assert await link(shop, database, 100) == 0
    assert len(await seals(shop)) == 1


async def test_the_job_takes_every_tenant(shop: Shop, database: Database, clear: None) -> None:
    await make_product(shop)
    assert await seal(database, limit=10) == 1
    assert await seal(database, limit=10) == 0


async def test_months_are_made_once(database: Database) -> None:
    while await make_months(database):
        pass
    assert await ensure_months(database, "audit_logs") == 0
    assert await ensure_months(database, "audit_logs", ahead=4) == 1
    assert await ensure_months(database, "audit_logs", ahead=4) == 0
    with pytest.raises(ValueError, match="months ahead"):
        await ensure_months(database, "audit_logs", ahead=13)
