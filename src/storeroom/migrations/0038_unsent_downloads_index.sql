-- transaction: none
-- Lines whose link to a download is to be sent. Lock: SHARE UPDATE EXCLUSIVE, so orders are placed meanwhile. Run before the
-- new code.

CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_order_items_unsent} ON {order_items} (tenant_id, created_at)
    WHERE is_digital AND NOT download_link_sent;
