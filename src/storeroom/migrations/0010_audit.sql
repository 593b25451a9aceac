-- Who did what: one row for every action of staff and of the system, refused ones included, in the transaction of the
-- change. Tables that grow by the month are cut by the month.
-- Lock: none on existing data (new tables). Run before the new code.

-- Make the partition of one month, or with NULL the default one, if there is none; true where it was made. Anyone who
-- serves may call it, so it does this and nothing else: for a table of this schema that is cut by a column of instants,
-- for months not far from now. It runs as its owner, because the service may make no tables. The partition is filled and
-- attached beside the traffic: only the default partition is locked, where rows wait that came before their month.
CREATE FUNCTION {make_month_partition_v1}(p_table TEXT, p_month DATE) RETURNS BOOLEAN
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '5s'
SET timezone = 'UTC'
AS $$
DECLARE
    v_from      TIMESTAMPTZ := date_trunc('month', p_month);
    v_to        TIMESTAMPTZ := date_trunc('month', p_month) + INTERVAL '1 month';
    v_part      TEXT := coalesce(to_char(p_month, '"y"YYYY"m"MM'), 'default');
    v_name      TEXT := p_table || '_' || v_part;
    v_table     REGCLASS;
    v_default   REGCLASS;
    v_column    TEXT;
    v_key       TEXT;
    v_index     RECORD;
BEGIN
    SELECT c.oid, nullif(p.partdefid, 0), a.attname
      INTO v_table, v_default, v_column
      FROM pg_partitioned_table AS p
      JOIN pg_class AS c ON c.oid = p.partrelid
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
     WHERE c.relname = p_table
       AND c.relnamespace = current_schema()::REGNAMESPACE
       AND p.partstrat = 'r'
       AND p.partnatts = 1
       AND a.atttypid = 'TIMESTAMPTZ'::REGTYPE;
    IF v_table IS NULL OR v_from NOT BETWEEN now() - INTERVAL '15 months' AND now() + INTERVAL '15 months' THEN
        RAISE EXCEPTION '% is no table cut by month, or % is too far away', p_table, p_month
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(v_table::OID::BIGINT);
    IF to_regclass(quote_ident(v_name)) IS NOT NULL THEN
        RETURN FALSE;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING ALL EXCLUDING INDEXES)', v_name, v_table);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', v_name);
    FOR v_key IN SELECT pg_get_constraintdef(k.oid) FROM pg_constraint AS k WHERE k.conrelid = v_table AND k.contype = 'p'
    LOOP
        EXECUTE format('ALTER TABLE %I ADD %s', v_name, v_key);
    END LOOP;
    -- Named here: what PostgreSQL would call them may be too long for a shard of Citus.
    FOR v_index IN SELECT c.relname AS name, pg_get_indexdef(c.oid) AS definition
                     FROM pg_index AS i
                     JOIN pg_class AS c ON c.oid = i.indexrelid
                    WHERE i.indrelid = v_table AND NOT i.indisprimary
    LOOP
        EXECUTE regexp_replace(v_index.definition, '^(CREATE (?:UNIQUE )?INDEX) \S+ ON (?:ONLY )?\S+ ',
                               format('\1 %I ON %I ', v_part || '_' || v_index.name, v_name));
    END LOOP;
    IF p_month IS NULL THEN
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I DEFAULT', v_table, v_name);
        RETURN TRUE;
    END IF;
    IF v_default IS NOT NULL THEN
        EXECUTE format('WITH late AS (DELETE FROM %s WHERE %I >= $1 AND %2$I < $2 RETURNING *) '
                       'INSERT INTO %I SELECT * FROM late', v_default, v_column, v_name) USING v_from, v_to;
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_table, v_name, v_from, v_to);
    RETURN TRUE;
END
$$;

-- user_email and user_role are copies: the entry means the same when the account has another role, or none. Neither keys
-- nor foreign keys lead out of it, so nothing that happens to other rows reaches it. Values hold no secrets, and of
-- personal data only fingerprints.
CREATE TABLE {audit_logs} (
    tenant_id      TEXT NOT NULL,
    id             UUID NOT NULL,
    actor_kind     {actor_kind} NOT NULL,
    user_id        UUID,
    user_email     TEXT,
    user_role      TEXT,
    action         TEXT NOT NULL,                   -- as in 'orders.ship'
    resource_type  TEXT NOT NULL,                   -- as in 'order'
    resource_id    UUID,                            -- unknown where making it was refused
    old_values     JSONB,                           -- of what has changed, before
    new_values     JSONB,                           -- what was asked for, and what has changed, after
    ip_address     INET,
    user_agent     TEXT,
    request_id     TEXT,
    success        BOOLEAN NOT NULL DEFAULT TRUE,
    error_message  TEXT,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {audit_logs_pkey} PRIMARY KEY (tenant_id, id, created_at),
    CONSTRAINT audit_logs_action_length CHECK (length(action) BETWEEN 1 AND 100),
    CONSTRAINT audit_logs_resource_type_length CHECK (length(resource_type) BETWEEN 1 AND 50),
    CONSTRAINT audit_logs_user_email_length CHECK (length(user_email) <= 255),
    CONSTRAINT audit_logs_request_id_length CHECK (length(request_id) <= 100),
    CONSTRAINT audit_logs_failures_say_why CHECK (success = (error_message IS NULL))
) PARTITION BY RANGE (created_at);
CREATE INDEX {idx_audit_logs_user} ON {audit_logs} (tenant_id, user_id, created_at DESC, id DESC);
CREATE INDEX {idx_audit_logs_resource} ON {audit_logs} (tenant_id, resource_type, resource_id, created_at DESC, id DESC);
CREATE INDEX {idx_audit_logs_action} ON {audit_logs} (tenant_id, action, created_at DESC, id DESC);
CREATE INDEX {idx_audit_logs_created} ON {audit_logs} (tenant_id, created_at DESC, id DESC);

-- In the default partition go rows whose month nobody has made: nothing is lost, and the month takes them when it is made.
SELECT {make_month_partition_v1}(pg_typeof(NULL::{audit_logs})::TEXT, NULL);
SELECT {make_month_partition_v1}(pg_typeof(NULL::{audit_logs})::TEXT, (date_trunc('month', now()) + make_interval(months => n))::DATE)
  FROM generate_series(0, 3) AS n;

-- The rows that no seal holds yet. Written with the row and deleted by the seal, so sealing needs no order among writers,
-- and a row that commits late is sealed late.
CREATE TABLE {audit_unsealed} (
    tenant_id       TEXT NOT NULL,
    audit_id        UUID NOT NULL,
    row_created_at  TIMESTAMPTZ NOT NULL,           -- the partition of the row
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {audit_unsealed_pkey} PRIMARY KEY (tenant_id, audit_id)
);

-- One link of a tenant's chain. `hash` is over the number, the previous hash, the rows and their hashes, so a row, a link
-- or an order cannot change without breaking every later link.
CREATE TABLE {audit_seals} (
    tenant_id       TEXT NOT NULL,
    number          BIGINT NOT NULL,                -- 1, 2, 3 … without a gap
    previous_hash   BYTEA NOT NULL,                 -- of the link before; empty for the first
    audit_ids       UUID[] NOT NULL,
    rows_created_at TIMESTAMPTZ[] NOT NULL,
    row_hashes      BYTEA[] NOT NULL,               -- what audit_hash_v1 said of each row
    hash            BYTEA NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {audit_seals_pkey} PRIMARY KEY (tenant_id, number),
    CONSTRAINT audit_seals_number_range CHECK (number >= 1),
    CONSTRAINT audit_seals_whole CHECK (cardinality(audit_ids) BETWEEN 1 AND 10000
                                        AND cardinality(row_hashes) = cardinality(audit_ids)
                                        AND cardinality(rows_created_at) = cardinality(audit_ids)),
    CONSTRAINT audit_seals_hash_length CHECK (length(hash) = 32 AND length(previous_hash) IN (0, 32))
);

-- The hash of each row as it stands, and of all of it: what sealing keeps and what the doctor compares. It is never
-- changed; should rows get another column, its hash goes into a second view.
CREATE VIEW {audit_row_hashes} AS
SELECT tenant_id, id, created_at,
       sha256(convert_to(jsonb_build_array(tenant_id, id, actor_kind, user_id, user_email, user_role, action, resource_type,
                                           resource_id, old_values, new_values, ip_address, user_agent, request_id, success,
                                           error_message, extract(EPOCH FROM created_at))::TEXT, 'UTF8')) AS row_hash
  FROM {audit_logs};
