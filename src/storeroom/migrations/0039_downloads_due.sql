-- transaction: none
-- When a digital line is to be looked at again. Until now each line that could not be sent, of an unpaid order or of a
-- product without a file, was looked at every minute for thirty days.
--
-- Lock: ACCESS EXCLUSIVE on order_items for an instant, to add a column that rewrites nothing; SHARE UPDATE EXCLUSIVE for
-- the indexes, so orders are placed meanwhile. Before the new code: workers of before do not look at the new column and send
-- as they did; they find what is to be sent more slowly until they are replaced.

ALTER TABLE {order_items} ADD COLUMN IF NOT EXISTS download_due_at TIMESTAMPTZ NOT NULL DEFAULT '-infinity';

CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_order_items_download_due} ON {order_items} (tenant_id, download_due_at)
    WHERE is_digital AND NOT download_link_sent AND download_due_at < 'infinity';
DROP INDEX CONCURRENTLY IF EXISTS {idx_order_items_unsent};
