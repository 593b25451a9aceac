-- transaction: none
-- What the queue is read by. Lock: SHARE UPDATE EXCLUSIVE, so orders are placed meanwhile. Run before the new code.

ALTER TABLE {webhook_queue} VALIDATE CONSTRAINT webhook_queue_endpoint_fkey;
ALTER TABLE {webhook_queue} VALIDATE CONSTRAINT webhook_queue_claim_whole;
ALTER TABLE {webhook_queue} VALIDATE CONSTRAINT webhook_queue_completed_dated;

-- In the very order in which rows are claimed, so that a claim reads as many entries as it takes.
DROP INDEX CONCURRENTLY IF EXISTS {idx_webhook_queue_status};
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_webhook_queue_status} ON {webhook_queue} (tenant_id, destination, next_attempt_at, id) WHERE status = 'pending';
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_webhook_queue_lease} ON {webhook_queue} (tenant_id, lease_until) WHERE status = 'processing';
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_webhook_queue_created} ON {webhook_queue} (tenant_id, created_at DESC, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_webhook_queue_completed} ON {webhook_queue} (tenant_id, completed_at) WHERE status = 'success';
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_webhook_queue_listing} ON {webhook_queue} (tenant_id, status, created_at DESC, id DESC);
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_webhook_queue_endpoint} ON {webhook_queue} (tenant_id, endpoint_id) WHERE endpoint_id IS NOT NULL;
