-- transaction: none
-- What the queue writes for a row that arrives at once is halved: its attempt stays in the row itself, and the list by
-- status keeps the dead letters alone, since each move from state to state wrote an entry there.
--
-- Lock: ACCESS EXCLUSIVE on webhook_queue for an instant, to add a column that rewrites nothing; SHARE UPDATE EXCLUSIVE for
-- the index, so orders are placed meanwhile. Before the new code: workers of before go on writing such an attempt beside
-- the row, and both are read; their staff list by status more slowly until they are replaced.

-- Of the attempt that arrived. NULL where it did not yet, or where the attempt stands in webhook_attempts.
ALTER TABLE {webhook_queue} ADD COLUMN IF NOT EXISTS duration_ms INTEGER;

CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_webhook_queue_failed} ON {webhook_queue} (tenant_id, created_at DESC, id DESC) WHERE status = 'failed';
DROP INDEX CONCURRENTLY IF EXISTS {idx_webhook_queue_listing};
