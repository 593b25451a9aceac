-- What other systems tell the shop: stored first, answered, and processed after by the worker.
-- Lock: none on any table that was there before. Run before the new code, which stores Stripe's messages here too.

CREATE TYPE {inbox_status} AS ENUM ('pending', 'processing', 'completed', 'failed', 'skipped');
CREATE TYPE {inbox_scheme} AS ENUM ('stripe', 'standard_webhooks', 'hmac', 'mailgun');

-- Who may tell us something, and how its messages are signed. The secret is sealed; whoever has the table alone cannot sign.
CREATE TABLE {webhook_sources} (
    tenant_id          TEXT NOT NULL,
    code               TEXT NOT NULL,                   -- the last part of its address; handlers are registered for it
    scheme             {inbox_scheme} NOT NULL,
    secret             TEXT NOT NULL,
    previous_secret    TEXT,                            -- still good beside the new one, until it is dropped
    signature_header   TEXT NOT NULL,
    encoding           TEXT NOT NULL DEFAULT 'hex',     -- of a plain HMAC
    prefix             TEXT NOT NULL DEFAULT '',        -- before a plain HMAC, as in 'sha256='
    timestamp_header   TEXT,                            -- signed before the body of a plain HMAC, with a dot between
    tolerance_seconds  INTEGER NOT NULL DEFAULT 300,    -- so old a signed message may be, where it says how old it is
    event_id_at        TEXT,                            -- 'header:name' or 'payload:a.b'; NULL: the bytes are the event
    event_type_at      TEXT NOT NULL,
    max_attempts       INTEGER NOT NULL DEFAULT 3,
    is_active          BOOLEAN NOT NULL DEFAULT TRUE,
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at         TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {webhook_sources_pkey} PRIMARY KEY (tenant_id, code),
    CONSTRAINT webhook_sources_code_form CHECK (code ~ '^[a-z][a-z0-9_]{0,49}$'),
    CONSTRAINT webhook_sources_encoding_known CHECK (encoding IN ('hex', 'base64')),
    CONSTRAINT webhook_sources_limits CHECK (max_attempts BETWEEN 1 AND 100 AND tolerance_seconds BETWEEN 30 AND 86400)
);

-- related_* are what the handler found, and are no foreign keys: what was told stays as it was told.
CREATE TABLE {webhooks_inbox} (
    tenant_id               TEXT NOT NULL,
    id                      UUID NOT NULL,
    source                  TEXT NOT NULL,              -- stripe, epicor_propello, shippo, mailgun, vendure, …
    webhook_type            TEXT NOT NULL,              -- the provider's name of what happened
    event_id                TEXT,                       -- the provider's; NULL where the signature was wrong
    status                  {inbox_status} NOT NULL DEFAULT 'pending',
    attempts                INTEGER NOT NULL DEFAULT 0,
    max_attempts            INTEGER NOT NULL DEFAULT 3,
    claim                   UUID,                       -- the token of the worker that holds the lease
    lease_until             TIMESTAMPTZ,
    next_attempt_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    headers                 JSONB NOT NULL,
    payload                 JSONB NOT NULL,
    signature               TEXT,
    signature_valid         BOOLEAN,
    verified_by             TEXT,                       -- 'secret', 'previous_secret', or the gateway whose secret signed
    processed_at            TIMESTAMPTZ,
    error_message           TEXT,
    result                  JSONB,
    related_order_id        UUID,
    related_payment_id      UUID,
    related_fulfillment_id  UUID,
    received_at             TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_at              TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {webhooks_inbox_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {webhooks_inbox_event_unique} UNIQUE (tenant_id, source, event_id),
    CONSTRAINT webhooks_inbox_lengths CHECK (length(source) BETWEEN 1 AND 50 AND length(webhook_type) BETWEEN 1 AND 100
                                             AND length(event_id) BETWEEN 1 AND 255 AND length(signature) <= 255),
    CONSTRAINT webhooks_inbox_attempts_range CHECK (attempts BETWEEN 0 AND max_attempts AND max_attempts BETWEEN 1 AND 100),
    CONSTRAINT webhooks_inbox_claim_whole CHECK ((status = 'processing') = (claim IS NOT NULL)
                                                 AND (claim IS NULL) = (lease_until IS NULL)),
    CONSTRAINT webhooks_inbox_processed_dated CHECK ((status IN ('completed', 'failed', 'skipped')) = (processed_at IS NOT NULL)),
    CONSTRAINT webhooks_inbox_forged_untouched CHECK (signature_valid IS TRUE OR (status = 'failed' AND attempts = 0
                                                                                  AND event_id IS NULL))
);
CREATE INDEX {idx_webhooks_inbox_pending} ON {webhooks_inbox} (tenant_id, status, created_at) WHERE status IN ('pending', 'failed');
CREATE INDEX {idx_webhooks_inbox_status} ON {webhooks_inbox} (tenant_id, status, source, received_at DESC, id DESC);
CREATE INDEX {idx_webhooks_inbox_source} ON {webhooks_inbox} (tenant_id, source, webhook_type, received_at DESC, id DESC);
CREATE INDEX {idx_webhooks_inbox_received} ON {webhooks_inbox} (tenant_id, received_at DESC, id DESC);
CREATE INDEX {idx_webhooks_inbox_lease} ON {webhooks_inbox} (tenant_id, lease_until) WHERE status = 'processing';
