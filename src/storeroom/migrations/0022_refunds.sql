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
