"""Nonces: good once, for one purpose, for a while, and each refusal says which of these it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from factories import SECRET, open_shop
from rivals import race
from storeroom.database.pool import Database, Transaction
from storeroom.room import Shop, Storeroom
from storeroom.verification import (
    InvalidNonce,
    Nonce,
    NonceExpired,
    NonceForOtherPurpose,
    NonceNotFound,
    NonceTaken,
    NonceUsed,
)
from storeroom.verification.jobs import remove_expired_nonces

APPROVE, LIST = "approve-refund", "list-pending-refunds"


async def run(shop: Shop, sql: str, *args: object) -> Any:
    return await shop.context.db.fetchval(shop.context.db.names.render(sql), shop.tenant_id, *args)


async def expire(shop: Shop) -> None:
    await run(
        shop,
        "UPDATE {admin_nonces} SET created_at = now() - INTERVAL '1 hour', expires_at = now() WHERE tenant_id = $1",
    )


@pytest.mark.requirement("CED-NON-01", "CED-OP-034")
async def test_a_nonce_goes_from_open_to_consumed(shop: Shop) -> None:
    made = await shop.nonces.create(purpose=APPROVE)
    assert (made.purpose, made.consumed_at) == (APPROVE, None)
    assert made.expires_at - made.created_at == timedelta(minutes=5)
    assert len(made.id) == 43
    used = await shop.nonces.consume(nonce_id=made.id, purpose=APPROVE)
    assert used.consumed_at is not None
    assert used.consumed_at > made.created_at
    assert await run(shop, "SELECT consumed_at FROM {admin_nonces} WHERE tenant_id = $1") == used.consumed_at


@pytest.mark.requirement("CED-OP-034")
async def test_an_id_is_given_once(shop: Shop) -> None:
    made = await shop.nonces.create(purpose=APPROVE, id="n-1")
    for purpose in (APPROVE, LIST):
        with pytest.raises(NonceTaken):
            await shop.nonces.create(purpose=purpose, id="n-1")
    assert (await shop.nonces.consume(nonce_id="n-1", purpose=APPROVE)).expires_at == made.expires_at
    with pytest.raises(NonceTaken):
        await shop.nonces.create(purpose=APPROVE, id="n-1")


@pytest.mark.requirement("CED-OP-035", "CED-NON-02")
async def test_each_refusal_has_its_own_name(room: Storeroom, shop: Shop) -> None:
    nonces = shop.nonces
    with pytest.raises(NonceNotFound):
        await nonces.consume(nonce_id="n-0", purpose=APPROVE)
    await nonces.create(purpose=LIST, id="n-1")
    with pytest.raises(NonceForOtherPurpose):
        await nonces.consume(nonce_id="n-1", purpose=APPROVE)
    with pytest.raises(NonceNotFound):
        await (await open_shop(room)).nonces.consume(nonce_id="n-1", purpose=LIST)
    assert (await nonces.consume(nonce_id="n-1", purpose=LIST)).consumed_at is not None, "it stayed good"
    with pytest.raises(NonceUsed):
        await nonces.consume(nonce_id="n-1", purpose=LIST)
    await nonces.create(purpose=LIST, id="n-2")
    await expire(shop)
    with pytest.raises(NonceExpired):
        await nonces.consume(nonce_id="n-2", purpose=LIST)
    with pytest.raises(NonceUsed):
        await nonces.consume(nonce_id="n-1", purpose=LIST)


@pytest.mark.requirement("CED-OP-035")
async def test_twenty_at_once_use_it_once(shop: Shop) -> None:
    made = await shop.nonces.create(purpose=APPROVE)
    outcomes = await asyncio.gather(
        *(shop.nonces.consume(nonce_id=made.id, purpose=APPROVE) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Nonce) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, NonceUsed) for outcome in outcomes) == 19


@pytest.mark.requirement("CED-OP-035")
async def test_of_two_who_meet_the_second_is_too_late(database: Database, shop: Shop) -> None:
    made = await shop.nonces.create(purpose=APPROVE)
    outcome = await race(
        database,
        lambda tx: shop.nonces.bound(tx).consume(nonce_id=made.id, purpose=APPROVE),
        lambda: shop.nonces.consume(nonce_id=made.id, purpose=APPROVE),
    )
    assert isinstance(outcome, NonceUsed)


async def test_control_a_nonce_that_is_read_first_is_good_twice(database: Database, shop: Shop) -> None:
    made = await shop.nonces.create(purpose=APPROVE)
    used: list[str] = []

    async def consume(tx: Transaction) -> None:
        sql = tx.names.render
        found = await tx.fetchval(
            sql("SELECT consumed_at FROM {admin_nonces} WHERE tenant_id = $1 AND id = $2"), shop.tenant_id, made.id
        )
        if found is None:
            used.append(made.id)
            await tx.execute(
                sql("UPDATE {admin_nonces} SET consumed_at = now() WHERE tenant_id = $1 AND id = $2"),
                shop.tenant_id,
                made.id,
            )

    await race(database, consume, lambda: database.run(consume))
    assert used == [made.id, made.id]


async def test_an_act_that_fails_leaves_its_nonce_good(shop: Shop) -> None:
    made = await shop.nonces.create(purpose=APPROVE)
    with pytest.raises(ZeroDivisionError):
        async with shop.transaction() as tx:
            await tx.nonces.consume(nonce_id=made.id, purpose=APPROVE)
            raise ZeroDivisionError
    assert (await shop.nonces.consume(nonce_id=made.id, purpose=APPROVE)).consumed_at is not None


async def test_what_cannot_be_is_refused(shop: Shop) -> None:
    for facts in (
        {"purpose": ""},
        {"purpose": "Approve"},
        {"purpose": "x" * 101},
        {"purpose": APPROVE, "expires_in": timedelta(0)},
        {"purpose": APPROVE, "expires_in": timedelta(hours=2)},
        {"purpose": APPROVE, "id": ""},
        {"purpose": APPROVE, "id": "a\nb"},
    ):
        with pytest.raises(InvalidNonce):
            await shop.nonces.create(**facts)  # type: ignore[arg-type]
    assert await run(shop, "SELECT count(*) FROM {admin_nonces} WHERE tenant_id = $1") == 0


@pytest.mark.requirement("CED-OP-036")
async def test_the_job_removes_what_is_over_and_says_how_many(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    """In a database of its own: the job looks at all shops, whose nonces end when they end."""
    async with Storeroom.open(await fresh_database(), secret=SECRET) as room:
        shop = await open_shop(room)
        over = [await shop.nonces.create(purpose=APPROVE) for _ in range(3)]
        await shop.nonces.consume(nonce_id=over[0].id, purpose=APPROVE)
        await expire(shop)
        valid, used = [await shop.nonces.create(purpose=APPROVE) for _ in range(2)]
        await shop.nonces.consume(nonce_id=used.id, purpose=APPROVE)
        assert await remove_expired_nonces(room.db, limit=2) == 2
        assert await remove_expired_nonces(room.db) == 1
        assert await remove_expired_nonces(room.db) == 0
        with pytest.raises(NonceNotFound):
            await shop.nonces.consume(nonce_id=over[0].id, purpose=APPROVE)
        with pytest.raises(NonceUsed):
            await shop.nonces.consume(nonce_id=used.id, purpose=APPROVE)
        await shop.nonces.consume(nonce_id=valid.id, purpose=APPROVE)
