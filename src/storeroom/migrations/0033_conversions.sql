-- Conversions: what advertising and analytics are told of purchases and carts, until they were told.
-- Lock: new tables; SHARE ROW EXCLUSIVE on {auth_sessions} and {webhook_queue} for an instant, for the foreign keys.
-- Run before the new code: nobody else writes here.

CREATE TYPE {conversion_status} AS ENUM ('pending', 'failed');

-- Whom a shop tells. The secret is sealed: an access token of Meta's, an API secret of Google's.
CREATE TABLE {conversion_providers} (
    tenant_id        TEXT NOT NULL,
    id               UUID NOT NULL,
    kind             TEXT NOT NULL,                  -- whose interface it speaks
    name             TEXT NOT NULL,
    account_id       TEXT NOT NULL,                  -- the pixel, or the measurement id
    secret           TEXT NOT NULL,
    test_event_code  TEXT,                           -- while it is set, all that is sent counts as a test
    is_active        BOOLEAN NOT NULL DEFAULT TRUE,
    failures         INTEGER NOT NULL DEFAULT 0,     -- calls in a row that failed
    paused_until     TIMESTAMPTZ,
    last_error       TEXT,
    last_sent_at     TIMESTAMPTZ,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {conversion_providers_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {conversion_providers_account_unique} UNIQUE (tenant_id, kind, account_id),
    CONSTRAINT conversion_providers_kind_known CHECK (kind IN ('meta', 'ga4')),
    CONSTRAINT conversion_providers_lengths CHECK (length(name) BETWEEN 1 AND 100 AND length(account_id) BETWEEN 1 AND 50
                                                   AND length(test_event_code) BETWEEN 1 AND 50
                                                   AND length(last_error) <= 500),
    CONSTRAINT conversion_providers_failures_positive CHECK (failures >= 0)
) WITH (fillfactor = 50);

-- What a visitor said to it, and what the browser knows them by. Goes with the session.
CREATE TABLE {conversion_visitors} (
    tenant_id      TEXT NOT NULL,
    session_id     UUID NOT NULL,
    consents       BOOLEAN NOT NULL,
    fbp            TEXT,                             -- cookies of Meta's: _fbp and _fbc
    fbc            TEXT,
    ga_client_id   TEXT,                             -- of Google's: _ga and _ga_<measurement id>
    ga_session_id  TEXT,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {conversion_visitors_pkey} PRIMARY KEY (tenant_id, session_id),
    CONSTRAINT conversion_visitors_session_fkey FOREIGN KEY (tenant_id, session_id)
        REFERENCES {auth_sessions} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT conversion_visitors_refused_bare CHECK (
        consents OR num_nonnulls(fbp, fbc, ga_client_id, ga_session_id) = 0),
    CONSTRAINT conversion_visitors_lengths CHECK (length(fbp) <= 200 AND length(fbc) <= 500 AND length(ga_client_id) <= 100
                                                  AND length(ga_session_id) <= 50)
);

-- Written in the transaction of the change, or brought from the outbox; deleted when all were told. A row comes and goes
-- within seconds, so its pages are swept often, and early: the table stays as small as what waits.
CREATE TABLE {analytics_events} (
    tenant_id        TEXT NOT NULL,
    id               UUID NOT NULL,
    event_name       TEXT NOT NULL,                  -- 'Purchase', 'AddToCart'
    payload          JSONB NOT NULL,                 -- by kind of provider, as it is sent
    status           {conversion_status} NOT NULL DEFAULT 'pending',  -- failed: at least once, and tried again
    providers_sent   JSONB NOT NULL DEFAULT '[]',    -- ids of those who have it
    retry_count      INTEGER NOT NULL DEFAULT 0,
    session_id       UUID,                           -- the visitor's, to forget what waits when they refuse
    claim            UUID,                           -- the token of the worker that sends it, until next_attempt_at
    next_attempt_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_error       TEXT,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {analytics_events_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT analytics_events_name_length CHECK (length(event_name) BETWEEN 1 AND 50),
    CONSTRAINT analytics_events_payload_object CHECK (jsonb_typeof(payload) = 'object'),
    CONSTRAINT analytics_events_sent_list CHECK (jsonb_typeof(providers_sent) = 'array'),
    CONSTRAINT analytics_events_retries_positive CHECK (retry_count >= 0),
    CONSTRAINT analytics_events_error_length CHECK (length(last_error) <= 500)
) WITH (fillfactor = 50,
        autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0,
        toast.autovacuum_vacuum_threshold = 200, toast.autovacuum_vacuum_scale_factor = 0);
-- In the order in which rows are claimed.
CREATE INDEX {idx_events_status} ON {analytics_events} (tenant_id, next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX {idx_analytics_events_failed} ON {analytics_events} (tenant_id, next_attempt_at, id) WHERE status = 'failed';
CREATE INDEX {idx_analytics_events_session} ON {analytics_events} (tenant_id, session_id) WHERE session_id IS NOT NULL;

-- Which orders were queued already: an event of the outbox may be brought twice, and the row that it became is gone by
-- then. Goes with the row of the outbox.
CREATE TABLE {conversion_marks} (
    tenant_id   TEXT NOT NULL,
    order_id    UUID NOT NULL,
    webhook_id  UUID NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {conversion_marks_pkey} PRIMARY KEY (tenant_id, order_id),
    CONSTRAINT conversion_marks_webhook_fkey FOREIGN KEY (tenant_id, webhook_id)
        REFERENCES {webhook_queue} (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX {idx_conversion_marks_webhook} ON {conversion_marks} (tenant_id, webhook_id);
