"""Every statement of every slice keeps the rules of `sql_rules`; and the rules see what they are there for."""

from pathlib import Path

import pytest
from sql_rules import faults_of_functions, faults_of_queries

SOURCE = Path(__file__).parents[2] / "src" / "storeroom"


def test_every_statement_keeps_the_rules() -> None:
    faults = [
        fault
        for file in sorted(SOURCE.rglob("queries.sql"))
        for fault in faults_of_queries(file.read_text("utf-8"), str(file.relative_to(SOURCE)))
    ]
    assert not faults, "\n".join(["", *faults])


def test_every_function_keeps_the_rules() -> None:
    faults = [
        fault
        for file in sorted(SOURCE.rglob("functions.sql"))
        for fault in faults_of_functions(file.read_text("utf-8"), str(file.relative_to(SOURCE)))
    ]
    assert not faults, "\n".join(["", *faults])


def faults(statement: str, header: str = "q(tenant_id, id?)", directive: str = "") -> set[str]:
    """The rules that a statement breaks; `:id` is in each so that the header fits."""
    used = statement if ":id" in statement or "id?" not in header else f"{statement} -- :id"
    if ":id" not in statement:
        header = header.replace(", id?", "").replace("id?", "")
    if ":tenant_id" not in statement:
        header = header.replace("tenant_id, ", "").replace("tenant_id", "")
    text = f"-- name: {header}\n{directive}\n{used}\n"
    return {fault.split(": ")[1] for fault in faults_of_queries(text)}


GOOD = {
    "one table": "SELECT a FROM {orders} WHERE tenant_id = :tenant_id AND id = :id",
    "the other way round, with a cast": "SELECT a FROM {orders} WHERE :tenant_id::text = tenant_id",
    "a join, each told": """SELECT o.a, l.b FROM {orders} o JOIN {order_lines} l ON l.tenant_id = :tenant_id
        AND l.order_id = o.id WHERE o.tenant_id = :tenant_id""",
    "a left join told in ON": """SELECT o.a FROM {orders} AS o
        LEFT JOIN {payments} AS p ON p.tenant_id = :tenant_id AND p.order_id = o.id WHERE o.tenant_id = :tenant_id""",
    "a subquery of its own scope": """SELECT (SELECT count(*) FROM {lines} l WHERE l.tenant_id = :tenant_id
        AND l.order_id = o.id) FROM {orders} o WHERE o.tenant_id = :tenant_id""",
    "a claim": """UPDATE {jobs} SET state = 'running', attempts = attempts + 1, until = now() + interval '1 min'
        WHERE tenant_id = :tenant_id AND id = ANY (ARRAY(SELECT id FROM {jobs} WHERE tenant_id = :tenant_id
        AND next_at <= now() ORDER BY next_at LIMIT 10 FOR UPDATE SKIP LOCKED)) RETURNING id, attempts""",
    "a changed row by way of a WITH": """WITH u AS (UPDATE {orders} SET status = 'paid', updated_at = now()
        WHERE tenant_id = :tenant_id AND id = :id RETURNING id, status, total)
        INSERT INTO {history} (tenant_id, order_id, status) SELECT :tenant_id, id, status FROM u""",
    "an insert": "INSERT INTO {orders} (tenant_id, id, made_at) VALUES (:tenant_id, :id, now()) RETURNING id::text",
    "an upsert": """INSERT INTO {counters} AS c (tenant_id, n) VALUES (:tenant_id, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET n = c.n + 1, updated_at = EXCLUDED.updated_at RETURNING n""",
    "a recursive WITH": """WITH RECURSIVE t AS (SELECT id FROM {categories} WHERE tenant_id = :tenant_id AND id = :id
        UNION ALL SELECT c.id FROM {categories} c JOIN t ON c.parent_id = t.id WHERE c.tenant_id = :tenant_id)
        SELECT id FROM t""",
    "old rows": "DELETE FROM {carts} WHERE tenant_id = :tenant_id AND updated_at < now() - interval '30 days'",
    "a searched CASE": """UPDATE {orders} SET paid = CASE WHEN status = 'paid' THEN 1 ELSE 0 END, updated_at = now()
        WHERE tenant_id = :tenant_id""",
    "a function called with its tenant": "SELECT a, b FROM {place_orders_v1}(:tenant_id, :id)",
    "a notification alone": "SELECT pg_notify('storeroom', '')",
    "elapsed time": "UPDATE {orders} SET took = paid_at - made_at WHERE tenant_id = :tenant_id",
    "a star over what the statement itself lists": """WITH u AS (SELECT id FROM {orders} WHERE tenant_id = :tenant_id)
        SELECT u.*, x.* FROM u, jsonb_to_recordset(:id) AS x (a text)""",
    "rows locked by their alias": "SELECT o.a FROM {orders} o WHERE o.tenant_id = :tenant_id FOR UPDATE OF o",
    "declared as without tenant": "SELECT tenant_id FROM {tenant_hosts} WHERE host = :id",
}


@pytest.mark.parametrize("statement", GOOD.values(), ids=GOOD.keys())
def test_good_statements_pass(statement: str) -> None:
    assert faults(statement) == set()


BAD = [
    ("R1", "SELECT a FROM {orders} WHERE id = :id"),
    ("R1", "SELECT a FROM {orders} WHERE tenant_id <> :tenant_id"),
    ("R1", "SELECT a FROM {orders} WHERE tenant_id = :id"),
    ("R1", "SELECT a FROM {orders} WHERE tenant_id = :tenant_id OR id = :id"),
    ("R1", "SELECT a FROM {orders} WHERE tenant_id IN (:tenant_id)"),
    ("R1", "SELECT a FROM {orders} WHERE tenant_id = (SELECT :tenant_id)"),
    ("R1", "SELECT a FROM {orders} WHERE tenant_id = current_setting('storeroom.tenant_id')"),
    ("R1", "SELECT o.a FROM {orders} o JOIN {lines} l ON l.order_id = o.id WHERE o.tenant_id = :tenant_id"),
    (
        "R1",
        """SELECT o.a FROM {orders} o JOIN {lines} l ON l.tenant_id = o.tenant_id AND l.order_id = o.id
        WHERE o.tenant_id = :tenant_id""",
    ),
    ("R1", "SELECT o.a FROM {orders} o JOIN {lines} l USING (tenant_id) WHERE o.tenant_id = :tenant_id"),
    (
        "R1",  # the ON of a left join narrows the right side only
        "SELECT o.a FROM {orders} o LEFT JOIN {lines} l ON o.tenant_id = :tenant_id AND l.tenant_id = :tenant_id",
    ),
    (
        "R1",
        """SELECT (SELECT count(*) FROM {lines} l WHERE l.order_id = o.id) FROM {orders} o
        WHERE o.tenant_id = :tenant_id""",
    ),
    (
        "R1",
        """SELECT o.a FROM {orders} o, LATERAL (SELECT b FROM {lines} l WHERE l.order_id = o.id) x
        WHERE o.tenant_id = :tenant_id""",
    ),
    ("R1", "UPDATE {orders} SET a = 1 WHERE id = :id"),
    ("R1", "DELETE FROM {orders} WHERE id = :id"),
    ("R1", "UPDATE {orders} o SET a = 1 FROM {lines} l WHERE o.tenant_id = :tenant_id AND l.order_id = o.id"),
    ("R1", "WITH x AS (SELECT id FROM {orders}) SELECT l.a FROM {lines} l, x WHERE l.tenant_id = :tenant_id"),
    ("R1", "SELECT a FROM {orders} WHERE tenant_id = :tenant_id UNION ALL SELECT a FROM {carts} WHERE id = :id"),
    ("R1", "INSERT INTO {orders} (id) VALUES (:id)"),
    ("R1", "INSERT INTO {orders} (tenant_id, id) VALUES ('default', :id)"),
    ("R1", "INSERT INTO {orders} (tenant_id, id) SELECT 'default', id FROM {carts} WHERE tenant_id = :tenant_id"),
    ("R1", "SELECT a FROM {place_orders_v1}(:id)"),
    ("X1", "UPDATE {orders} SET token = gen_random_uuid() WHERE tenant_id = :tenant_id"),
    ("X1", "DELETE FROM {orders} WHERE tenant_id = :tenant_id AND random() < 0.5"),
    ("X1", "UPDATE {orders} SET code = {new_code}() WHERE tenant_id = :tenant_id"),
    ("X2", "UPDATE {holds} SET expires_at = expires_at + interval '1 day' WHERE tenant_id = :tenant_id"),
    ("X2", "UPDATE {holds} SET expires_at = expires_at + :id WHERE tenant_id = :tenant_id"),
    ("X2", "UPDATE {jobs} SET next_at = now() + attempts * interval '1 s' WHERE tenant_id = :tenant_id"),
    ("X2", "DELETE FROM {carts} WHERE tenant_id = :tenant_id AND updated_at::date < :id"),
    ("X2", "DELETE FROM {carts} WHERE tenant_id = :tenant_id AND date_trunc('day', updated_at) < :id"),
    ("X2", "UPDATE {orders} SET note = status::text WHERE tenant_id = :tenant_id"),
    ("X2", "UPDATE {orders} SET meta = jsonb_build_object('old', total) WHERE tenant_id = :tenant_id"),
    ("X3", "UPDATE {orders} SET paid_at = coalesce(paid_at, now()) WHERE tenant_id = :tenant_id"),
    ("X3", "UPDATE {orders} SET paid_at = CASE WHEN paid THEN now() END WHERE tenant_id = :tenant_id"),
    ("X3", "UPDATE {orders} SET a = CASE status WHEN 'paid' THEN 1 END, b = now() WHERE tenant_id = :tenant_id"),
    (
        "X4",
        """INSERT INTO {counters} (tenant_id, n) VALUES (:tenant_id, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET updated_at = now()""",
    ),
    (
        "X4",
        """INSERT INTO {counters} (tenant_id, n) VALUES (:tenant_id, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET n = (SELECT 1)""",
    ),
    (
        "X4",
        """INSERT INTO {counters} (tenant_id, n) VALUES (:tenant_id, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET updated_at = CURRENT_TIMESTAMP""",
    ),
    ("X5", "UPDATE {orders} SET a = 1 WHERE tenant_id = :tenant_id RETURNING now()"),
    ("X5", "UPDATE {orders} SET a = 1 WHERE tenant_id = :tenant_id RETURNING status::text"),
    ("X5", "INSERT INTO {orders} AS o (tenant_id) VALUES (:tenant_id) RETURNING to_jsonb(o)"),
    ("X6", "INSERT INTO {orders} (tenant_id, n) VALUES (:tenant_id, (SELECT 1))"),
    ("X7", "UPDATE {orders} SET tenant_id = :id WHERE tenant_id = :tenant_id"),
    (
        "Q3",
        """UPDATE {jobs} SET a = 1 WHERE tenant_id = :tenant_id AND id IN (SELECT id FROM {jobs}
        WHERE tenant_id = :tenant_id LIMIT 3 FOR UPDATE SKIP LOCKED)""",
    ),
    ("L3", "WITH u AS (DELETE FROM {jobs} WHERE tenant_id = :tenant_id RETURNING id) SELECT pg_notify('a', '') FROM u"),
    ("SELECT *", "SELECT * FROM {orders} WHERE tenant_id = :tenant_id"),
    ("SELECT *", "SELECT o.* FROM {orders} o WHERE o.tenant_id = :tenant_id"),
    ("SELECT *", "DELETE FROM {orders} WHERE tenant_id = :tenant_id RETURNING *"),
    ("OFFSET", "SELECT a FROM {orders} WHERE tenant_id = :tenant_id LIMIT 10 OFFSET 20"),
    ("ladder", "SELECT a FROM {orders} WHERE tenant_id = :tenant_id AND (:id::text IS NULL OR id = :id)"),
    ("braces", "SELECT a FROM orders WHERE tenant_id = :tenant_id"),
    ("syntax", "SELECT a FROM {orders} WERE tenant_id = :tenant_id"),
    ("syntax", "DELETE FROM {a} WHERE tenant_id = :tenant_id; DELETE FROM {b} WHERE tenant_id = :tenant_id"),
]


@pytest.mark.parametrize(("rule", "statement"), BAD)
def test_bad_statements_are_caught(rule: str, statement: str) -> None:
    assert rule in faults(statement)


ALL = "-- scope: all tenants"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT tenant_id FROM {jobs} WHERE next_at <= now() GROUP BY tenant_id LIMIT 50",
        "UPDATE {orders} SET status = 'cancelled' WHERE expires_at < now() RETURNING tenant_id, id",
        """WITH c AS MATERIALIZED (SELECT tenant_id, id FROM {jobs} WHERE state = 'due' LIMIT 100)
           UPDATE {jobs} q SET state = 'running' FROM c WHERE q.tenant_id = c.tenant_id AND q.id = c.id""",
        """DELETE FROM {carts} c WHERE NOT EXISTS (SELECT 1 FROM {lines} l WHERE l.tenant_id = c.tenant_id
           AND l.cart_id = c.id)""",
        "SELECT o.tenant_id FROM {orders} o JOIN {lines} l USING (tenant_id) WHERE l.order_id = o.id",
    ],
)
def test_a_job_may_read_every_tenant(statement: str) -> None:
    assert faults(statement, directive=ALL) == set()
    assert "R1" in faults(statement)


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("R1", "SELECT o.id FROM {orders} o JOIN {lines} l ON l.order_id = o.id"),
        ("R1", "DELETE FROM {carts} c WHERE NOT EXISTS (SELECT 1 FROM {lines} l WHERE l.cart_id = c.id)"),
        ("L1", "SELECT id FROM {jobs} WHERE next_at <= now() LIMIT 10 FOR UPDATE SKIP LOCKED"),
    ],
)
def test_a_job_still_joins_by_tenant_and_locks_nobody(rule: str, statement: str) -> None:
    assert rule in faults(statement, directive=ALL)


def test_an_offset_passes_where_the_header_says_it_is_bounded() -> None:
    statement = "SELECT a FROM {orders} WHERE tenant_id = :tenant_id LIMIT 10 OFFSET 20"
    assert faults(statement, directive="-- bounded offset") == set()


def test_every_combination_of_conditions_is_read() -> None:
    statement = (
        "-- name: q(tenant_id, status?)\n"
        "SELECT a\n  FROM {orders} o\n WHERE o.tenant_id = :tenant_id\n"
        "   AND EXISTS (SELECT 1 FROM {lines} l WHERE l.status = :status) -- if status\n"
    )
    assert [fault.split(": ")[1] for fault in faults_of_queries(statement)] == ["R1"]


FUNCTION = """
CREATE FUNCTION {place_v1} (p_tenant text, p_orders jsonb) RETURNS TABLE (id uuid, outcome text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_row {orders}%ROWTYPE;
    v_count integer := 0;
BEGIN
    -- the {stock_levels} are locked in key order
    PERFORM 1 FROM {stock_levels} s WHERE s.tenant_id = p_tenant ORDER BY s.variant_id FOR UPDATE;
    SELECT o.id, o.status INTO v_row FROM {orders} o WHERE o.tenant_id = p_tenant;
    v_row.status := 'paid';
    IF EXISTS (SELECT 1 FROM {carts} c WHERE c.tenant_id = p_tenant) OR p_orders IS NULL THEN
        v_count := (SELECT count(*) FROM {carts} c WHERE c.tenant_id = p_tenant);
    END IF;
    UPDATE {orders} o SET note = format('%s', v_count), expires_at = now() + make_interval(mins => v_count)
     WHERE o.tenant_id = p_tenant AND o.id = v_row.id;
    RETURN QUERY SELECT o.id, 'x' FROM {orders} o WHERE o.tenant_id = p_tenant;
END $$;
"""


def test_a_good_function_passes() -> None:
    assert faults_of_functions(FUNCTION) == []


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("R1", "s.tenant_id = p_tenant ORDER", "true ORDER"),
        ("R1", "c.tenant_id = p_tenant) OR", "true) OR"),
        ("R1", "c WHERE c.tenant_id = p_tenant);", "c);"),
        ("R1", "'x' FROM {orders} o WHERE o.tenant_id = p_tenant", "'x' FROM {orders} o"),
        ("R1", "(p_tenant text, p_orders jsonb)", "(p_orders jsonb, p_tenant text)"),
        ("SELECT *", "o.id, o.status INTO", "* INTO"),
        ("X1", "format('%s', v_count)", "gen_random_uuid()::text"),
        ("X2", "format('%s', v_count)", "format('%s', o.total)"),
        ("X2", "now() + make_interval", "o.expires_at + make_interval"),
        ("EXECUTE", "v_row.status := 'paid';", "EXECUTE 'DELETE FROM orders';"),
        ("EXECUTE", "RETURN QUERY SELECT", "RETURN QUERY EXECUTE 'SELECT 1'; RETURN QUERY SELECT"),
        ("braces", "FROM {carts} c WHERE", "FROM carts c WHERE"),
        ("L3", "v_row.status := 'paid';", "PERFORM pg_notify('storeroom', '');"),
        ("ladder", "AND o.id = v_row.id", "AND (p_orders IS NULL OR o.id = v_row.id)"),
        ("syntax", "END IF;", ""),
    ],
)
def test_a_bad_function_is_caught(rule: str, good: str, bad: str) -> None:
    assert good in FUNCTION
    assert rule in {fault.split(": ")[1] for fault in faults_of_functions(FUNCTION.replace(good, bad, 1))}


def test_functions_in_sql_and_triggers_are_read_too() -> None:
    plain = """CREATE FUNCTION {f} (p_tenant text) RETURNS bigint LANGUAGE sql STABLE
        AS $$ SELECT count(*) FROM {orders} %s $$"""
    assert faults_of_functions(plain % "WHERE tenant_id = p_tenant") == []
    assert "R1" in faults_of_functions(plain % "")[0]
    trigger = "CREATE FUNCTION {f} () RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
    assert "trigger" in faults_of_functions(trigger)[0]
