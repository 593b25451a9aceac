"""Recording payments from wallets: through the Python API, and by pgbench inserting the same rows into a bare table."""

import asyncio
import secrets
from pathlib import Path

import asyncpg

from bench.ground import TENANT, Ground
from bench.measure import BenchFailed, Measure, Processors, Subject, closed_loop, latency
from bench.orders import CALLERS, pgbench
from storeroom.core.money import Money
from storeroom.room import Shop
from storeroom.wallets import Transactions

WALLET = "4Nd1mYvKfZ3wzYz7S8pXkDkq9m1hFq2B3dYt6oR5uA1x"
ACCOUNT = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"
RESOURCE = "cart_5f2b7d1c9e4a4f0b8d6c3a2e1f0b9c8d"
AMOUNT = Money(12_500_000, "USDC")
SCRIPT = Path(__file__).with_name("record_payment.sql")


async def open_account(shop: Shop) -> None:
    """Where the money arrives; the reference has it too, and does not look."""
    if not await shop.receiving_accounts.list(asset=AMOUNT.currency):
        await shop.receiving_accounts.create(asset=AMOUNT.currency, address=ACCOUNT, label="The bench")


async def record(transactions: Transactions) -> None:
    """One payment, whose signature nobody has seen."""
    recorded = await transactions.record(
        signature=f"sig{secrets.token_hex(8)}{'5' * 68}",
        resource_id=RESOURCE,
        wallet=WALLET,
        amount=AMOUNT,
        account=ACCOUNT,
    )
    if not recorded.first:
        raise BenchFailed("a payment was taken for a replay")


def through_python(ground: Ground, transactions: Transactions) -> Subject:
    """Payments a second through `shop.transactions.record`."""

    async def measure(seconds: float) -> Measure:
        processors = Processors({"postgres": ground.pid}, here="python")
        rate, latencies = await closed_loop(CALLERS, seconds, lambda: record(transactions))
        return Measure(rate, {**latency(latencies), **processors.seen(len(latencies))})

    return measure


async def check_equal(ground: Ground, transactions: Transactions) -> None:
    """Both leave rows that differ in nothing but the signature and the instant.

    Raises:
        BenchFailed: they differ.
    """
    await asyncio.to_thread(pgbench, ground, SCRIPT, "--transactions", "1")
    await record(transactions)
    connection = await asyncpg.connect(ground.dsn)
    try:
        kinds = await connection.fetch(
            "SELECT to_jsonb(t) - 'signature' - 'created_at' || jsonb_build_object('length', length(signature)) AS kind"
            " FROM payment_transactions t WHERE tenant_id = $1 GROUP BY 1",
            TENANT,
        )
    finally:
        await connection.close()
    if len(kinds) != 1:
        raise BenchFailed(f"the reference does not write the same row: {[kind['kind'] for kind in kinds]}")
