-- Orders: what was agreed, line by line, and every change of status since.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {order_status} AS ENUM (
    'pending_payment', 'payment_received', 'processing', 'ready_to_ship', 'shipped', 'delivered',
    'cancelled', 'refunded', 'partially_refunded');
CREATE TYPE {delivery_stage} AS ENUM ('ORDER_CONFIRMED', 'SOURCING', 'ARRIVED', 'DISPATCHED', 'DELIVERED');
CREATE TYPE {actor_kind} AS ENUM ('system', 'admin', 'customer', 'webhook');

CREATE TABLE {shipping_rates} (
    tenant_id         TEXT NOT NULL,
    id                UUID NOT NULL,
    code              TEXT NOT NULL,              -- what orders.shipping_method names
    name              TEXT NOT NULL,
    amount            BIGINT NOT NULL,
    currency          TEXT NOT NULL,
    countries         TEXT[],                     -- NULL: everywhere
    free_from_amount  BIGINT,                     -- a subtotal of this or more ships free
    is_active         BOOLEAN NOT NULL DEFAULT TRUE,
    position          INTEGER NOT NULL DEFAULT 0,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at        TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {shipping_rates_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {shipping_rates_code_unique} UNIQUE (tenant_id, code),
    CONSTRAINT shipping_rates_amount_range CHECK (amount BETWEEN 0 AND 1000000000000 AND free_from_amount >= 0)
);

CREATE TABLE {orders} (
    tenant_id                   TEXT NOT NULL,
    id                          UUID NOT NULL,
    order_number                TEXT COLLATE "C" NOT NULL,
    source                      TEXT NOT NULL DEFAULT 'storefront',   -- where the purchase came from, and
    purchase_id                 TEXT,                                 -- its id there
    resource_id                 TEXT,
    user_id                     UUID,                                 -- NULL: a guest
    session_id                  UUID,                                 -- the visitor who placed it; no foreign key, it outlives it
    customer_email              TEXT COLLATE "C" NOT NULL,            -- lower case
    customer_name               TEXT NOT NULL,
    customer_phone              TEXT COLLATE "C",                     -- E.164 digits
    status                      {order_status} NOT NULL DEFAULT 'pending_payment',
    status_updated_at           TIMESTAMPTZ NOT NULL DEFAULT now(),
    delivery_stage              {delivery_stage} NOT NULL DEFAULT 'ORDER_CONFIRMED',
    shipping_address            JSONB,                                -- a copy; NULL where nothing ships
    billing_address             JSONB,
    currency                    TEXT NOT NULL,
    subtotal_amount             BIGINT NOT NULL,
    discount_amount             BIGINT NOT NULL DEFAULT 0,
    shipping_amount             BIGINT NOT NULL DEFAULT 0,
    tax_amount                  BIGINT NOT NULL DEFAULT 0,
    total_amount                BIGINT NOT NULL,
    amount_paid                 BIGINT NOT NULL DEFAULT 0,            -- what ever arrived, less completed refunds
    amount_due                  BIGINT GENERATED ALWAYS AS (total_amount - amount_paid) STORED,
    discount_code               TEXT,
    discount_id                 UUID,
    shipping_method             TEXT,
    shipping_carrier            TEXT,
    tracking_number             TEXT,
    estimated_delivery          DATE,
    age_verified                BOOLEAN NOT NULL DEFAULT FALSE,
    age_attested                BOOLEAN NOT NULL DEFAULT FALSE,       -- said by a guest, not proved by an account
    compliance_required         BOOLEAN NOT NULL DEFAULT FALSE,
    compliance_acknowledged     BOOLEAN NOT NULL DEFAULT FALSE,
    compliance_version          TEXT,
    compliance_acknowledged_at  TIMESTAMPTZ,
    ip_address                  INET,
    source_cart_id              UUID,
    domain                      TEXT,
    company_code                TEXT,
    import_batch_id             UUID,
    vendure_order_id            TEXT,
    traffic_source              TEXT NOT NULL DEFAULT 'direct',
    utm_source                  TEXT,
    utm_medium                  TEXT,
    utm_campaign                TEXT,
    customer_notes              TEXT,
    internal_notes              TEXT,
    cancellation_reason         TEXT,
    erp_order_id                TEXT,
    erp_synced_at               TIMESTAMPTZ,
    metadata                    JSONB NOT NULL DEFAULT '{}',
    payment_due_at              TIMESTAMPTZ NOT NULL,                 -- unpaid by then, the order is cancelled
    created_at                  TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at                  TIMESTAMPTZ NOT NULL DEFAULT now(),
    paid_at                     TIMESTAMPTZ,
    shipped_at                  TIMESTAMPTZ,
    delivered_at                TIMESTAMPTZ,
    cancelled_at                TIMESTAMPTZ,

    CONSTRAINT {orders_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {orders_number_unique} UNIQUE (tenant_id, order_number),
    CONSTRAINT {orders_purchase_unique} UNIQUE (tenant_id, source, purchase_id),
    CONSTRAINT orders_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id),
    CONSTRAINT orders_cart_fkey FOREIGN KEY (tenant_id, source_cart_id) REFERENCES {carts} (tenant_id, id),
    CONSTRAINT orders_number_length CHECK (length(order_number) BETWEEN 1 AND 20),
    CONSTRAINT orders_email_lower_case CHECK (customer_email = lower(customer_email)),
    CONSTRAINT orders_phone_digits CHECK (customer_phone ~ '^[1-9][0-9]{5,14}$'),
    CONSTRAINT orders_total_positive CHECK (total_amount >= 0),
    CONSTRAINT orders_total_sum CHECK (total_amount = subtotal_amount - discount_amount + shipping_amount + tax_amount),
    CONSTRAINT orders_amounts_positive CHECK (subtotal_amount >= 0 AND discount_amount >= 0 AND shipping_amount >= 0
                                              AND tax_amount >= 0),
    CONSTRAINT orders_compliance_given CHECK (
        NOT (compliance_required OR compliance_acknowledged)
        OR (compliance_acknowledged AND compliance_version IS NOT NULL AND compliance_acknowledged_at IS NOT NULL)),
    CONSTRAINT orders_cancelled_dated CHECK (status <> 'cancelled' OR cancelled_at IS NOT NULL)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX {orders_cart_unique} ON {orders} (tenant_id, source_cart_id) WHERE source_cart_id IS NOT NULL;
CREATE UNIQUE INDEX {orders_vendure_unique} ON {orders} (tenant_id, vendure_order_id) WHERE vendure_order_id IS NOT NULL;
CREATE INDEX {idx_orders_user} ON {orders} (tenant_id, user_id, id DESC);
CREATE INDEX {idx_orders_status} ON {orders} (tenant_id, status, id DESC);
CREATE INDEX {idx_orders_created} ON {orders} (tenant_id, created_at DESC, id DESC);
CREATE INDEX {idx_orders_email} ON {orders} (tenant_id, customer_email, id DESC);
CREATE INDEX {idx_orders_phone} ON {orders} (tenant_id, customer_phone, id DESC) WHERE customer_phone IS NOT NULL;
CREATE INDEX {idx_orders_session} ON {orders} (tenant_id, session_id) WHERE status = 'pending_payment' AND session_id IS NOT NULL;
CREATE INDEX {idx_orders_pending_payment} ON {orders} (tenant_id, status, created_at) WHERE status = 'pending_payment';
CREATE INDEX {idx_orders_payment_due} ON {orders} (payment_due_at) WHERE status = 'pending_payment';
CREATE INDEX {idx_orders_overpaid} ON {orders} (tenant_id, id)     -- money that is due back
    WHERE amount_due < 0 OR (status = 'cancelled' AND amount_paid > 0);
CREATE INDEX {idx_orders_erp_sync} ON {orders} (tenant_id, erp_synced_at) WHERE erp_order_id IS NULL AND status <> 'cancelled';

CREATE TABLE {order_items} (
    tenant_id           TEXT NOT NULL,
    id                  UUID NOT NULL,
    order_id            UUID NOT NULL,
    position            INTEGER NOT NULL,
    product_id          UUID NOT NULL,
    variant_id          UUID NOT NULL,
    product_sku         TEXT,                     -- copies as they were when the order was placed
    product_name        TEXT NOT NULL,
    variant_title       TEXT NOT NULL,
    is_digital          BOOLEAN NOT NULL DEFAULT FALSE,
    quantity            INTEGER NOT NULL,
    unit_price          BIGINT NOT NULL,          -- the price at booking
    currency            TEXT NOT NULL,
    price_source        TEXT NOT NULL DEFAULT 'variant',
    subtotal_amount     BIGINT GENERATED ALWAYS AS (quantity * unit_price) STORED,
    discount_amount     BIGINT NOT NULL DEFAULT 0,
    tax_amount          BIGINT NOT NULL DEFAULT 0,
    quantity_held       INTEGER NOT NULL DEFAULT 0,   -- units of this line counted in stock_levels.reserved
    quantity_fulfilled  INTEGER NOT NULL DEFAULT 0,   -- shipped
    quantity_cancelled  INTEGER NOT NULL DEFAULT 0,
    quantity_returned   INTEGER NOT NULL DEFAULT 0,
    quantity_refunded   INTEGER NOT NULL DEFAULT 0,
    batch_id            UUID,
    batch_number        TEXT,
    patch_enabled       BOOLEAN NOT NULL DEFAULT FALSE,
    patch_type          TEXT,
    print_name          TEXT,
    print_number        TEXT,
    download_link_sent  BOOLEAN NOT NULL DEFAULT FALSE,
    erp_line_id         TEXT,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {order_items_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT order_items_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT order_items_variant_fkey FOREIGN KEY (tenant_id, product_id, variant_id)
        REFERENCES {product_variants} (tenant_id, product_id, id),
    CONSTRAINT order_items_batch_fkey FOREIGN KEY (tenant_id, batch_id) REFERENCES {product_batches} (tenant_id, id),
    CONSTRAINT order_items_quantity_positive CHECK (quantity BETWEEN 1 AND 10000),
    CONSTRAINT order_items_price_positive CHECK (unit_price >= 0 AND discount_amount >= 0 AND tax_amount >= 0),
    CONSTRAINT order_items_progress_range CHECK (
        quantity_held BETWEEN 0 AND quantity AND quantity_fulfilled >= 0 AND quantity_cancelled >= 0
        AND quantity_fulfilled + quantity_cancelled <= quantity
        AND quantity_returned BETWEEN 0 AND quantity_fulfilled AND quantity_refunded BETWEEN 0 AND quantity),
    CONSTRAINT order_items_patch_whole CHECK (patch_enabled = (patch_type IS NOT NULL))
) WITH (fillfactor = 90);
CREATE INDEX {idx_order_items_order} ON {order_items} (tenant_id, order_id);
CREATE INDEX {idx_order_items_product} ON {order_items} (tenant_id, product_id, variant_id);
CREATE INDEX {idx_order_items_batch} ON {order_items} (tenant_id, batch_id) WHERE batch_id IS NOT NULL;

CREATE TABLE {order_status_history} (
    tenant_id        TEXT NOT NULL,
    id               UUID NOT NULL DEFAULT gen_random_uuid(),
    order_id         UUID NOT NULL,
    sequence         INTEGER NOT NULL,            -- 1 for the first; settles the order of rows of one transaction
    from_status      {order_status},              -- NULL for the first
    to_status        {order_status} NOT NULL,
    reason           TEXT,
    changed_by       UUID,                        -- NULL: the system, a webhook or a guest
    changed_by_type  {actor_kind} NOT NULL DEFAULT 'system',
    changed_by_name  TEXT,
    request_id       TEXT,
    metadata         JSONB,
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {order_status_history_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {order_status_history_sequence_unique} UNIQUE (tenant_id, order_id, sequence),
    CONSTRAINT order_status_history_order_fkey FOREIGN KEY (tenant_id, order_id)
        REFERENCES {orders} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT order_status_history_user_fkey FOREIGN KEY (tenant_id, changed_by) REFERENCES {users} (tenant_id, id),
    CONSTRAINT order_status_history_real_move CHECK (from_status <> to_status)
);
CREATE INDEX {idx_order_status_history_created} ON {order_status_history} (tenant_id, created_at DESC, id DESC);
CREATE INDEX {idx_order_status_history_user} ON {order_status_history} (tenant_id, changed_by) WHERE changed_by IS NOT NULL;

-- What staff may search by part of a word. A row is born empty with its order and filled by the worker, so that the
-- trigram index costs the checkout nothing.
CREATE TABLE {order_search} (
    tenant_id   TEXT NOT NULL,
    order_id    UUID NOT NULL,
    document    TEXT,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {order_search_pkey} PRIMARY KEY (tenant_id, order_id),
    CONSTRAINT order_search_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX {idx_order_search_pending} ON {order_search} (tenant_id, order_id) WHERE document IS NULL;
CREATE INDEX {idx_order_search_document} ON {order_search} USING gin (document gin_trgm_ops) WHERE document IS NOT NULL;

-- Names for the enumerated states, for people; the states themselves are the type above.
CREATE TABLE {order_status_labels} (
    tenant_id    TEXT NOT NULL,
    status       {order_status} NOT NULL,
    label        TEXT NOT NULL,
    description  TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {order_status_labels_pkey} PRIMARY KEY (tenant_id, status)
);
