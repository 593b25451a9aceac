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
