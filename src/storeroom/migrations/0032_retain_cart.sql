-- Carts that somebody is reminded of, and links to what was bought to be downloaded.
-- Lock: ACCESS EXCLUSIVE on carts, taken for a column without a default, and SHARE ROW EXCLUSIVE on orders, order_items, carts
-- and domains for the foreign keys of new tables, which are empty: all held until the commit, a moment later, and nothing is
-- rewritten or read. Run before the new code.

ALTER TABLE {carts} ADD COLUMN domain TEXT;        -- the host it was made at, as orders have it

-- How long after a payment failed, or a cart was left, its owner is reminded. What a domain does not say holds as the
-- defaults do; the row without a domain is for carts of no known one.
CREATE TABLE {retain_cart_configs} (
    tenant_id           TEXT NOT NULL,
    id                  UUID NOT NULL,
    domain_id           UUID,
    retry_time_seconds  INTEGER NOT NULL DEFAULT 7200,
    max_retries         INTEGER NOT NULL DEFAULT 1,
    bcc_emails          TEXT[] NOT NULL DEFAULT '{}',
    is_active           BOOLEAN NOT NULL DEFAULT TRUE,    -- FALSE: nobody is reminded
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {retain_cart_configs_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {retain_cart_configs_domain_unique} UNIQUE NULLS NOT DISTINCT (tenant_id, domain_id),
    CONSTRAINT retain_cart_configs_domain_fkey FOREIGN KEY (tenant_id, domain_id)
        REFERENCES {domains} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT retain_cart_configs_time_range CHECK (retry_time_seconds BETWEEN 0 AND 2592000),
    CONSTRAINT retain_cart_configs_retries_range CHECK (max_retries BETWEEN 0 AND 10),
    CONSTRAINT retain_cart_configs_bcc_few CHECK (cardinality(bcc_emails) <= 10)
);

CREATE TYPE {cart_reminder_kind} AS ENUM ('payment_failed', 'abandoned');
CREATE TYPE {cart_reminder_status} AS ENUM ('waiting', 'exhausted', 'paid', 'cancelled', 'returned', 'lapsed');

-- A cart that is kept for its owner, once at most. When it is due stands nowhere: the domain's timer, counted from
-- `waiting_since`, says so, so that a timer that is changed counts at once.
CREATE TABLE {cart_reminders} (
    tenant_id      TEXT NOT NULL,
    id             UUID NOT NULL,
    cart_id        UUID NOT NULL,
    order_id       UUID,                                  -- whose payment failed
    kind           {cart_reminder_kind} NOT NULL,
    status         {cart_reminder_status} NOT NULL DEFAULT 'waiting',
    domain         TEXT,                                  -- the host it was bought at, or filled at
    reminders      INTEGER NOT NULL DEFAULT 0,            -- queued by now
    waiting_since  TIMESTAMPTZ NOT NULL,                  -- the failure, the last touch, or the last reminder
    ended_at       TIMESTAMPTZ,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {cart_reminders_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {cart_reminders_cart_unique} UNIQUE (tenant_id, cart_id),
    CONSTRAINT cart_reminders_cart_fkey FOREIGN KEY (tenant_id, cart_id) REFERENCES {carts} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT cart_reminders_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id),
    CONSTRAINT cart_reminders_order_given CHECK ((kind = 'payment_failed') = (order_id IS NOT NULL)),
    CONSTRAINT cart_reminders_ended_dated CHECK ((status = 'waiting') = (ended_at IS NULL)),
    CONSTRAINT cart_reminders_reminders_range CHECK (reminders BETWEEN 0 AND 10)
);
CREATE INDEX {idx_cart_reminders_waiting} ON {cart_reminders} (tenant_id, waiting_since) WHERE status = 'waiting';
CREATE INDEX {idx_cart_reminders_order} ON {cart_reminders} (tenant_id, order_id) WHERE order_id IS NOT NULL;

-- One for each digital line whose link was sent. The link itself is signed and kept nowhere; `generation` is part of it, so
-- that sending it again ends the one before.
CREATE TABLE {downloads} (
    tenant_id           TEXT NOT NULL,
    order_item_id       UUID NOT NULL,
    order_id            UUID NOT NULL,
    generation          INTEGER NOT NULL DEFAULT 1,
    downloads           INTEGER NOT NULL DEFAULT 0,
    downloads_max       INTEGER NOT NULL,
    expires_at          TIMESTAMPTZ NOT NULL,
    last_downloaded_at  TIMESTAMPTZ,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {downloads_pkey} PRIMARY KEY (tenant_id, order_item_id),
    CONSTRAINT downloads_item_fkey FOREIGN KEY (tenant_id, order_item_id)
        REFERENCES {order_items} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT downloads_order_fkey FOREIGN KEY (tenant_id, order_id)
        REFERENCES {orders} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT downloads_count_range CHECK (generation >= 1 AND downloads BETWEEN 0 AND downloads_max)
) WITH (fillfactor = 90);
CREATE INDEX {idx_downloads_order} ON {downloads} (tenant_id, order_id);
