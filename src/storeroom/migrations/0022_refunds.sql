-- Money that goes back.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {refund_status} AS ENUM ('pending', 'completed', 'failed');
CREATE TYPE {refund_method} AS ENUM ('original_method', 'store_credit', 'check', 'bank_transfer', 'other', 'chargeback');

-- A pending refund is promised: with the completed ones it stays within what the payment brought.
CREATE TABLE {refunds} (
    tenant_id         TEXT NOT NULL,
    id                UUID NOT NULL,
    refund_reference  TEXT COLLATE "C" NOT NULL,
    payment_id        UUID NOT NULL,
    order_id          UUID NOT NULL,                 -- the payment's
    amount            BIGINT NOT NULL,
    currency          TEXT NOT NULL,
    status            {refund_status} NOT NULL DEFAULT 'pending',
    reason            TEXT NOT NULL,
    reason_details    TEXT,
    requested_by      UUID,                          -- NULL: the system
    processed_by      UUID,
    processed_at      TIMESTAMPTZ,                   -- completed or failed
    refund_method     {refund_method},
    refund_details    JSONB NOT NULL DEFAULT '{}',
    failure_reason    TEXT,
    erp_refund_id     TEXT,
    erp_synced_at     TIMESTAMPTZ,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at        TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {refunds_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {refunds_reference_unique} UNIQUE (tenant_id, refund_reference),
    CONSTRAINT refunds_payment_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES {payments} (tenant_id, id),
    CONSTRAINT refunds_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id),
    CONSTRAINT refunds_requester_fkey FOREIGN KEY (tenant_id, requested_by) REFERENCES {users} (tenant_id, id),
    CONSTRAINT refunds_processor_fkey FOREIGN KEY (tenant_id, processed_by) REFERENCES {users} (tenant_id, id),
    CONSTRAINT refunds_amount_positive CHECK (amount > 0),
    CONSTRAINT refunds_reference_length CHECK (length(refund_reference) BETWEEN 1 AND 30),
    CONSTRAINT refunds_reason_length CHECK (length(reason) BETWEEN 1 AND 100 AND length(reason_details) <= 2000),
    CONSTRAINT refunds_details_object CHECK (jsonb_typeof(refund_details) = 'object'),
    CONSTRAINT refunds_method_given CHECK (status <> 'completed' OR refund_method IS NOT NULL),
    CONSTRAINT refunds_failure_told CHECK ((status = 'failed') = (failure_reason IS NOT NULL)),
    CONSTRAINT refunds_processed_dated CHECK ((status = 'pending') = (processed_at IS NULL)),
    CONSTRAINT refunds_erp_length CHECK (length(erp_refund_id) <= 50)
);
CREATE INDEX {idx_refunds_payment} ON {refunds} (tenant_id, payment_id, id);
CREATE INDEX {idx_refunds_order} ON {refunds} (tenant_id, order_id, id);
CREATE INDEX {idx_refunds_status} ON {refunds} (tenant_id, status, id DESC);
CREATE INDEX {idx_refunds_requester} ON {refunds} (tenant_id, requested_by) WHERE requested_by IS NOT NULL;
CREATE INDEX {idx_refunds_processor} ON {refunds} (tenant_id, processed_by) WHERE processed_by IS NOT NULL;
CREATE INDEX {idx_refunds_erp_sync} ON {refunds} (tenant_id, erp_synced_at) WHERE erp_refund_id IS NULL AND status = 'completed';

-- Which units of which line a refund is for. Without any it is about money alone.
CREATE TABLE {refund_items} (
    tenant_id      TEXT NOT NULL,
    refund_id      UUID NOT NULL,
    order_item_id  UUID NOT NULL,
    quantity       INTEGER NOT NULL,
    restock        BOOLEAN NOT NULL,                 -- the units are for sale again once the refund is completed
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {refund_items_pkey} PRIMARY KEY (tenant_id, refund_id, order_item_id),
    CONSTRAINT refund_items_refund_fkey FOREIGN KEY (tenant_id, refund_id) REFERENCES {refunds} (tenant_id, id),
    CONSTRAINT refund_items_line_fkey FOREIGN KEY (tenant_id, order_item_id) REFERENCES {order_items} (tenant_id, id),
    CONSTRAINT refund_items_quantity_positive CHECK (quantity BETWEEN 1 AND 10000)
);
CREATE INDEX {idx_refund_items_line} ON {refund_items} (tenant_id, order_item_id);

-- One-time permissions for dangerous acts. A consumed one stays until its time is over, so that a second use is told apart
-- from a nonce that never was.
CREATE TABLE {admin_nonces} (
    tenant_id    TEXT NOT NULL DEFAULT 'default',
    id           TEXT COLLATE "C" NOT NULL,
    purpose      TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at   TIMESTAMPTZ NOT NULL,
    consumed_at  TIMESTAMPTZ,

    CONSTRAINT {admin_nonces_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT admin_nonces_lengths CHECK (length(id) BETWEEN 1 AND 255 AND length(purpose) BETWEEN 1 AND 100),
    CONSTRAINT admin_nonces_future CHECK (expires_at > created_at)
);
-- An index on tenant_id alone is the beginning of this one and of the primary key, so there is none.
CREATE INDEX {idx_admin_nonces_tenant_expires} ON {admin_nonces} (tenant_id, expires_at);

CREATE TYPE {refund_quote_status} AS ENUM ('pending', 'approved', 'denied', 'processed');

-- The decision to give something back of a purchase that another system made: how much, in which token, to which wallet. It
-- is good until `expires_at` unless somebody approved it before.
CREATE TABLE {refund_quotes} (
    tenant_id             TEXT NOT NULL,
    id                    TEXT COLLATE "C" NOT NULL,
    original_purchase_id  TEXT COLLATE "C" NOT NULL,   -- the signature of the payment, or the purchase's id
    recipient_wallet      TEXT COLLATE "C" NOT NULL,
    amount                BIGINT NOT NULL,             -- of the smallest unit of amount_asset
    amount_asset          TEXT NOT NULL,
    token                 TEXT NOT NULL,               -- what is sent, as its chain names and counts it
    token_mint            TEXT COLLATE "C",
    token_decimals        SMALLINT NOT NULL,
    status                {refund_quote_status} NOT NULL DEFAULT 'pending',
    processed_by          TEXT,
    processed_at          TIMESTAMPTZ,
    signature             TEXT COLLATE "C",
    reason                TEXT,
    metadata              JSONB NOT NULL DEFAULT '{}',
    created_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at            TIMESTAMPTZ NOT NULL,

    CONSTRAINT {refund_quotes_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT refund_quotes_amount_positive CHECK (amount > 0),
    CONSTRAINT refund_quotes_decimals_range CHECK (token_decimals BETWEEN 0 AND 9),
    CONSTRAINT refund_quotes_lengths CHECK (
        length(id) BETWEEN 1 AND 255 AND length(original_purchase_id) BETWEEN 1 AND 255
        AND length(recipient_wallet) BETWEEN 1 AND 128 AND length(token) BETWEEN 1 AND 50 AND length(token_mint) <= 128
        AND length(reason) <= 2000 AND length(processed_by) BETWEEN 1 AND 255 AND length(signature) BETWEEN 1 AND 255),
    CONSTRAINT refund_quotes_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT refund_quotes_processed_whole CHECK (
        (status = 'processed') = (processed_at IS NOT NULL) AND (processed_at IS NULL) = (processed_by IS NULL)
        AND (processed_at IS NULL) = (signature IS NULL))
);
CREATE UNIQUE INDEX {refund_quotes_signature_unique} ON {refund_quotes} (tenant_id, signature) WHERE signature IS NOT NULL;
CREATE INDEX {idx_refund_quotes_tenant} ON {refund_quotes} (tenant_id, created_at, id) WHERE status IN ('pending', 'approved');
CREATE INDEX {idx_refund_quotes_tenant_expires} ON {refund_quotes} (tenant_id, expires_at) WHERE status = 'pending';
CREATE INDEX {idx_refund_quotes_tenant_original} ON {refund_quotes} (tenant_id, original_purchase_id, created_at DESC, id DESC);

CREATE TYPE {dispute_status} AS ENUM ('open', 'won', 'lost');

-- What a buyer told their bank of a payment. A lost one took the money: its refund says how much of it was still there.
CREATE TABLE {disputes} (
    tenant_id            TEXT NOT NULL,
    id                   UUID NOT NULL,
    provider             TEXT NOT NULL,
    provider_dispute_id  TEXT COLLATE "C" NOT NULL,
    payment_id           UUID NOT NULL,
    amount               BIGINT NOT NULL,
    currency             TEXT NOT NULL,
    reason               TEXT NOT NULL,
    status               {dispute_status} NOT NULL DEFAULT 'open',
    refund_id            UUID,
    opened_at            TIMESTAMPTZ NOT NULL,
    closed_at            TIMESTAMPTZ,
    created_at           TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at           TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {disputes_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {disputes_provider_unique} UNIQUE (tenant_id, provider, provider_dispute_id),
    CONSTRAINT disputes_payment_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES {payments} (tenant_id, id),
    CONSTRAINT disputes_refund_fkey FOREIGN KEY (tenant_id, refund_id) REFERENCES {refunds} (tenant_id, id),
    CONSTRAINT disputes_amount_positive CHECK (amount > 0),
    CONSTRAINT disputes_lengths CHECK (
        length(provider) BETWEEN 1 AND 50 AND length(provider_dispute_id) BETWEEN 1 AND 255
        AND length(reason) BETWEEN 1 AND 255),
    CONSTRAINT disputes_closed_dated CHECK ((status = 'open') = (closed_at IS NULL)),
    CONSTRAINT disputes_refund_when_lost CHECK (refund_id IS NULL OR status = 'lost')
);
CREATE INDEX {idx_disputes_payment} ON {disputes} (tenant_id, payment_id, id);
CREATE INDEX {idx_disputes_status} ON {disputes} (tenant_id, status, id DESC);
CREATE UNIQUE INDEX {disputes_refund_unique} ON {disputes} (tenant_id, refund_id) WHERE refund_id IS NOT NULL;

-- The money of each order, from the facts: what payments brought and refunds took, never what a summary says.
-- due: what is still asked for; due_back: what is the buyer's again. Nothing is asked for of an order that ended.
CREATE VIEW {order_ledger} WITH (security_invoker = true) AS
SELECT o.tenant_id,
       o.id AS order_id,
       o.order_number,
       o.user_id,
       o.status,
       o.currency,
       o.total_amount AS total,
       coalesce(p.amount, 0)::bigint AS came_in,
       coalesce(r.completed, 0)::bigint AS went_back,
       (coalesce(p.amount, 0) - coalesce(r.completed, 0))::bigint AS kept,
       coalesce(r.pending, 0)::bigint AS promised,
       CASE WHEN o.status IN ('cancelled', 'refunded', 'partially_refunded') THEN 0
            ELSE greatest(o.total_amount - coalesce(p.amount, 0) + coalesce(r.completed, 0), 0) END::bigint AS due,
       CASE WHEN o.status = 'cancelled' THEN coalesce(p.amount, 0) - coalesce(r.completed, 0)
            ELSE greatest(coalesce(p.amount, 0) - coalesce(r.completed, 0) - o.total_amount, 0) END::bigint AS due_back
  FROM {orders} o
  LEFT JOIN (SELECT tenant_id, order_id, currency, sum(received_amount) AS amount
               FROM {payments}
              WHERE received_amount IS NOT NULL
              GROUP BY tenant_id, order_id, currency) p
    ON p.tenant_id = o.tenant_id AND p.order_id = o.id AND p.currency = o.currency
  LEFT JOIN (SELECT tenant_id, order_id, currency, sum(amount) FILTER (WHERE status = 'completed') AS completed,
                    sum(amount) FILTER (WHERE status = 'pending') AS pending
               FROM {refunds}
              GROUP BY tenant_id, order_id, currency) r
    ON r.tenant_id = o.tenant_id AND r.order_id = o.id AND r.currency = o.currency;

-- The same for a whole shop, one row for each currency: amounts of two are never added.
CREATE VIEW {tenant_ledger} WITH (security_invoker = true) AS
SELECT tenant_id,
       currency,
       count(*)::bigint AS orders,
       sum(total)::bigint AS total,
       sum(came_in)::bigint AS came_in,
       sum(went_back)::bigint AS went_back,
       sum(kept)::bigint AS kept,
       sum(promised)::bigint AS promised,
       sum(due)::bigint AS due,
       sum(due_back)::bigint AS due_back
  FROM {order_ledger}
 GROUP BY tenant_id, currency;
