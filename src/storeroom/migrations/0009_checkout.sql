-- The row types that place_orders_v1 works on, and the views that name orders as customers' summaries.
-- Lock: none on existing data. Run before the new code.

-- One order as the application asks for it. `ordinal` is its place in the group.
CREATE TYPE {checkout_order} AS (
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
    request_id                  TEXT
);

-- One line of it, with what the catalogue says of its variant now. variant_id is NULL where there is no such variant.
CREATE TYPE {checkout_line} AS (
    ordinal          INTEGER,
    position         INTEGER,
    id               UUID,
    asked            TEXT,                  -- sku or id, as the caller named it
    product_id       UUID,
    variant_id       UUID,
    quantity         INTEGER,
    expected_price   BIGINT,                -- what the buyer saw; NULL: whatever it is
    unit_price       BIGINT,
    currency         TEXT,
    sku              TEXT,
    product_name     TEXT,
    variant_title    TEXT,
    sellable         BOOLEAN,
    is_digital       BOOLEAN,
    ships            BOOLEAN,
    needs_age        BOOLEAN,
    needs_kyc        BOOLEAN,
    states           TEXT[],
    countries        TEXT[],
    stock_policy     {stock_policy},
    backorder_limit  INTEGER,
    patch_enabled    BOOLEAN,
    patch_type       TEXT,
    print_name       TEXT,
    print_number     TEXT
);

-- What an order comes to, and what its lines together demand of the buyer.
CREATE TYPE {checkout_sum} AS (
    ordinal           INTEGER,
    ships             BOOLEAN,
    needs_age         BOOLEAN,
    needs_kyc         BOOLEAN,
    unavailable       BOOLEAN,
    foreign_currency  BOOLEAN,
    repriced          BOOLEAN,
    restricted        BOOLEAN,
    subtotal_amount   BIGINT,
    shipping_method   TEXT,
    shipping_amount   BIGINT,
    total_amount      BIGINT
);

-- Units of one variant that one order takes beyond what its cart already holds.
CREATE TYPE {checkout_demand} AS (
    ordinal          INTEGER,
    variant_id       UUID,
    units            INTEGER,               -- of tracked lines
    held             INTEGER,               -- by the cart's active reservations
    stock_policy     {stock_policy},
    backorder_limit  INTEGER
);

CREATE VIEW {customer_orders_summary} WITH (security_invoker = true) AS
SELECT o.tenant_id,
       o.id,
       o.user_id AS customer_id,
       o.vendure_order_id,
       o.order_number AS order_code,
       o.created_at AS order_date,
       o.status,
       o.delivery_stage,
       (SELECT m.name
          FROM {payments} p
          JOIN {payment_methods} m ON m.tenant_id = p.tenant_id AND m.id = p.payment_method_id
         WHERE p.tenant_id = o.tenant_id AND p.order_id = o.id
         ORDER BY p.status = 'completed' DESC, p.id DESC
         LIMIT 1) AS payment_method,
       o.total_amount AS total_with_tax,
       o.amount_paid >= o.total_amount AS is_paid,
       o.currency,
       o.import_batch_id AS batch_id,
       o.tracking_number
  FROM {orders} o;

CREATE VIEW {customer_order_items} WITH (security_invoker = true) AS
SELECT i.tenant_id,
       i.id,
       i.order_id AS order_summary_id,
       i.product_name,
       i.variant_title AS variant_name,
       i.quantity,
       i.unit_price + CASE WHEN i.quantity > 0 THEN i.tax_amount / i.quantity ELSE 0 END AS unit_price_with_tax,
       i.currency,
       i.patch_enabled,
       i.patch_type,
       i.print_name,
       i.print_number
  FROM {order_items} i;
