"""What lets the suite run under other names: statements of tests are translated, and those of the package are not."""

import subprocess
import sys
from pathlib import Path

import pytest

import mapped
from storeroom.database.names import TableNames

NAMES = TableNames("room_", {"orders": "sales", "order_status": "sale_status"})


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (
            "SELECT orders.id, 'a'::order_status FROM orders WHERE orders.id = $1 FOR UPDATE OF orders",
            "SELECT orders.id, 'a'::sale_status FROM sales AS orders WHERE orders.id = $1 FOR UPDATE OF orders",
        ),
        ("SELECT 1 FROM orders o JOIN users u USING (id)", "SELECT 1 FROM sales o JOIN room_users u USING (id)"),
        ("INSERT INTO users (id) VALUES ('orders')", "INSERT INTO room_users AS users (id) VALUES ('orders')"),
        ("WITH orders AS (SELECT 1) SELECT * FROM orders", "WITH orders AS (SELECT 1) SELECT * FROM orders"),
        ("SELECT 'orders'::regclass", "SELECT 'sales'::regclass"),
        (
            "ALTER TABLE orders ADD COLUMN é INT; TRUNCATE users",
            "ALTER TABLE sales ADD COLUMN é INT; TRUNCATE room_users",
        ),
        ("DROP INDEX idx_orders_user", "DROP INDEX room_idx_orders_user"),
        ("SELECT 1 FROM sales, elsewhere.orders", "SELECT 1 FROM sales, elsewhere.orders"),
        ("no statement at all: orders", "no statement at all: orders"),
    ],
)
def test_names_are_replaced_where_they_are_names(written: str, sent: str) -> None:
    assert mapped.translated(written, NAMES) == sent
    assert mapped.translated(written, TableNames()).replace(" AS orders", "").replace(" AS users", "") == written


PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import mapped
mapped.install()
from storeroom.database.pool import Database
mapped.TESTS = "nowhere"  # from here on we speak as the package does

async def main():
    async with await Database.open(sys.argv[2], role=None) as db:
        assert db.names.resolve("tenants") == "room_tenants"
        print(await db.fetchval("SELECT count(*) FROM tenants"))

asyncio.run(main())
"""


async def test_control_a_name_that_the_package_wrote_without_braces_is_not_translated(dsn: str) -> None:
    """It would be found on an ordinary installation; under the names of this run it asks for the table itself."""
    tests = Path(mapped.__file__).parent
    asked = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tests), dsn],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path), "STOREROOM_TEST_NAMES": "room_"},
    )
    if mapped.environment():
        assert 'relation "tenants" does not exist' in asked.stderr
    else:
        assert asked.stdout.strip().isdecimal(), asked.stderr
