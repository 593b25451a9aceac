-- Payments: money that moved, or was asked for. An order has none, one or many.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {payment_status} AS ENUM (
    'pending', 'awaiting_verification', 'processing', 'completed', 'failed', 'cancelled', 'refunded',
    'partially_refunded', 'expired');
CREATE TYPE {payment_method_type} AS ENUM (
    'zelle', 'cashapp', 'venmo', 'wire_transfer', 'check', 'crypto', 'erp_propello', 'manual_other',
    'card', 'wallet', 'cod', 'payhere', 'sslcommerz', 'amarpay', 'mpgs', 'stripe');
CREATE TYPE {attempt_status} AS ENUM ('initiated', 'submitted', 'verified', 'failed');
CREATE TYPE {attempt_action} AS ENUM ('customer_submit', 'admin_verify', 'admin_reject', 'auto_expire');
CREATE TYPE {attempt_actor} AS ENUM ('customer', 'admin', 'system');

CREATE TABLE {payment_methods} (
    tenant_id                  TEXT NOT NULL,
    id                         UUID NOT NULL,
    code                       TEXT NOT NULL,          -- what a checkout names
    method_type                {payment_method_type} NOT NULL,
    name                       TEXT NOT NULL,
    is_active                  BOOLEAN NOT NULL DEFAULT TRUE,
    is_manual                  BOOLEAN NOT NULL DEFAULT TRUE,   -- an administrator confirms
    instructions               TEXT NOT NULL,
    payment_details            JSONB NOT NULL,         -- where to send the money; meant to be read
    min_amount                 BIGINT NOT NULL DEFAULT 0,
    max_amount                 BIGINT,
    currency                   TEXT NOT NULL,
    confirmation_window_hours  INTEGER NOT NULL DEFAULT 48,
    sort_order                 INTEGER NOT NULL DEFAULT 0,
    icon_url                   TEXT,
    created_at                 TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at                 TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {payment_methods_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {payment_methods_code_unique} UNIQUE (tenant_id, code),
    CONSTRAINT payment_methods_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT payment_methods_amounts_order CHECK (min_amount >= 0 AND max_amount >= min_amount),
    CONSTRAINT payment_methods_window_range CHECK (confirmation_window_hours BETWEEN 1 AND 8760)
);
CREATE INDEX {idx_payment_methods_active} ON {payment_methods} (tenant_id, is_active, sort_order);

CREATE TABLE {payments} (
    tenant_id           TEXT NOT NULL,
    id                  UUID NOT NULL,
    payment_reference   TEXT COLLATE "C" NOT NULL,
    order_id            UUID NOT NULL,
    user_id             UUID,                          -- as on the order
    payment_method_id   UUID NOT NULL,
    amount              BIGINT NOT NULL,               -- what was asked
    currency            TEXT NOT NULL,
    received_amount     BIGINT,                        -- what arrived; set when completed
    refunded_amount     BIGINT NOT NULL DEFAULT 0,
    status              {payment_status} NOT NULL DEFAULT 'pending',
    customer_reference  TEXT,
    proof_file_path     TEXT,                          -- in the file store; read through the service only
    proof_content_type  TEXT,
    customer_notes      TEXT,
    verified_by         UUID,
    verified_at         TIMESTAMPTZ,
    verification_notes  TEXT,
    erp_payment_id      TEXT,
    erp_synced_at       TIMESTAMPTZ,
    metadata            JSONB NOT NULL DEFAULT '{}',
    ip_address          INET,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at          TIMESTAMPTZ,
    completed_at        TIMESTAMPTZ,
    failed_at           TIMESTAMPTZ,

    CONSTRAINT {payments_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {payments_reference_unique} UNIQUE (tenant_id, payment_reference),
    CONSTRAINT payments_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id),
    CONSTRAINT payments_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id),
    CONSTRAINT payments_method_fkey FOREIGN KEY (tenant_id, payment_method_id) REFERENCES {payment_methods} (tenant_id, id),
    CONSTRAINT payments_verifier_fkey FOREIGN KEY (tenant_id, verified_by) REFERENCES {users} (tenant_id, id),
    CONSTRAINT payments_reference_length CHECK (length(payment_reference) BETWEEN 1 AND 30),
    CONSTRAINT payments_amount_positive CHECK (amount > 0),
    CONSTRAINT payments_received_positive CHECK (received_amount > 0),
    CONSTRAINT payments_received_when_completed CHECK (
        (status IN ('completed', 'refunded', 'partially_refunded')) = (received_amount IS NOT NULL)
        AND (received_amount IS NULL) = (completed_at IS NULL)),
    CONSTRAINT payments_refunded_range CHECK (refunded_amount BETWEEN 0 AND coalesce(received_amount, 0))
);
CREATE INDEX {idx_payments_order} ON {payments} (tenant_id, order_id, id);
CREATE INDEX {idx_payments_user} ON {payments} (tenant_id, user_id, id DESC);
CREATE INDEX {idx_payments_status} ON {payments} (tenant_id, status, id DESC);
CREATE INDEX {idx_payments_method} ON {payments} (tenant_id, payment_method_id);
CREATE INDEX {idx_payments_verifier} ON {payments} (tenant_id, verified_by) WHERE verified_by IS NOT NULL;
CREATE INDEX {idx_payments_pending} ON {payments} (tenant_id, status, id, expires_at)
    WHERE status IN ('pending', 'awaiting_verification');
CREATE INDEX {idx_payments_erp_sync} ON {payments} (tenant_id, erp_synced_at) WHERE erp_payment_id IS NULL AND status = 'completed';

CREATE TABLE {payment_attempts} (
    tenant_id          TEXT NOT NULL,
    id                 UUID NOT NULL,
    payment_id         UUID NOT NULL,
    attempt_number     INTEGER NOT NULL DEFAULT 1,
    status             {attempt_status} NOT NULL,
    action             {attempt_action} NOT NULL,
    performed_by       UUID,
    performed_by_type  {attempt_actor} NOT NULL,
    success            BOOLEAN NOT NULL,
    failure_reason     TEXT,
    request_data       JSONB,
    response_data      JSONB,
    ip_address         INET,
    user_agent         TEXT,
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {payment_attempts_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {payment_attempts_number_unique} UNIQUE (tenant_id, payment_id, attempt_number),
    CONSTRAINT payment_attempts_payment_fkey FOREIGN KEY (tenant_id, payment_id)
        REFERENCES {payments} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT payment_attempts_user_fkey FOREIGN KEY (tenant_id, performed_by) REFERENCES {users} (tenant_id, id)
);
CREATE INDEX {idx_payment_attempts_created} ON {payment_attempts} (tenant_id, created_at DESC, id DESC);
CREATE INDEX {idx_payment_attempts_user} ON {payment_attempts} (tenant_id, performed_by) WHERE performed_by IS NOT NULL;
