-- Carts of guests and accounts.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {cart_status} AS ENUM ('active', 'merged', 'converted', 'abandoned');

CREATE TABLE {carts} (
    tenant_id              TEXT NOT NULL,
    id                     UUID NOT NULL,
    user_id                UUID,
    session_id             UUID,                 -- a guest's cart goes with the session; a user's cart has none
    anonymous_id           TEXT,
    status                 {cart_status} NOT NULL DEFAULT 'active',
    currency               TEXT NOT NULL,
    subtotal_amount        BIGINT NOT NULL DEFAULT 0,
    discount_amount        BIGINT NOT NULL DEFAULT 0,
    shipping_amount        BIGINT NOT NULL DEFAULT 0,
    tax_amount             BIGINT NOT NULL DEFAULT 0,
    total_amount           BIGINT GENERATED ALWAYS AS (subtotal_amount - discount_amount + shipping_amount + tax_amount) STORED,
    discount_code          TEXT,
    discount_id            UUID,
    shipping_address_id    UUID,
    shipping_method        TEXT,
    converted_to_order_id  UUID,
    converted_at           TIMESTAMPTZ,
    merged_into_cart_id    UUID,
    utm_source             TEXT,
    utm_medium             TEXT,
    utm_campaign           TEXT,
    referrer_url           TEXT,
    created_at             TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at             TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at             TIMESTAMPTZ NOT NULL DEFAULT now() + INTERVAL '30 days',

    CONSTRAINT {carts_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT carts_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id),
    CONSTRAINT carts_session_fkey FOREIGN KEY (tenant_id, session_id)
        REFERENCES {auth_sessions} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT carts_address_fkey FOREIGN KEY (tenant_id, shipping_address_id) REFERENCES {user_addresses} (tenant_id, id),
    CONSTRAINT carts_merged_fkey FOREIGN KEY (tenant_id, merged_into_cart_id) REFERENCES {carts} (tenant_id, id),
    CONSTRAINT carts_owner_given CHECK (user_id IS NOT NULL OR anonymous_id IS NOT NULL),
    CONSTRAINT carts_session_of_guest CHECK (user_id IS NULL OR session_id IS NULL),
    CONSTRAINT carts_converted_dated CHECK ((status = 'converted') = (converted_to_order_id IS NOT NULL)
                                            AND (status = 'converted') = (converted_at IS NOT NULL)),
    CONSTRAINT carts_amounts_positive CHECK (subtotal_amount >= 0 AND discount_amount BETWEEN 0 AND subtotal_amount
                                             AND shipping_amount >= 0 AND tax_amount >= 0)
);
CREATE UNIQUE INDEX {idx_carts_user_active} ON {carts} (tenant_id, user_id) WHERE user_id IS NOT NULL AND status = 'active';
CREATE UNIQUE INDEX {idx_carts_session_active} ON {carts} (tenant_id, session_id)
    WHERE session_id IS NOT NULL AND status = 'active';
CREATE INDEX {idx_carts_anonymous} ON {carts} (tenant_id, anonymous_id) WHERE anonymous_id IS NOT NULL AND status = 'active';
CREATE INDEX {idx_carts_abandoned} ON {carts} (status, updated_at) WHERE status = 'active';
CREATE INDEX {idx_carts_expiry} ON {carts} (expires_at) WHERE status = 'active';
CREATE INDEX {idx_carts_listing} ON {carts} (tenant_id, status, updated_at DESC, id DESC);
CREATE INDEX {idx_carts_user} ON {carts} (tenant_id, user_id);
CREATE INDEX {idx_carts_session} ON {carts} (tenant_id, session_id);
CREATE INDEX {idx_carts_address} ON {carts} (tenant_id, shipping_address_id);
CREATE INDEX {idx_carts_merged} ON {carts} (tenant_id, merged_into_cart_id);

-- A printed name makes another line; hence the personalisation is part of the key.
CREATE TABLE {cart_items} (
    tenant_id      TEXT NOT NULL,
    id             UUID NOT NULL,
    cart_id        UUID NOT NULL,
    product_id     UUID NOT NULL,
    variant_id     UUID NOT NULL,
    quantity       INTEGER NOT NULL DEFAULT 1,
    unit_price     BIGINT NOT NULL,             -- at the time of adding, in the cart's currency
    patch_enabled  BOOLEAN NOT NULL DEFAULT FALSE,
    patch_type     TEXT,
    print_name     TEXT,
    print_number   TEXT,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {cart_items_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {cart_items_unique} UNIQUE NULLS NOT DISTINCT (tenant_id, cart_id, variant_id, patch_type, print_name, print_number),
    CONSTRAINT cart_items_cart_fkey FOREIGN KEY (tenant_id, cart_id) REFERENCES {carts} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT cart_items_variant_fkey FOREIGN KEY (tenant_id, product_id, variant_id)
        REFERENCES {product_variants} (tenant_id, product_id, id),
    CONSTRAINT cart_items_quantity_positive CHECK (quantity BETWEEN 1 AND 10000),
    CONSTRAINT cart_items_price_positive CHECK (unit_price >= 0),
    CONSTRAINT cart_items_patch_whole CHECK (patch_enabled = (patch_type IS NOT NULL))
);
CREATE INDEX {idx_cart_items_product} ON {cart_items} (tenant_id, product_id, variant_id);
