-- Delivering what the outbox holds: endpoints that staff keep, leases on what is being sent, every attempt kept.
-- Lock: ACCESS EXCLUSIVE on webhook_queue for an instant; nothing is rewritten, and the checks are validated by the next.
-- Run before the new code: workers of before never touched the queue.

-- Where events go. The secret is sealed; whoever has the table alone cannot sign.
CREATE TABLE {webhook_endpoints} (
    tenant_id        TEXT NOT NULL,
    id               UUID NOT NULL,
    name             TEXT NOT NULL,
    url              TEXT NOT NULL,
    event_types      TEXT[],                        -- NULL: all; 'order.*' means all that begin so
    secret           TEXT NOT NULL,
    previous_secret  TEXT,                          -- signs beside the new one until it is dropped
    max_attempts     INTEGER NOT NULL DEFAULT 16,
    timeout_seconds  INTEGER NOT NULL DEFAULT 15,
    in_flight_max    INTEGER NOT NULL DEFAULT 8,    -- deliveries of one worker at a time
    keeps_order      BOOLEAN NOT NULL DEFAULT FALSE,  -- of one entity's events, the next waits for the one before
    is_active        BOOLEAN NOT NULL DEFAULT TRUE,
    failures         INTEGER NOT NULL DEFAULT 0,    -- deliveries in a row that failed
    paused_until     TIMESTAMPTZ,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {webhook_endpoints_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {webhook_endpoints_url_unique} UNIQUE (tenant_id, url),
    CONSTRAINT webhook_endpoints_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT webhook_endpoints_url_length CHECK (length(url) BETWEEN 8 AND 2000),
    CONSTRAINT webhook_endpoints_types_given CHECK (cardinality(event_types) BETWEEN 1 AND 100),
    CONSTRAINT webhook_endpoints_limits CHECK (max_attempts BETWEEN 1 AND 100 AND timeout_seconds BETWEEN 1 AND 60
                                               AND in_flight_max BETWEEN 1 AND 64 AND failures >= 0)
) WITH (fillfactor = 70);

ALTER TABLE {webhook_queue} ADD COLUMN endpoint_id UUID;
ALTER TABLE {webhook_queue} ADD COLUMN event_id UUID;      -- the row that was fanned out: what the receiver knows it by
ALTER TABLE {webhook_queue} ADD CONSTRAINT webhook_queue_endpoint_fkey
    FOREIGN KEY (tenant_id, endpoint_id) REFERENCES {webhook_endpoints} (tenant_id, id) NOT VALID;
ALTER TABLE {webhook_queue} ADD CONSTRAINT webhook_queue_claim_whole CHECK (
    (status = 'processing') = (claim IS NOT NULL) AND (claim IS NULL) = (lease_until IS NULL)) NOT VALID;
ALTER TABLE {webhook_queue} ADD CONSTRAINT webhook_queue_completed_dated CHECK (
    (status IN ('success', 'failed')) = (completed_at IS NOT NULL)) NOT VALID;

-- Every attempt and what came of it. Goes with its row.
CREATE TABLE {webhook_attempts} (
    tenant_id        TEXT NOT NULL,
    webhook_id       UUID NOT NULL,
    attempt          INTEGER NOT NULL,              -- counts from one again after a retry by hand
    duration_ms      INTEGER NOT NULL,
    response_status  INTEGER,
    response_body    TEXT,                          -- the first bytes of it
    error            TEXT,                          -- NULL where it was taken
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {webhook_attempts_pkey} PRIMARY KEY (tenant_id, webhook_id, created_at, attempt),
    CONSTRAINT webhook_attempts_webhook_fkey FOREIGN KEY (tenant_id, webhook_id)
        REFERENCES {webhook_queue} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT webhook_attempts_body_length CHECK (length(response_body) <= 2000)
);
