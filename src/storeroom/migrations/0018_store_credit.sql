-- Store credit: what a shop owes an account, spent at checkout like any payment.
-- Lock: none on existing data (new tables; a new value of an enum). Run before the new code.

ALTER TYPE {payment_method_type} ADD VALUE IF NOT EXISTS 'store_credit' AFTER 'stripe';
CREATE TYPE {credit_reason} AS ENUM ('granted', 'refunded', 'spent', 'given_back', 'withdrawn');

CREATE TABLE {store_credits} (
    tenant_id   TEXT NOT NULL,
    user_id     UUID NOT NULL,
    currency    TEXT NOT NULL,
    balance     BIGINT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {store_credits_pkey} PRIMARY KEY (tenant_id, user_id, currency),
    CONSTRAINT store_credits_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id),
    CONSTRAINT store_credits_balance_positive CHECK (balance >= 0)
) WITH (fillfactor = 70);

-- Every change of a balance; their sum is the balance.
CREATE TABLE {store_credit_entries} (
    tenant_id   TEXT NOT NULL,
    id          UUID NOT NULL,
    user_id     UUID NOT NULL,
    currency    TEXT NOT NULL,
    amount      BIGINT NOT NULL,                -- below zero where it was taken
    reason      {credit_reason} NOT NULL,
    order_id    UUID,
    payment_id  UUID,
    refund_id   UUID,                           -- no foreign key: refunds name their payment, and it its order
    actor_kind  {actor_kind} NOT NULL,
    actor_id    UUID,
    note        TEXT,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {store_credit_entries_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT store_credit_entries_balance_fkey FOREIGN KEY (tenant_id, user_id, currency)
        REFERENCES {store_credits} (tenant_id, user_id, currency),
    CONSTRAINT store_credit_entries_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id),
    CONSTRAINT store_credit_entries_payment_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES {payments} (tenant_id, id),
    CONSTRAINT store_credit_entries_amount_given CHECK (amount <> 0),
    CONSTRAINT store_credit_entries_note_length CHECK (length(note) <= 500)
);
CREATE INDEX {idx_store_credit_entries_user} ON {store_credit_entries} (tenant_id, user_id, currency, id DESC);
CREATE INDEX {idx_store_credit_entries_order} ON {store_credit_entries} (tenant_id, order_id) WHERE order_id IS NOT NULL;
CREATE INDEX {idx_store_credit_entries_payment} ON {store_credit_entries} (tenant_id, payment_id) WHERE payment_id IS NOT NULL;
CREATE UNIQUE INDEX {store_credit_entries_refund_unique} ON {store_credit_entries} (tenant_id, refund_id)
    WHERE refund_id IS NOT NULL;
