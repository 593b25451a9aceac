-- Keys with which programs call the API, and the web origins whose scripts may: what stands at the shop's door besides
-- people. Lock: none on existing data (new tables). Run before the new code.

-- A key belongs to the shop, not to who made it: it works on when that person leaves, until somebody revokes it.
CREATE TABLE {api_keys} (
    tenant_id        TEXT NOT NULL,
    id               UUID NOT NULL,
    name             TEXT NOT NULL,                 -- what it is for, as in 'warehouse'
    key_hash         TEXT NOT NULL,                 -- SHA-256 of its 256 random bits; the key itself is kept nowhere
    hint             TEXT NOT NULL,                 -- its last characters, to tell one from another
    permissions      TEXT[] NOT NULL,
    created_by       UUID,                          -- NULL: made by an operator, on the command line
    created_by_name  TEXT,
    expires_at       TIMESTAMPTZ,                   -- NULL: never by itself
    last_used_at     TIMESTAMPTZ,                   -- to the minute
    revoked_at       TIMESTAMPTZ,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {api_keys_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {api_keys_hash_unique} UNIQUE (tenant_id, key_hash),
    CONSTRAINT api_keys_creator_fkey FOREIGN KEY (tenant_id, created_by) REFERENCES {users} (tenant_id, id),
    CONSTRAINT api_keys_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT api_keys_hash_shape CHECK (key_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT api_keys_permissions_some CHECK (cardinality(permissions) BETWEEN 1 AND 100)
);
CREATE INDEX {idx_api_keys_creator} ON {api_keys} (tenant_id, created_by);   -- the foreign key

-- Scripts of these origins may read the shop's answers in a browser. Without a row no stranger's may.
CREATE TABLE {allowed_origins} (
    tenant_id   TEXT NOT NULL,
    origin      TEXT NOT NULL,                      -- scheme, host and port, as a browser sends it
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {allowed_origins_pkey} PRIMARY KEY (tenant_id, origin),
    CONSTRAINT allowed_origins_shape CHECK (origin ~ '^https?://[^/?#[:space:]]+$' AND length(origin) <= 255)
);
