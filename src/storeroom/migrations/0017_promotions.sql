-- Coupons: what takes something off a price, each use of one, and what was taken off an order.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {discount_type} AS ENUM ('percentage', 'fixed');
CREATE TYPE {coupon_scope} AS ENUM ('all', 'specific');
CREATE TYPE {coupon_place} AS ENUM ('catalog', 'checkout');
CREATE TYPE {coupon_payment} AS ENUM ('stripe', 'x402', 'manual');

-- The use is counted on the row itself, under the row's lock; nothing indexes the counter, and the pages have room for it.
CREATE TABLE {coupons} (
    tenant_id                TEXT NOT NULL,
    id                       UUID NOT NULL,
    code                     TEXT COLLATE "C" NOT NULL,           -- upper case; a customer may type it in any
    name                     TEXT NOT NULL,
    discount_type            {discount_type} NOT NULL,
    percentage               NUMERIC(9, 6),                       -- of a percentage coupon: more than 0, 100 at most
    amount                   BIGINT,                              -- of a fixed one, in its currency
    currency                 TEXT,                                -- of amount, minimum and maximum
    scope                    {coupon_scope} NOT NULL DEFAULT 'all',
    product_ids              UUID[],                              -- NULL: all products
    user_ids                 UUID[],                              -- NULL: everybody
    payment_method           {coupon_payment},                    -- NULL: however it is paid
    auto_apply               BOOLEAN NOT NULL DEFAULT FALSE,
    applies_at               {coupon_place} NOT NULL DEFAULT 'checkout',
    minimum_order_amount     BIGINT,
    maximum_discount_amount  BIGINT,
    usage_limit              INTEGER,                             -- NULL: no limit
    usage_count              INTEGER NOT NULL DEFAULT 0,
    usage_limit_per_user     INTEGER DEFAULT 1,                   -- NULL: no limit
    first_order_only         BOOLEAN NOT NULL DEFAULT FALSE,
    position                 INTEGER NOT NULL DEFAULT 0,          -- among those that apply by themselves, the lowest first
    starts_at                TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at               TIMESTAMPTZ,                         -- from then on it does not apply
    is_active                BOOLEAN NOT NULL DEFAULT TRUE,
    metadata                 JSONB NOT NULL DEFAULT '{}',
    created_at               TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at               TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {coupons_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {coupons_code_unique} UNIQUE (tenant_id, code),
    CONSTRAINT coupons_code_form CHECK (code = upper(code) AND length(code) BETWEEN 1 AND 50),
    CONSTRAINT coupons_value_whole CHECK (CASE discount_type
        WHEN 'percentage' THEN percentage > 0 AND percentage <= 100 AND percentage IS NOT NULL AND amount IS NULL
        ELSE amount > 0 AND amount IS NOT NULL AND percentage IS NULL END),
    CONSTRAINT coupons_currency_given CHECK (
        currency IS NOT NULL OR (amount IS NULL AND minimum_order_amount IS NULL AND maximum_discount_amount IS NULL)),
    CONSTRAINT coupons_scope_whole CHECK ((scope = 'specific') = (product_ids IS NOT NULL) AND cardinality(product_ids) > 0),
    CONSTRAINT coupons_users_given CHECK (cardinality(user_ids) > 0),
    CONSTRAINT coupons_place_whole CHECK ((applies_at = 'catalog') = (scope = 'specific')),
    CONSTRAINT coupons_amounts_positive CHECK (minimum_order_amount >= 0 AND maximum_discount_amount > 0),
    CONSTRAINT coupons_limits_positive CHECK (usage_limit > 0 AND usage_limit_per_user > 0 AND usage_count >= 0),
    CONSTRAINT coupons_window_order CHECK (expires_at > starts_at)
) WITH (fillfactor = 70);
CREATE INDEX {idx_coupons_code} ON {coupons} (tenant_id, code) WHERE is_active;
CREATE INDEX {idx_coupons_active} ON {coupons} (tenant_id, is_active, starts_at, expires_at);
CREATE INDEX {idx_coupons_auto_apply} ON {coupons} (tenant_id, auto_apply, position) WHERE auto_apply AND is_active;
CREATE INDEX {idx_coupons_expires} ON {coupons} (tenant_id, expires_at) WHERE is_active;
CREATE INDEX {idx_coupons_product_ids} ON {coupons} USING gin (product_ids);

-- One row for each use. A use that is given back keeps its row, with the time.
CREATE TABLE {coupon_redemptions} (
    tenant_id       TEXT NOT NULL,
    id              UUID NOT NULL,
    coupon_id       UUID NOT NULL,
    order_id        UUID NOT NULL,
    user_id         UUID,
    customer_email  TEXT COLLATE "C" NOT NULL,     -- whom a guest's use counts for
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    released_at     TIMESTAMPTZ,

    CONSTRAINT {coupon_redemptions_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {coupon_redemptions_unique} UNIQUE (tenant_id, order_id, coupon_id),
    CONSTRAINT coupon_redemptions_coupon_fkey FOREIGN KEY (tenant_id, coupon_id) REFERENCES {coupons} (tenant_id, id),
    CONSTRAINT coupon_redemptions_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id),
    CONSTRAINT coupon_redemptions_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id)
);
CREATE INDEX {idx_coupon_redemptions_user} ON {coupon_redemptions} (tenant_id, coupon_id, user_id);
CREATE INDEX {idx_coupon_redemptions_email} ON {coupon_redemptions} (tenant_id, coupon_id, customer_email);
CREATE INDEX {idx_coupon_redemptions_account} ON {coupon_redemptions} (tenant_id, user_id) WHERE user_id IS NOT NULL;

-- What was taken off an order, in the order in which it was; the coupon may have changed since.
CREATE TABLE {order_discounts} (
    tenant_id   TEXT NOT NULL,
    order_id    UUID NOT NULL,
    position    INTEGER NOT NULL,
    coupon_id   UUID NOT NULL,
    code        TEXT COLLATE "C" NOT NULL,
    applies_at  {coupon_place} NOT NULL,
    auto_apply  BOOLEAN NOT NULL,
    amount      BIGINT NOT NULL,
    currency    TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {order_discounts_pkey} PRIMARY KEY (tenant_id, order_id, position),
    CONSTRAINT {order_discounts_coupon_unique} UNIQUE (tenant_id, order_id, coupon_id),
    CONSTRAINT order_discounts_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT order_discounts_coupon_fkey FOREIGN KEY (tenant_id, coupon_id) REFERENCES {coupons} (tenant_id, id),
    CONSTRAINT order_discounts_amount_positive CHECK (amount >= 0)
);
CREATE INDEX {idx_order_discounts_coupon} ON {order_discounts} (tenant_id, coupon_id, order_id);
