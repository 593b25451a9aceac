-- transaction: none
-- A carrier names a parcel by its tracking number alone. Lock: SHARE UPDATE EXCLUSIVE, so orders are placed meanwhile. Run
-- before the new code.

CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_orders_tracking} ON {orders} (tenant_id, tracking_number) WHERE tracking_number IS NOT NULL;
