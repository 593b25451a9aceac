"""Placing orders: through the Python API, and by pgbench calling the same function with equal input."""

import asyncio
import re
from pathlib import Path
from statistics import fmean
from uuid import UUID

import asyncpg
import msgspec

from bench.ground import PAYMENT_METHOD, ROLE, TENANT, Ground, any_variant, output_of, variant_id
from bench.measure import BenchFailed, Measure, Processors, Subject, closed_loop, latency
from storeroom.core.contact import Address
from storeroom.core.ids import VariantId
from storeroom.flows.checkout import Checkout
from storeroom.flows.model import Purchase, PurchaseLine

HOME = Address(
    recipient_name="Ann Buyer",
    street_line_1="1 Main Street",
    city="Albany",
    state_province="NY",
    postal_code="12207",
    country_code="US",
)
CALLERS = 8
COUPON = "BENCH"
CROWD = 64
PGBENCH_THREADS = 2
_SECOND = re.compile(r"^progress: [0-9.]+ s, ([0-9.]+) tps, lat ([0-9.]+) ms", re.MULTILINE)
_DONE = re.compile(r"^number of transactions actually processed: ([0-9]+)$", re.MULTILINE)
_SCRIPT = Path(__file__).with_name("place_order.sql")
# Columns whose values are each order's own.
_OWN = {
    "orders": ("id", "order_number", "created_at", "updated_at", "status_updated_at", "payment_due_at"),
    "order_items": (
        "id",
        "order_id",
        "product_id",
        "variant_id",
        "product_sku",
        "product_name",
        "created_at",
        "updated_at",
    ),
    "order_status_history": ("id", "order_id", "created_at"),
    "order_search": ("order_id", "created_at"),
    "payments": ("id", "order_id", "payment_reference", "created_at", "updated_at", "expires_at", "status_updated_at"),
    "webhook_queue": ("id", "entity_id", "payload", "created_at", "updated_at", "scheduled_at", "next_attempt_at"),
}


def purchase(variant: UUID, coupon: str | None = None) -> Purchase:
    """One unit of a variant, to be paid by hand."""
    return Purchase(
        lines=[PurchaseLine(variant_id=VariantId(variant))],
        email="ann@example.com",
        name="Ann Buyer",
        shipping_address=HOME,
        payment_method=PAYMENT_METHOD,
        coupons=[coupon] if coupon else [],
    )


def through_python(
    ground: Ground, checkout: Checkout, *, callers: int, spread: bool = True, coupon: str | None = None
) -> Subject:
    """Orders a second through `shop.checkout.place`, one line each; `spread` over 1,000 products, or all of one."""
    the_one = variant_id(1)

    async def place() -> None:
        await checkout.place(purchase(any_variant() if spread else the_one, coupon))

    async def measure(seconds: float) -> Measure:
        processors = Processors({"postgres": ground.pid}, here="python")
        rate, latencies = await closed_loop(callers, seconds, place)
        return Measure(rate, {**latency(latencies), **processors.seen(len(latencies))})

    return measure


def p50_of(subject: Subject) -> Subject:
    """The same, compared by its median latency."""

    async def measure(seconds: float) -> Measure:
        found = await subject(seconds)
        return Measure(found.seen["p50_ms"], {**found.seen, "rate": found.value})

    return measure


async def plant_coupon(ground: Ground) -> Path:
    """A coupon with more uses than a run takes; the script that counts one of them, and nothing else."""
    connection = await asyncpg.connect(ground.dsn)
    try:
        await connection.execute(
            """
            INSERT INTO coupons (tenant_id, id, code, name, discount_type, percentage, usage_limit,
                                 usage_limit_per_user)
            VALUES ($1, gen_random_uuid(), $2, 'The bench', 'percentage', 10, 1000000000, NULL)
            """,
            TENANT,
            COUPON,
        )
    finally:
        await connection.close()
    script = ground.folder / "count_use.sql"
    script.write_text(
        "UPDATE coupons SET usage_count = usage_count + 1, updated_at = now()\n"
        f" WHERE tenant_id = '{TENANT}' AND code = '{COUPON}' AND usage_count < usage_limit;\n",
        "utf-8",
    )
    return script


async def write_script(ground: Ground) -> Path:
    """The script for this version of PostgreSQL."""
    connection = await asyncpg.connect(ground.dsn)
    try:
        newer = await connection.fetchval("SELECT current_setting('server_version_num')::int >= 180000")
    finally:
        await connection.close()
    script = ground.folder / _SCRIPT.name
    script.write_text(_SCRIPT.read_text("utf-8").replace("{uuid}", "uuidv7" if newer else "gen_random_uuid"), "utf-8")
    return script


def pgbench(ground: Ground, script: Path, *limit: str) -> str:
    """Run it as the service's role; its report."""
    return output_of(
        [
            ground.program("pgbench"),
            *("--no-vacuum", "--client", str(CALLERS), "--jobs", str(PGBENCH_THREADS), "--protocol", "prepared"),
            *("--file", str(script), *limit, ground.dsn),
        ],
        PGOPTIONS=f"-c role={ROLE}",
    )


def by_pgbench(ground: Ground, script: Path) -> Subject:
    """Orders a second of 8 clients of pgbench, calling the same function with equal input."""

    async def measure(seconds: float) -> Measure:
        processors = Processors({"postgres": ground.pid}, ended="pgbench")
        time_s = max(1, round(seconds)) + 1
        report = await asyncio.to_thread(pgbench, ground, script, "--time", str(time_s), "--progress", "1")
        done, by_second = _DONE.search(report), _SECOND.findall(report)[1:]  # in the first one every client plans anew
        if done is None or not by_second or "number of failed transactions: 0 " not in report:
            raise BenchFailed(f"pgbench said:\n{report}")
        return Measure(
            fmean(float(rate) for rate, _ in by_second),
            {"mean_ms": fmean(float(ms) for _, ms in by_second), **processors.seen(int(done[1]))},
        )

    return measure


async def check_equal(ground: Ground, script: Path, checkout: Checkout) -> None:
    """The reference must do the same work: both leave rows that differ in nothing but ids, numbers and instants.

    Raises:
        BenchFailed: they differ.
    """
    await asyncio.to_thread(pgbench, ground, script, "--transactions", "1")
    connection = await asyncpg.connect(ground.dsn)
    try:
        for _ in range(CALLERS):  # as many as the clients of pgbench have placed
            await checkout.place(purchase(any_variant()))
        for table, own in _OWN.items():
            kinds = await connection.fetch(
                f"SELECT to_jsonb(t) - $2::text[] AS kind, count(*) AS rows FROM {table} t "
                "WHERE tenant_id = $1 GROUP BY 1",
                TENANT,
                own,
            )
            if [kind["rows"] for kind in kinds] != [2 * CALLERS]:
                found = [msgspec.json.decode(kind["kind"]) for kind in kinds[:: len(kinds) - 1 or 1]]
                differ = {
                    name for one in found for name, value in one.items() if any(o.get(name) != value for o in found)
                }
                raise BenchFailed(f"the reference does not write the same {table}: {', '.join(sorted(differ))} differ")
    finally:
        await connection.close()
