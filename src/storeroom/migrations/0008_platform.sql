-- What every room leans on: the outbox, idempotency keys, rate counters, and which seeds were planted.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {webhook_status} AS ENUM ('pending', 'processing', 'success', 'failed');
CREATE TYPE {idempotency_state} AS ENUM ('in_flight', 'settled', 'done');

-- Written in the transaction of the change that it tells of. A row to be tried again is pending with a later
-- next_attempt_at; failed is the dead letter.
CREATE TABLE {webhook_queue} (
    tenant_id        TEXT NOT NULL,
    id               UUID NOT NULL DEFAULT gen_random_uuid(),
    destination      TEXT NOT NULL,
    url              TEXT,
    event_type       TEXT NOT NULL,
    payload          JSONB NOT NULL,
    headers          JSONB NOT NULL DEFAULT '{}',
    status           {webhook_status} NOT NULL DEFAULT 'pending',
    attempts         INTEGER NOT NULL DEFAULT 0,
    max_attempts     INTEGER NOT NULL DEFAULT 16,
    claim            UUID,                          -- the token of the worker that holds the lease
    lease_until      TIMESTAMPTZ,
    last_error       TEXT,
    last_attempt_at  TIMESTAMPTZ,
    next_attempt_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    response_status  INTEGER,
    response_body    TEXT,
    entity_type      TEXT,
    entity_id        UUID,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    completed_at     TIMESTAMPTZ,

    CONSTRAINT {webhook_queue_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT webhook_queue_attempts_range CHECK (attempts >= 0 AND max_attempts BETWEEN 1 AND 100)
);
CREATE INDEX {idx_webhook_queue_status} ON {webhook_queue} (tenant_id, destination, next_attempt_at) WHERE status = 'pending';
CREATE INDEX {idx_webhook_queue_entity} ON {webhook_queue} (tenant_id, entity_type, entity_id);

-- One row per request that must not run twice. in_flight: claimed under a lease. settled: its work is committed, its
-- answer not yet stored. done: the answer can be given again.
CREATE TABLE {idempotency_keys} (
    tenant_id            TEXT NOT NULL,
    scope                TEXT NOT NULL,             -- who asked for what: actor and route
    key                  TEXT NOT NULL,
    request_fingerprint  TEXT NOT NULL,
    state                {idempotency_state} NOT NULL DEFAULT 'in_flight',
    claim                UUID NOT NULL,
    lease_until          TIMESTAMPTZ NOT NULL DEFAULT now(),
    response             JSONB,                     -- status, headers, body
    created_at           TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at           TIMESTAMPTZ NOT NULL,

    CONSTRAINT {idempotency_keys_pkey} PRIMARY KEY (tenant_id, scope, key),
    CONSTRAINT idempotency_keys_key_length CHECK (length(key) BETWEEN 1 AND 255 AND length(scope) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_done_answered CHECK (state <> 'done' OR response IS NOT NULL)
);
CREATE INDEX {idx_idempotency_keys_expires} ON {idempotency_keys} (expires_at);

CREATE TABLE {rate_counters} (
    tenant_id   TEXT NOT NULL,
    bucket      TEXT NOT NULL,                      -- what is counted and for whom, as in 'sign_in:203.0.113.9'
    window_at   TIMESTAMPTZ NOT NULL,               -- start of the window
    hits        INTEGER NOT NULL DEFAULT 0,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {rate_counters_pkey} PRIMARY KEY (tenant_id, bucket, window_at)
) WITH (fillfactor = 70);
CREATE INDEX {idx_rate_counters_window} ON {rate_counters} (window_at);

CREATE TABLE {seeds_planted} (
    tenant_id    TEXT NOT NULL,
    name         TEXT NOT NULL,                     -- as in 'base/001_payment_methods.toml:payment_methods'
    checksum     TEXT NOT NULL,
    sequence     INTEGER NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {seeds_planted_pkey} PRIMARY KEY (tenant_id, name)
);
