-- transaction: none
-- A refund quote names a purchase without its source. Lock: SHARE UPDATE EXCLUSIVE, so orders are placed meanwhile. Run
-- before the new code.

CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_orders_purchase} ON {orders} (tenant_id, purchase_id) WHERE purchase_id IS NOT NULL;
