-- Payment gateways, the providers behind ways to pay, and the settings of a shop that staff change.
-- Lock: new tables, and ACCESS EXCLUSIVE on {payment_methods} for the time of reading it once: a tenant has 100 rows of
-- it at most, so milliseconds. Run before the new code.

-- Only here and in {store_configs} are secrets of other systems kept, each sealed by itself inside the row: a database
-- alone opens nothing.
CREATE TABLE {payment_gateways} (
    tenant_id     TEXT NOT NULL,
    id            TEXT NOT NULL,                    -- a slug, as in 'sslcommerz'
    kind          TEXT NOT NULL,                    -- whose interface it speaks; a shop may have two of a kind
    name          TEXT NOT NULL,
    config        JSONB NOT NULL DEFAULT '{}',      -- a secret stands there as {"$sealed": "1.<key id>.<text>"}
    is_test_mode  BOOLEAN NOT NULL DEFAULT TRUE,
    is_active     BOOLEAN NOT NULL DEFAULT FALSE,
    position      INTEGER NOT NULL DEFAULT 0,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {payment_gateways_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT payment_gateways_id_slug CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,49}$'),
    CONSTRAINT payment_gateways_kind_slug CHECK (kind ~ '^[a-z0-9][a-z0-9_-]{0,49}$'),
    CONSTRAINT payment_gateways_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT payment_gateways_config_object CHECK (jsonb_typeof(config) = 'object')
);

ALTER TABLE {payment_methods} ADD COLUMN gateway_id TEXT;   -- NULL: no provider, staff look for the money
-- squawk-ignore constraint-missing-not-valid, adding-foreign-key-constraint
ALTER TABLE {payment_methods} ADD CONSTRAINT payment_methods_gateway_fkey
    FOREIGN KEY (tenant_id, gateway_id) REFERENCES {payment_gateways} (tenant_id, id);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX {idx_payment_methods_gateway} ON {payment_methods} (tenant_id, gateway_id) WHERE gateway_id IS NOT NULL;

-- What a process needs to start comes from its environment; what staff change while it runs stands here.
CREATE TABLE {store_configs} (
    tenant_id     TEXT NOT NULL,
    key           TEXT NOT NULL,
    value         TEXT NOT NULL,                    -- sealed where is_encrypted
    is_encrypted  BOOLEAN NOT NULL DEFAULT FALSE,
    group_name    TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {store_configs_pkey} PRIMARY KEY (tenant_id, key),
    CONSTRAINT store_configs_key_length CHECK (length(key) BETWEEN 1 AND 100),
    CONSTRAINT store_configs_group_slug CHECK (group_name ~ '^[a-z][a-z0-9_]{0,49}$'),
    CONSTRAINT store_configs_sealed CHECK (NOT is_encrypted OR value ~ '^1\.[0-9a-f]{8}\.')
);
