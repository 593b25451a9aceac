"""The notices of one shop, taken from the queue as a worker takes them, without anything that sends."""

from __future__ import annotations

from datetime import timedelta

from storeroom.core.ids import TenantId, new_id
from storeroom.integration import queries
from storeroom.notices import Channel, Notice, opened
from storeroom.room import Storeroom


async def posted(room: Storeroom, tenant_id: TenantId, *, size: int = 100) -> list[Notice]:
    """What waits and is due, in the order in which it was queued; it does not wait any more."""
    found = []
    for channel in Channel:
        claim = new_id()
        rows = await queries.claim(
            room.db, tenant_id=tenant_id, destination=channel, claim=claim, lease=timedelta(minutes=1), size=size
        )
        if not rows:
            continue
        found += [
            (row.id, opened(room.token_keys, tenant_id=tenant_id, webhook_id=row.id, payload=row.payload))
            for row in rows
        ]
        await queries.settle(
            room.db,
            tenant_id=tenant_id,
            claim=claim,
            ids=[row.id for row in rows],
            delivered=[True] * len(rows),
            final=[False] * len(rows),
            errors=[""] * len(rows),
            statuses=[0] * len(rows),
            bodies=[""] * len(rows),
            durations=[0] * len(rows),
            again_in=[timedelta()] * len(rows),
        )
    return [notice for _, notice in sorted(found, key=lambda each: each[0])]
