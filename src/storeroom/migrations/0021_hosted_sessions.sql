-- Payments taken on a provider's page: what Stripe calls a checkout session, and transactions of Mastercard's gateway.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {stripe_session_status} AS ENUM ('pending', 'completed', 'expired');
CREATE TYPE {mpgs_payment_status} AS ENUM (
    'initiated', 'pending', 'authorized', 'captured', 'failed', 'cancelled', 'expired', 'refunded');

-- One for a payment at most. What arrived may be in a payment of its own, where the one it was meant for had ended.
CREATE TABLE {stripe_sessions} (
    tenant_id           TEXT NOT NULL DEFAULT 'default',
    id                  TEXT COLLATE "C" NOT NULL,      -- Stripe's
    resource_id         TEXT COLLATE "C" NOT NULL,      -- what is paid for: an order's number, a product's id
    status              {stripe_session_status} NOT NULL DEFAULT 'pending',
    amount              BIGINT NOT NULL,                -- what was asked
    currency            TEXT NOT NULL,
    customer_email      TEXT,
    metadata            JSONB NOT NULL DEFAULT '{}',
    gateway_id          TEXT,                           -- through which it was opened
    payment_id          UUID,
    url                 TEXT,                           -- the page
    payment_intent      TEXT COLLATE "C",               -- Stripe's name of the payment, which refunds and disputes bear
    received_amount     BIGINT,                         -- what arrived
    received_currency   TEXT,
    settled_payment_id  UUID,                           -- the payment that holds it
    remark              TEXT,                           -- why what arrived is not simply what was asked
    polled_at           TIMESTAMPTZ,                    -- Stripe was asked last
    expires_at          TIMESTAMPTZ,
    completed_at        TIMESTAMPTZ,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {stripe_sessions_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT stripe_sessions_payment_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES {payments} (tenant_id, id),
    CONSTRAINT stripe_sessions_settled_fkey FOREIGN KEY (tenant_id, settled_payment_id)
        REFERENCES {payments} (tenant_id, id),
    CONSTRAINT stripe_sessions_gateway_fkey FOREIGN KEY (tenant_id, gateway_id)
        REFERENCES {payment_gateways} (tenant_id, id),
    CONSTRAINT stripe_sessions_id_length CHECK (length(id) BETWEEN 1 AND 255),
    CONSTRAINT stripe_sessions_resource_length CHECK (length(resource_id) BETWEEN 1 AND 255),
    CONSTRAINT stripe_sessions_amount_positive CHECK (amount >= 0),
    CONSTRAINT stripe_sessions_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT stripe_sessions_completed_when CHECK ((status = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT stripe_sessions_received_whole CHECK ((received_amount IS NULL) = (received_currency IS NULL))
);
CREATE INDEX {idx_stripe_sessions_tenant_resource} ON {stripe_sessions} (tenant_id, resource_id, created_at DESC, id DESC);
CREATE INDEX {idx_stripe_sessions_tenant_status} ON {stripe_sessions} (tenant_id, status, created_at DESC, id DESC);
CREATE INDEX {idx_stripe_sessions_created} ON {stripe_sessions} (tenant_id, created_at DESC, id DESC);
CREATE INDEX {idx_stripe_sessions_open} ON {stripe_sessions} (tenant_id, expires_at) WHERE status = 'pending';
CREATE UNIQUE INDEX {stripe_sessions_payment_unique} ON {stripe_sessions} (tenant_id, payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX {idx_stripe_sessions_settled} ON {stripe_sessions} (tenant_id, settled_payment_id)
    WHERE settled_payment_id IS NOT NULL;
CREATE INDEX {idx_stripe_sessions_gateway} ON {stripe_sessions} (tenant_id, gateway_id) WHERE gateway_id IS NOT NULL;
CREATE INDEX {idx_stripe_sessions_intent} ON {stripe_sessions} (tenant_id, payment_intent) WHERE payment_intent IS NOT NULL;

-- What Mastercard's gateway calls an order is one row: a retry is a row of its own and another order there.
CREATE TABLE {mpgs_transactions} (
    tenant_id               TEXT NOT NULL,
    id                      UUID NOT NULL,
    legacy_id               BIGINT,                     -- the row's number in the system it came from
    order_id                UUID,
    payment_id              UUID,
    order_ref_id            TEXT COLLATE "C",           -- the order, as the gateway knows it
    order_increment_id      TEXT COLLATE "C",           -- the order's number
    transaction_reference   TEXT COLLATE "C",           -- the payment's reference
    gateway_id              TEXT,                       -- through which it was opened
    merchant_id             TEXT,
    session_id              TEXT COLLATE "C" NOT NULL,
    session_version         TEXT,
    success_indicator       TEXT,                       -- what the buyer's return must bring to count as paid
    result_indicator        TEXT COLLATE "C",           -- what it brought
    amount                  BIGINT NOT NULL,            -- what was asked
    currency                TEXT NOT NULL,
    received_amount         BIGINT,                     -- what arrived
    received_currency       TEXT,
    settled_payment_id      UUID,                       -- the payment that holds it
    payment_status          {mpgs_payment_status} NOT NULL DEFAULT 'initiated',
    order_status            TEXT,                       -- in the gateway's words
    gateway_code            TEXT,
    gateway_transaction_id  TEXT,
    acquirer_code           TEXT,
    authorization_code      TEXT,
    card_brand              TEXT,
    card_last4              TEXT,
    three_ds_status         TEXT,
    transaction_receipt     TEXT,
    failure_reason          TEXT,
    retry_of                UUID,                       -- the failed one that this one repeats
    raw_response            JSONB,                      -- the gateway's last answer, without card numbers and codes
    return_url              TEXT,                       -- where the buyer is sent afterwards
    polled_at               TIMESTAMPTZ,
    expires_at              TIMESTAMPTZ,
    paid_at                 TIMESTAMPTZ,
    domain_id               UUID,                       -- where it was bought; no foreign key: a domain may go
    created_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at              TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {mpgs_transactions_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {mpgs_transactions_session_unique} UNIQUE (tenant_id, session_id),
    CONSTRAINT mpgs_transactions_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id),
    CONSTRAINT mpgs_transactions_payment_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES {payments} (tenant_id, id),
    CONSTRAINT mpgs_transactions_settled_fkey FOREIGN KEY (tenant_id, settled_payment_id)
        REFERENCES {payments} (tenant_id, id),
    CONSTRAINT mpgs_transactions_gateway_fkey FOREIGN KEY (tenant_id, gateway_id)
        REFERENCES {payment_gateways} (tenant_id, id),
    CONSTRAINT mpgs_transactions_retry_fkey FOREIGN KEY (tenant_id, retry_of)
        REFERENCES {mpgs_transactions} (tenant_id, id),
    CONSTRAINT mpgs_transactions_session_length CHECK (length(session_id) BETWEEN 1 AND 255),
    CONSTRAINT mpgs_transactions_amount_positive CHECK (amount >= 0),
    CONSTRAINT mpgs_transactions_last4_form CHECK (card_last4 ~ '^[0-9]{4}$'),
    CONSTRAINT mpgs_transactions_no_retry_of_itself CHECK (retry_of <> id),
    CONSTRAINT mpgs_transactions_raw_object CHECK (jsonb_typeof(raw_response) = 'object'),
    CONSTRAINT mpgs_transactions_received_whole CHECK ((received_amount IS NULL) = (received_currency IS NULL))
);
CREATE UNIQUE INDEX {mpgs_transactions_legacy_unique} ON {mpgs_transactions} (tenant_id, legacy_id) WHERE legacy_id IS NOT NULL;
CREATE UNIQUE INDEX {mpgs_transactions_payment_unique} ON {mpgs_transactions} (tenant_id, payment_id)
    WHERE payment_id IS NOT NULL;
CREATE UNIQUE INDEX {mpgs_transactions_retry_unique} ON {mpgs_transactions} (tenant_id, retry_of)
    WHERE retry_of IS NOT NULL;                         -- what failed is repeated once; the repetition may fail too
CREATE INDEX {idx_mpgs_transactions_order} ON {mpgs_transactions} (tenant_id, order_id, id DESC);
CREATE INDEX {idx_mpgs_transactions_reference} ON {mpgs_transactions} (tenant_id, transaction_reference, id DESC);
CREATE INDEX {idx_mpgs_transactions_status} ON {mpgs_transactions} (tenant_id, payment_status, created_at);
CREATE INDEX {idx_mpgs_transactions_open} ON {mpgs_transactions} (tenant_id, created_at)
    WHERE payment_status IN ('initiated', 'pending', 'authorized');
CREATE INDEX {idx_mpgs_transactions_settled} ON {mpgs_transactions} (tenant_id, settled_payment_id)
    WHERE settled_payment_id IS NOT NULL;
CREATE INDEX {idx_mpgs_transactions_gateway} ON {mpgs_transactions} (tenant_id, gateway_id) WHERE gateway_id IS NOT NULL;
