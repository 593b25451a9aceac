-- The row types that place_orders_v2 works on beside those of v1, which stay for databases where v1 is still called.
-- Lock: none on existing data. Run before the new code.

-- One order as the application asks for it. `ordinal` is its place in the group.
CREATE TYPE {checkout_order_v2} AS (
    ordinal                     INTEGER,
    id                          UUID,
    order_number                TEXT,
    history_id                  UUID,
    webhook_id                  UUID,
    payment_id                  UUID,
    payment_reference           TEXT,
    payment_method              TEXT,       -- code; NULL: no payment yet
    idempotency_scope           TEXT,
    idempotency_key             TEXT,
    request_fingerprint         TEXT,
    idempotency_ttl             INTERVAL,
    source                      TEXT,
    purchase_id                 TEXT,
    resource_id                 TEXT,
    cart_id                     UUID,
    lines                       JSONB,
    coupons                     TEXT[],     -- codes as stored, in the order typed; the cart's own comes before them
    credit_limit                BIGINT,     -- of the buyer's store credit no more than this is spent; NULL: none
    credit_payment_id           UUID,
    credit_reference            TEXT,
    credit_entry_id             UUID,
    user_id                     UUID,
    session_id                  UUID,
    any_cart                    BOOLEAN,    -- staff and programs may place any visitor's cart
    customer_email              TEXT,
    customer_name               TEXT,
    customer_phone              TEXT,
    shipping_address            JSONB,
    billing_address             JSONB,
    shipping_method             TEXT,
    age_attested                BOOLEAN,
    compliance_acknowledged     BOOLEAN,
    compliance_version          TEXT,
    compliance_acknowledged_at  TIMESTAMPTZ,
    ip_address                  INET,
    domain                      TEXT,
    traffic_source              TEXT,
    utm_source                  TEXT,
    utm_medium                  TEXT,
    utm_campaign                TEXT,
    customer_notes              TEXT,
    metadata                    JSONB,
    actor_kind                  {actor_kind},
    actor_id                    UUID,
    actor_name                  TEXT,
    request_id                  TEXT,
    event_ids                   UUID[],     -- for what is told of it; NULL: the database makes them
    user_agent                  TEXT,       -- of the buyer, as the three below
    device_type                 TEXT,
    browser                     TEXT,
    os                          TEXT
);

-- What an order comes to, and what its lines together demand of the buyer.
CREATE TYPE {checkout_sum_v2} AS (
    ordinal           INTEGER,
    ships             BOOLEAN,
    needs_age         BOOLEAN,
    needs_kyc         BOOLEAN,
    unavailable       BOOLEAN,
    foreign_currency  BOOLEAN,
    repriced          BOOLEAN,
    restricted        BOOLEAN,
    subtotal_amount   BIGINT,
    discount_amount   BIGINT,
    shipping_method   TEXT,
    shipping_amount   BIGINT,
    total_amount      BIGINT,
    credit_amount     BIGINT                -- of the total, paid with store credit
);

-- A coupon that an order may use, as its locked row has it.
CREATE TYPE {checkout_coupon} AS (
    id                       UUID,
    code                     TEXT,
    percentage               NUMERIC,
    amount                   BIGINT,
    currency                 TEXT,
    product_ids              UUID[],
    user_ids                 UUID[],
    payment_method           {coupon_payment},
    auto_apply               BOOLEAN,
    applies_at               {coupon_place},
    minimum_order_amount     BIGINT,
    maximum_discount_amount  BIGINT,
    usage_limit              INTEGER,
    usage_count              INTEGER,
    usage_limit_per_user     INTEGER,
    first_order_only         BOOLEAN,
    position                 INTEGER,
    starts_at                TIMESTAMPTZ,
    expires_at               TIMESTAMPTZ
);

-- What one coupon takes off one order; `buyer` is the account, or a guest's e-mail.
CREATE TYPE {checkout_discount} AS (
    ordinal     INTEGER,
    position    INTEGER,
    buyer       TEXT,
    coupon_id   UUID,
    code        TEXT,
    applies_at  {coupon_place},
    auto_apply  BOOLEAN,
    amount      BIGINT
);
