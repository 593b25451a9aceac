"""Years of orders, made by SQL: what checkout has to live with when a shop has sold five million times."""

from collections.abc import Callable

import asyncpg

from bench.ground import METHOD_ID, PRODUCTS, TENANT

CHUNK = 50_000
SECONDS_APART = 20  # five million orders are three years
PENDING_SHARE = 100  # one in a hundred of the newest chunk is still unpaid

# Built anew once the rows are there, which takes a fraction of the time. Those behind a constraint stay.
_INDEXES = """
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = ANY ('{orders,order_items,order_status_history,order_search,payments}'::regclass[])
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
"""

# One statement a chunk. Ids carry their instant, as they do when the application makes them; numbers are drawn.
_CHUNK = """
WITH dated AS (
    SELECT n, now() - (($3::bigint - n) * $5::int + 86400) * INTERVAL '1 second' AS at
      FROM generate_series($1::bigint, $2::bigint) n),
made AS MATERIALIZED (
    SELECT n, at, {uuid} AS id, n > $3::bigint - $6::int AND n % $7::int = 0 AS unpaid,
           1 + (hashint8(n) & 2147483647) % $4::int AS variant, upper(substr(md5(n::text), 1, 12)) AS number
      FROM dated),
orders_made AS (
    INSERT INTO orders (tenant_id, id, order_number, customer_email, customer_name, status, status_updated_at,
                        shipping_address, billing_address, currency, subtotal_amount, total_amount, amount_paid,
                        payment_due_at, created_at, updated_at, paid_at, shipped_at, delivered_at)
    SELECT '{tenant}', id, number, 'buyer' || n % 500000 || '@example.com', 'Buyer ' || n % 500000,
           CASE WHEN unpaid THEN 'pending_payment' ELSE 'delivered' END::order_status, at, a.address, a.address, 'USD',
           1000, 1000, CASE WHEN unpaid THEN 0 ELSE 1000 END,
           CASE WHEN unpaid THEN now() + INTERVAL '7 days' ELSE at END, at, at,
           CASE WHEN NOT unpaid THEN at END, CASE WHEN NOT unpaid THEN at END, CASE WHEN NOT unpaid THEN at END
      FROM made, (SELECT '{{"recipient_name": "A Buyer", "street_line_1": "1 Main Street", "city": "Albany",
                            "state_province": "NY", "postal_code": "12207", "country_code": "US"}}'::jsonb AS address) a
),
items_made AS (
    INSERT INTO order_items (tenant_id, id, order_id, position, product_id, variant_id, product_sku, product_name,
                             variant_title, quantity, unit_price, currency, quantity_fulfilled, created_at)
    SELECT '{tenant}', {uuid}, id, 0, ('00000000-0000-7000-a000-' || lpad(variant::text, 12, '0'))::uuid,
           ('00000000-0000-7000-8000-' || lpad(variant::text, 12, '0'))::uuid, 'SKU-' || variant, 'Product ' || variant,
           'Default', 1, 1000, 'USD', CASE WHEN unpaid THEN 0 ELSE 1 END, at
      FROM made),
history_made AS (
    INSERT INTO order_status_history (tenant_id, id, order_id, sequence, from_status, to_status, reason, created_at)
    SELECT '{tenant}', {uuid}, m.id, s.sequence, s.before::order_status, s.after::order_status, s.reason, m.at
      FROM made m
      JOIN (VALUES (1, NULL, 'pending_payment', 'placed'), (2, 'pending_payment', 'payment_received', 'paid'),
                   (3, 'payment_received', 'processing', NULL), (4, 'processing', 'shipped', NULL),
                   (5, 'shipped', 'delivered', NULL)) AS s (sequence, before, after, reason)
        ON s.sequence = 1 OR NOT m.unpaid),
search_made AS (
    INSERT INTO order_search (tenant_id, order_id, document, created_at)
    SELECT '{tenant}', id, number, at
      FROM made)
INSERT INTO payments (tenant_id, id, payment_reference, order_id, payment_method_id, amount, currency, received_amount,
                      status, created_at, updated_at, expires_at, completed_at)
SELECT '{tenant}', {uuid}, 'PAY-' || number, id, '{method}', 1000, 'USD', CASE WHEN NOT unpaid THEN 1000 END,
       CASE WHEN unpaid THEN 'pending' ELSE 'completed' END::payment_status, at, at, at + INTERVAL '2 days',
       CASE WHEN NOT unpaid THEN at END
  FROM made
"""


async def fill(dsn: str, orders: int, say: Callable[[str], None]) -> int:
    """Put so many paid and delivered orders behind a shop, with lines, history, payments; bytes of the database."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica")  # foreign keys hold by the way they are made
        await connection.execute("SET synchronous_commit = off")
        newer = await connection.fetchval("SELECT current_setting('server_version_num')::int >= 180000")
        uuid = "uuidv7(at - now())" if newer else "gen_random_uuid()"
        text = _CHUNK.format(uuid=uuid, tenant=TENANT, method=METHOD_ID)
        indexes = await connection.fetch(_INDEXES)
        for index in indexes:
            await connection.execute(f'DROP INDEX "{index["name"]}"')
        for begin in range(1, orders + 1, CHUNK):
            end = min(begin + CHUNK - 1, orders)
            await connection.execute(text, begin, end, orders, PRODUCTS, SECONDS_APART, CHUNK, PENDING_SHARE)
            say(f"filling: {end:,} of {orders:,} orders")
        await connection.execute("RESET session_replication_role")
        await connection.execute("SET maintenance_work_mem = '512MB'")
        for index in indexes:
            say(f"filling: {index['name']}")
            await connection.execute(index["definition"], timeout=3600)
        say("filling: VACUUM ANALYZE")
        await connection.execute("VACUUM ANALYZE", timeout=3600)
        await connection.execute("CHECKPOINT", timeout=3600)
        size: int = await connection.fetchval("SELECT pg_database_size(current_database())")
    finally:
        await connection.close()
    return size
