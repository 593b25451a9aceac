-- Subscriptions: who may use a product until when, what was paid for the time after that, and what became of each.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {subscription_status} AS ENUM ('trialing', 'active', 'past_due', 'unpaid', 'cancelled', 'expired');
CREATE TYPE {billing_period} AS ENUM ('day', 'week', 'month', 'year');
CREATE TYPE {subscription_payment} AS ENUM ('stripe', 'x402', 'manual');
CREATE TYPE {subscription_event} AS ENUM (
    'created', 'changed', 'renewed', 'cancellation_scheduled', 'reactivated', 'past_due', 'unpaid', 'cancelled', 'expired');

CREATE TABLE {subscriptions} (
    tenant_id               TEXT NOT NULL,
    id                      UUID NOT NULL,
    product_id              UUID NOT NULL,
    user_id                 UUID,                              -- an account; a wallet alone may subscribe too
    wallet                  TEXT COLLATE "C",
    stripe_customer_id      TEXT COLLATE "C",
    stripe_subscription_id  TEXT COLLATE "C",
    payment_method          {subscription_payment} NOT NULL,
    billing_period          {billing_period} NOT NULL,
    billing_interval        INTEGER NOT NULL DEFAULT 1,
    status                  {subscription_status} NOT NULL,
    anchor_at               TIMESTAMPTZ NOT NULL,              -- every period is counted from here: 31 January, 28 February, 31 March
    current_period_start    TIMESTAMPTZ NOT NULL,
    current_period_end      TIMESTAMPTZ NOT NULL,              -- from then on there is no access
    trial_end               TIMESTAMPTZ,
    grace_hours             INTEGER NOT NULL DEFAULT 0,        -- so long after the end a payment still finds it, before it expires
    cancelled_at            TIMESTAMPTZ,
    cancel_at_period_end    BOOLEAN NOT NULL DEFAULT FALSE,
    metadata                JSONB NOT NULL DEFAULT '{}',
    created_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at              TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {subscriptions_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {subscriptions_stripe_unique} UNIQUE (tenant_id, stripe_subscription_id),
    CONSTRAINT subscriptions_product_fkey FOREIGN KEY (tenant_id, product_id) REFERENCES {products} (tenant_id, id),
    CONSTRAINT subscriptions_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id),
    CONSTRAINT subscriptions_holder_given CHECK (num_nonnulls(user_id, wallet, stripe_customer_id) > 0),
    CONSTRAINT subscriptions_wallet_length CHECK (length(wallet) BETWEEN 1 AND 128),
    CONSTRAINT subscriptions_stripe_length CHECK (
        length(stripe_customer_id) BETWEEN 1 AND 255 AND length(stripe_subscription_id) BETWEEN 1 AND 255),
    CONSTRAINT subscriptions_stripe_paid CHECK (stripe_subscription_id IS NULL OR payment_method = 'stripe'),
    CONSTRAINT subscriptions_interval_range CHECK (billing_interval BETWEEN 1 AND 1095),
    CONSTRAINT subscriptions_grace_range CHECK (grace_hours BETWEEN 0 AND 2160),
    CONSTRAINT subscriptions_period_order CHECK (current_period_end > current_period_start)
);
CREATE INDEX {idx_subscriptions_wallet_product} ON {subscriptions} (tenant_id, wallet, product_id);
CREATE INDEX {idx_subscriptions_stripe_customer} ON {subscriptions} (tenant_id, stripe_customer_id, id DESC);
CREATE INDEX {idx_subscriptions_status} ON {subscriptions} (tenant_id, status, id DESC);
CREATE INDEX {idx_subscriptions_period_end} ON {subscriptions} (tenant_id, current_period_end, id)
    WHERE status IN ('trialing', 'active', 'past_due');
CREATE INDEX {idx_subscriptions_product} ON {subscriptions} (tenant_id, product_id, id DESC);
CREATE INDEX {idx_subscriptions_user} ON {subscriptions} (tenant_id, user_id, id DESC);

-- What was paid for one more period, by the payment's own name, so that it counts once. A payment that came early waits.
CREATE TABLE {subscription_payments} (
    tenant_id          TEXT NOT NULL,
    payment_reference  TEXT COLLATE "C" NOT NULL,
    subscription_id    UUID NOT NULL,
    period_start       TIMESTAMPTZ,                            -- of the period that it paid; NULL: it waits
    period_end         TIMESTAMPTZ,
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {subscription_payments_pkey} PRIMARY KEY (tenant_id, payment_reference),
    CONSTRAINT subscription_payments_subscription_fkey FOREIGN KEY (tenant_id, subscription_id)
        REFERENCES {subscriptions} (tenant_id, id),
    CONSTRAINT subscription_payments_reference_length CHECK (length(payment_reference) BETWEEN 1 AND 255),
    CONSTRAINT subscription_payments_period_whole CHECK ((period_start IS NULL) = (period_end IS NULL))
);
CREATE INDEX {idx_subscription_payments_subscription} ON {subscription_payments} (tenant_id, subscription_id, created_at);

-- What became of a subscription, in order. The service adds rows and changes none.
CREATE TABLE {subscription_history} (
    tenant_id        TEXT NOT NULL,
    id               UUID NOT NULL,
    subscription_id  UUID NOT NULL,
    event            {subscription_event} NOT NULL,
    from_status      {subscription_status},                    -- NULL for the first
    to_status        {subscription_status} NOT NULL,
    period_start     TIMESTAMPTZ NOT NULL,                     -- as they were afterwards
    period_end       TIMESTAMPTZ NOT NULL,
    actor_kind       {actor_kind} NOT NULL,
    actor_id         UUID,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {subscription_history_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT subscription_history_subscription_fkey FOREIGN KEY (tenant_id, subscription_id)
        REFERENCES {subscriptions} (tenant_id, id)
);
CREATE INDEX {idx_subscription_history_subscription} ON {subscription_history} (tenant_id, subscription_id, id);
