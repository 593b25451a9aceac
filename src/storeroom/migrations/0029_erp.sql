-- transaction: none
-- The ERP's side of the shop: where it is, what may go there, and what was changed by hand to go there once more.
-- Lock: SHARE UPDATE EXCLUSIVE while the constraints are validated and the indexes made, so the shop goes on; each
-- constraint is added under ACCESS EXCLUSIVE for an instant. Run before the new code.
-- Each constraint that is dropped is added again in the next line, so that a second run after a broken one goes through.
-- squawk-ignore-file ban-drop-constraint

-- What a shop calls to reach its ERP. The credential is sealed; whoever has the table alone cannot call.
CREATE TABLE IF NOT EXISTS {erp_connections} (
    tenant_id        TEXT NOT NULL,
    code             TEXT NOT NULL,                 -- of the system, as in the queue's destination
    kind             TEXT NOT NULL DEFAULT 'http',  -- which connector speaks to it
    base_url         TEXT NOT NULL,
    auth             TEXT NOT NULL,
    auth_name        TEXT,                          -- the user of basic, the header of header
    credential       TEXT,                          -- sealed
    timeout_seconds  INTEGER NOT NULL DEFAULT 15,
    is_active        BOOLEAN NOT NULL DEFAULT TRUE,
    swept_at         TIMESTAMPTZ NOT NULL DEFAULT '-infinity',  -- when it was last looked for what was never sent
    created_at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at       TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {erp_connections_pkey} PRIMARY KEY (tenant_id, code),
    CONSTRAINT erp_connections_code_known CHECK (code IN ('epicor_propello')),
    CONSTRAINT erp_connections_kind_known CHECK (kind IN ('http')),
    CONSTRAINT erp_connections_auth_whole CHECK (
        (auth = 'none' AND auth_name IS NULL AND credential IS NULL)
        OR (auth = 'bearer' AND auth_name IS NULL AND credential IS NOT NULL)
        OR (auth IN ('basic', 'header') AND auth_name IS NOT NULL AND credential IS NOT NULL)),
    CONSTRAINT erp_connections_limits CHECK (length(base_url) BETWEEN 8 AND 2000 AND length(auth_name) BETWEEN 1 AND 100
                                             AND timeout_seconds BETWEEN 1 AND 30)
) WITH (fillfactor = 70);

-- The boundary once more, for whoever writes to the queue past the outbox: only what syncs is ever queued for the ERP.
ALTER TABLE {webhook_queue} DROP CONSTRAINT IF EXISTS webhook_queue_erp_boundary;
ALTER TABLE {webhook_queue} ADD CONSTRAINT webhook_queue_erp_boundary CHECK (
    destination <> 'epicor_propello'
    OR coalesce(entity_type, '') IN ('user', 'product', 'order', 'payment', 'refund', 'fulfillment')) NOT VALID;
ALTER TABLE {webhook_queue} VALIDATE CONSTRAINT webhook_queue_erp_boundary;

ALTER TABLE {users} DROP CONSTRAINT IF EXISTS users_erp_length;
ALTER TABLE {users} ADD CONSTRAINT users_erp_length CHECK (length(erp_customer_id) BETWEEN 1 AND 50) NOT VALID;
ALTER TABLE {users} VALIDATE CONSTRAINT users_erp_length;
ALTER TABLE {products} DROP CONSTRAINT IF EXISTS products_erp_length;
ALTER TABLE {products} ADD CONSTRAINT products_erp_length CHECK (length(erp_item_id) BETWEEN 1 AND 50) NOT VALID;
ALTER TABLE {products} VALIDATE CONSTRAINT products_erp_length;
ALTER TABLE {orders} DROP CONSTRAINT IF EXISTS orders_erp_length;
ALTER TABLE {orders} ADD CONSTRAINT orders_erp_length CHECK (length(erp_order_id) BETWEEN 1 AND 50) NOT VALID;
ALTER TABLE {orders} VALIDATE CONSTRAINT orders_erp_length;
ALTER TABLE {order_items} DROP CONSTRAINT IF EXISTS order_items_erp_length;
ALTER TABLE {order_items} ADD CONSTRAINT order_items_erp_length CHECK (length(erp_line_id) BETWEEN 1 AND 50) NOT VALID;
ALTER TABLE {order_items} VALIDATE CONSTRAINT order_items_erp_length;
ALTER TABLE {payments} DROP CONSTRAINT IF EXISTS payments_erp_length;
ALTER TABLE {payments} ADD CONSTRAINT payments_erp_length CHECK (length(erp_payment_id) BETWEEN 1 AND 50) NOT VALID;
ALTER TABLE {payments} VALIDATE CONSTRAINT payments_erp_length;

-- What the ERP has: when each was last sent, and (NULL) which are to be sent once more. Empty in shops without an ERP.
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_users_erp_synced} ON {users} (tenant_id, erp_synced_at) WHERE erp_customer_id IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_products_erp_synced} ON {products} (tenant_id, erp_synced_at) WHERE erp_item_id IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_orders_erp_synced} ON {orders} (tenant_id, erp_synced_at) WHERE erp_order_id IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_payments_erp_synced} ON {payments} (tenant_id, erp_synced_at) WHERE erp_payment_id IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_refunds_erp_synced} ON {refunds} (tenant_id, erp_synced_at) WHERE erp_refund_id IS NOT NULL;
