"""What the schema declares is what the documents say, and the database itself refuses the rest."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from storeroom.database.migrations import APPEND_ONLY, NEVER_DELETED, RUNNERS_OWN, migrate
from storeroom.database.pool import Database, Transaction
from storeroom.room import Storeroom
from tenancy.estate import Estate, fingerprint

Fresh = Callable[..., Awaitable[str]]
SOURCE = Path(__file__).parents[2] / "src" / "storeroom"
OURS = "c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"

# As the documents list them; what the unified schema adds stands where it belongs in the order of things.
ENUMS = {
    "user_role": ["customer", "wholesale", "staff", "admin", "super_admin"],
    "user_status": ["pending_verification", "active", "suspended", "banned", "deleted"],
    "auth_provider": ["email", "google", "apple"],
    "session_status": ["active", "expired", "revoked"],
    "product_status": ["draft", "active", "discontinued", "out_of_stock"],
    "product_type": ["peptide", "kit", "accessory", "bundle"],
    "cart_status": ["active", "merged", "converted", "abandoned"],
    "order_status": [
        "pending_payment",
        "payment_received",
        "processing",
        "ready_to_ship",
        "shipped",
        "delivered",
        "cancelled",
        "refunded",
        "partially_refunded",
    ],
    "payment_status": [
        "pending",
        "awaiting_verification",
        "processing",
        "completed",
        "failed",
        "cancelled",
        "refunded",
        "partially_refunded",
        "expired",
    ],
}
PAYMENT_METHOD_TYPES = ["zelle", "cashapp", "venmo", "wire_transfer", "check", "crypto", "erp_propello", "manual_other"]


@pytest.fixture
async def catalogue(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.mark.requirement("SBB-PRIN-11")
async def test_small_fixed_sets_are_types(catalogue: asyncpg.Connection) -> None:
    rows = await catalogue.fetch(
        "SELECT t.typname::text AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels "
        "FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid "
        "WHERE t.typnamespace = current_schema()::regnamespace GROUP BY t.typname"
    )
    found = {row["name"]: row["labels"] for row in rows}
    assert {name: found[name] for name in ENUMS} == ENUMS
    assert found["payment_method_type"][: len(PAYMENT_METHOD_TYPES)] == PAYMENT_METHOD_TYPES


@pytest.mark.requirement("SBB-PRIN-07", "SBB-PRIN-11", "STO-GEN-05")
async def test_no_state_outside_its_list_is_stored(catalogue: asyncpg.Connection, ours: Estate) -> None:
    """A bad role, status or kind is a data error, not an error of a foreign key: there is no table to look it up in."""
    columns = await catalogue.fetch(
        "SELECT c.relname::text AS table, a.attname::text AS column FROM pg_attribute AS a "
        "JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_type AS t ON t.oid = a.atttypid "
        f"WHERE {OURS} AND a.attnum > 0 AND NOT a.attisdropped AND t.typtype = 'e'"
    )
    assert len(columns) > 20
    for table, column in columns:
        with pytest.raises(asyncpg.InvalidTextRepresentationError) as caught:
            await catalogue.execute(f"UPDATE {table} SET {column} = 'nonsense'")
        assert isinstance(caught.value, asyncpg.DataError)
    assert (await ours.shop.users.get(user_id=ours.user.id)).role == "customer"


@pytest.mark.requirement("SBB-PRIN-07")
async def test_every_status_column_is_of_a_type(catalogue: asyncpg.Connection) -> None:
    loose = await catalogue.fetch(
        "SELECT c.relname || '.' || a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid "
        f"JOIN pg_type AS t ON t.oid = a.atttypid WHERE {OURS} AND a.attnum > 0 AND NOT a.attisdropped "
        "AND a.attname ~ '(^|_)(status|state|stage)$' AND a.attname <> 'response_status' AND t.typtype <> 'e'"  # HTTP's
    )
    in_the_gateways_words = {"mpgs_transactions.order_status", "mpgs_transactions.three_ds_status"}
    assert {row[0] for row in loose} == in_the_gateways_words


@pytest.mark.requirement("RED-GEN-05")
async def test_columns_are_in_snake_case(catalogue: asyncpg.Connection) -> None:
    names = await catalogue.fetch(
        "SELECT c.relname || '.' || a.attname, a.attname::text FROM pg_attribute AS a "
        f"JOIN pg_class AS c ON c.oid = a.attrelid WHERE {OURS} AND a.attnum > 0 AND NOT a.attisdropped"
    )
    assert len(names) > 300
    assert [where for where, name in names if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


@pytest.mark.requirement("RED-GEN-06")
async def test_every_table_dates_its_rows_by_itself(catalogue: asyncpg.Connection) -> None:
    """Beside stock_levels, as narrow as can be, whose movements are dated."""
    rows = await catalogue.fetch(
        "SELECT c.relname::text AS name, a.attnotnull, format_type(a.atttypid, a.atttypmod) AS type, "
        "       pg_get_expr(d.adbin, d.adrelid) AS initial "
        "  FROM pg_class AS c "
        "  LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'created_at' "
        "  LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum "
        f"WHERE {OURS}"
    )
    found = {row["name"]: (row["attnotnull"], row["type"], row["initial"]) for row in rows}
    without = {name for name, (_, type_, _) in found.items() if type_ is None}
    assert without - RUNNERS_OWN == {"stock_levels"}
    assert {found[name] for name in found.keys() - without} == {(True, "timestamp with time zone", "now()")}
    async with catalogue.transaction():
        await catalogue.execute("INSERT INTO tenant_hosts (host, tenant) VALUES ('dated.example', 'nobody')")
        assert await catalogue.fetchval("SELECT created_at = now() FROM tenant_hosts WHERE host = 'dated.example'")
        await catalogue.execute("DELETE FROM tenant_hosts WHERE host = 'dated.example'")
    with pytest.raises(asyncpg.NotNullViolationError):
        await catalogue.execute("INSERT INTO tenant_hosts (host, tenant, created_at) VALUES ('x.example', 'x', NULL)")


# --- What goes with what ----------------------------------------------------------------------------------------------

GOES_WITH = {
    "user_profiles": {"users"},
    "user_addresses": {"users"},
    "auth_sessions": {"users"},
    "product_batches": {"products"},
    "product_category_assignments": {"products", "product_categories"},
    "product_options": {"products"},
    "product_variants": {"products"},
    "product_images": {"products"},
    "stock_levels": {"product_variants"},
    "stock_movements": {"product_variants"},
    "carts": {"auth_sessions"},  # a guest's; an account's keeps living
    "cart_items": {"carts"},
    "order_items": {"orders"},
    "order_status_history": {"orders"},
    "order_search": {"orders"},
    "payment_attempts": {"payments"},
}


@pytest.mark.requirement("SBB-CONV-05", "STO-GEN-06")
async def test_an_empty_database_gets_every_reference_in_one_run(fresh_database: Fresh) -> None:
    dsn = await fresh_database(empty=True)
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "SELECT c.relname::text AS child, k.confrelid::regclass::text AS parent, k.confdeltype::text AS deletion "
        "FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid "
        "WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace"
    )
    await connection.close()
    cascading: dict[str, set[str]] = {}
    for child, parent, deletion in rows:
        assert deletion in ("a", "c"), f"{child} to {parent}: rows are restricted or go with their owner"
        if deletion == "c":
            cascading.setdefault(child, set()).add(parent)
    assert {child: cascading.get(child) for child in GOES_WITH} == GOES_WITH
    kept = {(child, parent) for child, parent, deletion in rows if deletion == "a"}
    assert kept >= {
        ("carts", "users"),
        ("cart_items", "product_variants"),
        ("product_categories", "product_categories"),
        ("orders", "users"),
        ("orders", "carts"),
        ("order_items", "product_variants"),
        ("order_items", "product_batches"),
        ("order_status_history", "users"),
        ("payments", "orders"),
        ("refunds", "payments"),
        ("refunds", "orders"),
        ("disputes", "payments"),
        ("payments", "users"),
        ("payments", "payment_methods"),
        ("payment_attempts", "users"),
        ("inventory_reservations", "product_variants"),
    }


@pytest.fixture
async def surgeon(dsn: str) -> AsyncIterator[Transaction]:
    """A transaction with the server's rights, undone at the end."""

    class Undone(Exception):
        pass

    async with await Database.open(dsn, role="postgres", max_size=1) as db:
        with pytest.raises(Undone):
            async with db.transaction() as tx:
                yield tx
                raise Undone


@pytest.mark.requirement("SBB-CONV-05")
async def test_what_was_ordered_or_paid_stays(surgeon: Transaction, ours: Estate) -> None:
    for statement, id_, constraint in (
        ("DELETE FROM products WHERE id = $1", ours.product.id, "order_items_variant_fkey"),
        ("DELETE FROM product_variants WHERE id = $1", ours.variant_id, "order_items_variant_fkey"),
        ("DELETE FROM orders WHERE id = $1", ours.order.order.id, "payments_order_fkey"),
        ("DELETE FROM payment_methods WHERE id = $1", ours.method.id, "payments_method_fkey"),
        ("DELETE FROM payments WHERE id = $1", ours.refund.payment_id, "refunds_payment_fkey"),
        ("DELETE FROM refunds WHERE id = $1", ours.refund.id, "refund_items_refund_fkey"),
        ("DELETE FROM users WHERE id = $1", ours.user.id, "orders_user_fkey"),
    ):
        with pytest.raises(asyncpg.ForeignKeyViolationError) as caught:
            async with surgeon.transaction() as inner:
                await inner.execute(statement, id_)
        refused_by = {caught.value.constraint_name, constraint}
        assert refused_by <= {
            constraint,
            "cart_items_variant_fkey",
            "disputes_payment_fkey",
            "inventory_reservations_variant_fkey",
            "payments_user_fkey",
            "subscriptions_product_fkey",
            "subscriptions_user_fkey",
        }


@pytest.mark.requirement("SBB-CONV-05")
async def test_what_hangs_on_a_row_goes_with_it(surgeon: Transaction, ours: Estate) -> None:
    async def gone(owner: str, id_: object, *children: tuple[str, str, object]) -> None:
        for table, column, value in children:
            count = await surgeon.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", value)
            assert count, f"the test needs rows in {table}"
        assert await surgeon.execute(f"DELETE FROM {owner} WHERE id = $1", id_) == "DELETE 1"
        for table, column, value in children:
            assert await surgeon.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", value) == 0, table

    payment, order = ours.paid.order.payment, ours.paid.order.id
    assert payment is not None
    for table in ("stripe_sessions", "mpgs_transactions", "invoice_audits", "customer_syncs"):
        await surgeon.execute(f"DELETE FROM {table} WHERE tenant_id = $1", ours.shop.tenant_id)
    await gone("payments", payment.id, ("payment_attempts", "payment_id", payment.id))
    await gone(
        "orders",
        order,
        ("order_items", "order_id", order),
        ("order_status_history", "order_id", order),
        ("order_search", "order_id", order),
    )
    await gone("carts", ours.cart.id, ("cart_items", "cart_id", ours.cart.id))
    await gone(
        "product_categories", ours.category.id, ("product_category_assignments", "category_id", ours.category.id)
    )
    # What keeps the rest of the shop's orders.
    for table in (
        "store_credit_entries",
        "store_credits",
        "payment_transactions",
        "disputes",
        "refund_items",
        "refunds",
        "payments",
        "orders",
    ):
        await surgeon.execute(f"DELETE FROM {table} WHERE tenant_id = $1", ours.shop.tenant_id)
    await surgeon.execute("DELETE FROM inventory_reservations WHERE variant_id = $1", ours.variant_id)
    await surgeon.execute("DELETE FROM subscription_history WHERE subscription_id = $1", ours.subscription.id)
    await surgeon.execute("DELETE FROM subscriptions WHERE id = $1", ours.subscription.id)
    product, user = ours.product.id, ours.user.id
    await gone(
        "products",
        product,
        ("product_variants", "product_id", product),
        ("product_images", "product_id", product),
        ("product_batches", "product_id", product),
        ("stock_levels", "variant_id", ours.variant_id),
        ("stock_movements", "variant_id", ours.variant_id),
    )
    await gone(
        "users",
        user,
        ("user_profiles", "user_id", user),
        ("user_addresses", "user_id", user),
        ("auth_sessions", "user_id", user),
    )


# --- Made once --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-GEN-03")
async def test_bootstrapping_twice_is_once(fresh_database: Fresh) -> None:
    dsn = await fresh_database(empty=True)
    assert len(await migrate(dsn)) > 5
    assert await migrate(dsn) == []
    async with await Database.open(dsn) as db:
        room = Storeroom(db)
        await room.tenants.create("default", name="The shop", currency="USD")
        session, _ = await room.tenant().sessions.guest()
        assert session.id.version == 7
        assert await db.fetchval("SELECT id = $1 FROM auth_sessions", session.id)


@pytest.mark.requirement("RED-GEN-01")
def test_each_table_is_defined_once() -> None:
    made = [
        name
        for file in sorted(SOURCE.rglob("*.sql"))
        for name in re.findall(
            r"^CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?\{(\w+)\}", file.read_text(), re.MULTILINE
        )
    ]
    assert len(made) > 25
    assert sorted(made) == sorted(set(made))


@pytest.mark.requirement("RED-GEN-01")
async def test_a_row_reads_the_same_whichever_way_it_is_found(ours: Estate) -> None:
    shop, payment = ours.shop, ours.order.order.payment
    assert payment is not None
    by_id = await shop.products.get(product_id=ours.product.id)
    assert by_id == await shop.products.by_slug(slug=ours.product.slug)
    assert by_id == await shop.products.by_external_id(external_id=str(ours.product.external_id))
    assert by_id.variants == [await shop.products.variant(variant_id=ours.variant_id)]
    assert by_id.variants == [await shop.products.variant_by_sku(sku=ours.sku)]
    category = await shop.categories.get(category_id=ours.category.id)
    assert category == await shop.categories.by_slug(slug=ours.category.slug)
    assert [category] == await shop.categories.path(category_id=ours.category.id)
    assert [await shop.batches.get(batch_id=ours.batch.id)] == await shop.batches.list(product_id=ours.product.id)
    assert await shop.users.get(user_id=ours.user.id) == await shop.users.by_email(email=ours.user.email)
    order = await shop.orders.get(order_id=ours.order.order.id)
    assert order == await shop.orders.by_number(number=ours.order.order.number)
    assert order == await shop.orders.by_purchase(source=order.source, purchase_id=str(order.purchase_id))
    paid = await shop.payments.get(payment_id=payment.id)
    assert paid == await shop.payments.by_reference(reference=payment.reference)
    assert [paid] == await shop.payments.for_order(order_id=order.id)
    method = await shop.payment_methods.get(method_id=ours.method.id)
    assert method == await shop.payment_methods.get_by_code(code=ours.method.code)
    assert method in await shop.payment_methods.list()
    assert await shop.carts.get(cart_id=ours.cart.id) == await shop.carts.active(visitor=ours.visitor)
    assert await shop.shipping_rates.list() == [await shop.shipping_rates.get(rate_id=ours.rate.id)]


# --- Who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SIG-SEC-02")
async def test_the_service_reads_and_writes_the_rows_of_every_customer(
    ours: Estate, theirs: Estate, catalogue: asyncpg.Connection, dsn: str
) -> None:
    """In every table; history alone is only added to."""
    filled = {
        table
        for estate in (ours, theirs)
        for table, (rows, _) in (await fingerprint(estate.shop.context.db, estate.shop.tenant_id)).items()  # type: ignore[arg-type]
        if rows
    }
    assert len(filled) >= 20

    class Undone(Exception):
        pass

    async with await Database.open(dsn, max_size=1) as service:
        assert await service.fetchval("SELECT current_user::text") == "storeroom_app"
        with pytest.raises(Undone):
            async with service.transaction() as tx:
                for table in sorted(filled):
                    everybody = f"SELECT count(*) FROM {table} WHERE tenant_id IN ($1, $2)"
                    tenants = ours.shop.tenant_id, theirs.shop.tenant_id
                    count = await catalogue.fetchval(everybody, *tenants)
                    assert await tx.fetchval(everybody, *tenants) == count, table
                    if table not in APPEND_ONLY:
                        touched = f"UPDATE {table} SET tenant_id = tenant_id WHERE tenant_id IN ($1, $2)"
                        assert await tx.execute(touched, *tenants) == f"UPDATE {count}", table
                    assert await tx.fetchval("SELECT has_table_privilege($1, 'INSERT')", table)
                    removable = table not in APPEND_ONLY | NEVER_DELETED
                    assert await tx.fetchval("SELECT has_table_privilege($1, 'DELETE')", table) is removable, table
                raise Undone


# --- updated_at -------------------------------------------------------------------------------------------------------

NO_NEWS = {
    ("catalog", "product_variants", "sku = NULL"),  # written again, with its SKU, in the same transaction
    ("hosted", "stripe_sessions", "polled_at = now()"),  # asked, and nothing learnt; the column dates itself
    ("hosted", "mpgs_transactions", "polled_at = now()"),
    ("configuration", "store_configs", "value = :value"),  # this and what follows: the same text under another key
    ("gateways", "payment_gateways", "config = config || :seals::jsonb"),
    ("conversions", "conversion_providers", "secret = :secret"),
    ("integration", "webhook_endpoints", "secret = :secret, previous_secret = :previous_secret"),
    ("inbox", "webhook_sources", "secret = :secret, previous_secret = :previous_secret"),
    ("verification", "second_factors", "secret = :secret"),
}


def updates() -> Iterator[tuple[str, str, str]]:
    """Slice, table and assignments of every UPDATE and upsert."""
    for file in sorted([*SOURCE.rglob("queries.sql"), *SOURCE.rglob("functions.sql")]):
        text = re.sub(r"--.*", "", file.read_text())
        for match in re.finditer(r"\bUPDATE \{(\w+)\}(?: AS)?(?: \w+)?\s+SET\b", text):
            yield file.parent.name, match[1], _assignments(text[match.end() :])
        for match in re.finditer(r"\bINSERT INTO \{(\w+)\}[^;]*?\bDO UPDATE\s+SET\b", text):
            yield file.parent.name, match[1], _assignments(text[match.end() :])


def _assignments(text: str) -> str:
    """Up to the clause that ends them, past whatever stands in brackets."""
    depth = 0
    for token in re.finditer(r"[()]|;|\b(?:FROM|WHERE|RETURNING)\b", text):
        if token[0] == "(":
            depth += 1
        elif token[0] == ")":
            depth -= 1
        if depth < 0 or (depth == 0 and token[0] not in "()"):
            return " ".join(text[: token.start()].split())
    return " ".join(text.split())


@pytest.mark.requirement("SBB-CONV-02")
def test_every_statement_that_changes_a_row_dates_the_change() -> None:
    migrations = "\n".join(file.read_text() for file in sorted((SOURCE / "migrations").glob("*.sql")))
    dated = {
        match[1]
        for match in re.finditer(r"CREATE TABLE \{(\w+)\} \((.*?)\n\)", migrations, re.DOTALL)
        if re.search(r"^ +updated_at +TIMESTAMPTZ NOT NULL DEFAULT now\(\)", match[2], re.MULTILINE)
    }
    found = [each for each in updates() if each[1] in dated]
    assert len(dated) >= 15
    assert len(found) >= 50
    faults = [each for each in found if "updated_at =" not in each[2] and each not in NO_NEWS]
    assert faults == []
