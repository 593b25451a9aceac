-- Stock: one narrow hot row per variant, the reservations that hold units for a time, and the movements that explain
-- every change of what is on the shelf.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {reservation_status} AS ENUM ('active', 'released', 'converted');
CREATE TYPE {movement_kind} AS ENUM ('initial', 'adjustment', 'count', 'import', 'shipment', 'return');

-- Half-full pages and no index on the counters: an update stays on its page and touches no index.
CREATE TABLE {stock_levels} (
    tenant_id   TEXT NOT NULL,
    variant_id  UUID NOT NULL,
    on_hand     INTEGER NOT NULL DEFAULT 0,
    reserved    INTEGER NOT NULL DEFAULT 0,   -- units of active reservations and of placed orders not yet shipped

    CONSTRAINT {stock_levels_pkey} PRIMARY KEY (tenant_id, variant_id),
    CONSTRAINT stock_levels_variant_fkey FOREIGN KEY (tenant_id, variant_id)
        REFERENCES {product_variants} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT stock_levels_on_hand_positive CHECK (on_hand >= 0),
    CONSTRAINT stock_levels_reserved_positive CHECK (reserved >= 0)
) WITH (fillfactor = 50);

-- Whoever changes a reservation holds the lock of its stock row first; so two of them never meet elsewhere.
CREATE TABLE {inventory_reservations} (
    tenant_id     TEXT NOT NULL,
    id            UUID NOT NULL,
    variant_id    UUID NOT NULL,
    cart_id       UUID,                       -- no foreign key: a guest's cart goes with the session, held units stay counted
    quantity      INTEGER NOT NULL,
    status        {reservation_status} NOT NULL DEFAULT 'active',
    expires_at    TIMESTAMPTZ NOT NULL,
    order_id      UUID,                       -- the order that took the units over
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {inventory_reservations_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT inventory_reservations_variant_fkey FOREIGN KEY (tenant_id, variant_id)
        REFERENCES {product_variants} (tenant_id, id),
    CONSTRAINT inventory_reservations_quantity_positive CHECK (quantity > 0)
);
CREATE INDEX {idx_inventory_reservations_variant} ON {inventory_reservations} (tenant_id, variant_id, created_at DESC);
CREATE INDEX {idx_inventory_reservations_cart} ON {inventory_reservations} (tenant_id, cart_id, created_at DESC);
CREATE INDEX {idx_inventory_reservations_expiry} ON {inventory_reservations} (expires_at) WHERE status = 'active';

-- on_hand of a variant is the sum of its movements.
CREATE TABLE {stock_movements} (
    tenant_id      TEXT NOT NULL,
    id             UUID NOT NULL,
    variant_id     UUID NOT NULL,
    kind           {movement_kind} NOT NULL,
    quantity       INTEGER NOT NULL,          -- signed: units added to on_hand
    on_hand_after  INTEGER NOT NULL,
    reason         TEXT,
    order_id       UUID,
    actor_kind     TEXT NOT NULL,
    actor_id       UUID,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {stock_movements_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT stock_movements_variant_fkey FOREIGN KEY (tenant_id, variant_id)
        REFERENCES {product_variants} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT stock_movements_reason_given CHECK (kind <> 'adjustment' OR length(reason) > 0)
);
CREATE INDEX {idx_stock_movements_variant} ON {stock_movements} (tenant_id, variant_id, created_at DESC, id DESC);
