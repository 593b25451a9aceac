-- name: store(tenant_id, id, source, webhook_type, event_id, max_attempts, headers, payload, signature?, verified_by) -> count
-- None where the same event of this source is there already, whatever became of it: of several at once the first one counts.
INSERT INTO {webhooks_inbox} (tenant_id, id, source, webhook_type, event_id, max_attempts, headers, payload, signature,
                              signature_valid, verified_by)
VALUES (:tenant_id, :id, :source, :webhook_type, :event_id, :max_attempts, :headers, :payload, :signature, TRUE, :verified_by)
    ON CONFLICT (tenant_id, source, event_id) DO NOTHING;

-- name: store_forged(tenant_id, id, source, webhook_type, headers, payload, signature?, error) -> count
-- To be looked at, and never processed. Its event's id is not kept: who makes one up must not take the place of the real one.
INSERT INTO {webhooks_inbox} (tenant_id, id, source, webhook_type, status, headers, payload, signature, signature_valid,
                              error_message, processed_at)
VALUES (:tenant_id, :id, :source, :webhook_type, 'failed', :headers, :payload, :signature, FALSE, :error, now());

-- name: tenants_with_due(wait_max, size) -> TenantId*
-- scope: all tenants
-- One step of the index for each tenant that has something in it, however many rows. A suspended shop's wait.
WITH RECURSIVE step AS (
    (SELECT tenant_id
       FROM {webhooks_inbox}
      WHERE status IN ('pending', 'failed')
      ORDER BY tenant_id
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id
      FROM step s
     CROSS JOIN LATERAL (
           SELECT i.tenant_id
             FROM {webhooks_inbox} i
            WHERE i.status IN ('pending', 'failed')
              AND i.tenant_id > s.tenant_id
            ORDER BY i.tenant_id
            LIMIT 1) n)
SELECT s.tenant_id
  FROM step s
  JOIN {tenants} t
    ON t.tenant_id = s.tenant_id
   AND t.status = 'active'
 WHERE EXISTS (SELECT FROM {webhooks_inbox} i
                WHERE i.tenant_id = s.tenant_id
                  AND i.status = 'pending'
                  AND (i.attempts = 0 OR i.next_attempt_at <= now() OR i.next_attempt_at > now() + :wait_max))
 LIMIT :size;

-- name: claim(tenant_id, claim, lease, wait_max) -> InboxMessage?
-- The oldest that is due. The attempt is counted here, so a message that kills its worker ends as well; and one at a time is
-- claimed, so it takes no other message's attempts with it. Rivals get other rows, and wait for nobody. What was not tried yet
-- waits for nothing, and nothing longer than `wait_max`: where it says so the database's clock was set back since. A row that
-- somebody made pending by hand, with all its attempts used, has one more: were it refused, none behind it would have its turn.
WITH due AS (
    SELECT id
      FROM {webhooks_inbox}
     WHERE tenant_id = :tenant_id
       AND status = 'pending'
       AND (attempts = 0 OR next_attempt_at <= now() OR next_attempt_at > now() + :wait_max)
     ORDER BY created_at
     LIMIT 1
       FOR UPDATE SKIP LOCKED)
UPDATE {webhooks_inbox} i
   SET status = 'processing', claim = :claim, lease_until = now() + :lease, attempts = least(i.attempts + 1, i.max_attempts)
  FROM due
 WHERE i.tenant_id = :tenant_id
   AND i.id = due.id
RETURNING i.id, i.source, i.webhook_type, coalesce(i.event_id, i.id::text) AS event_id, i.headers, i.payload, i.verified_by, i.attempts, i.max_attempts,
          i.received_at;

-- name: hold(tenant_id, message_id, claim) -> bool?
-- The first thing in the handler's transaction. While it runs nobody takes the message away, however long ago its lease ended.
SELECT TRUE
  FROM {webhooks_inbox}
 WHERE tenant_id = :tenant_id
   AND id = :message_id
   AND claim = :claim
   AND status = 'processing'
   FOR UPDATE;

-- name: complete(tenant_id, message_id, claim, status, result, order_id?, payment_id?, fulfillment_id?) -> count
-- In the handler's transaction: what it did and that it is done are one commit.
UPDATE {webhooks_inbox}
   SET status = :status, claim = NULL, lease_until = NULL, processed_at = now(), error_message = NULL, result = :result,
       related_order_id = :order_id, related_payment_id = :payment_id, related_fulfillment_id = :fulfillment_id
 WHERE tenant_id = :tenant_id
   AND id = :message_id
   AND claim = :claim
   AND status = 'processing';

-- name: give_back(tenant_id, message_id, claim, error, again_in) -> InboxStatus?
-- To be tried again after so long by the database's clock, or failed after its last attempt. None where it is somebody else's by now.
UPDATE {webhooks_inbox} i
   SET status = CASE WHEN i.attempts >= i.max_attempts THEN 'failed'::{inbox_status} ELSE 'pending'::{inbox_status} END,
       processed_at = CASE WHEN i.attempts >= i.max_attempts THEN held.at END,
       next_attempt_at = CASE WHEN i.attempts >= i.max_attempts THEN i.next_attempt_at ELSE held.at + :again_in END,
       claim = NULL, lease_until = NULL, error_message = :error
  FROM (SELECT id, now() AS at
          FROM {webhooks_inbox}
         WHERE tenant_id = :tenant_id
           AND id = :message_id) held
 WHERE i.tenant_id = :tenant_id
   AND i.id = held.id
   AND i.claim = :claim
   AND i.status = 'processing'
RETURNING i.status;

-- name: tenants_with_lost(size) -> TenantId*
-- scope: all tenants
SELECT DISTINCT tenant_id
  FROM {webhooks_inbox}
 WHERE status = 'processing'
   AND lease_until <= now()
 LIMIT :size;

-- name: return_lost(tenant_id, size) -> count
-- What a worker held when it died is due again, or failed where that was its last attempt. One that is still being handled is
-- locked by its handler's transaction, and left to it.
UPDATE {webhooks_inbox} i
   SET status = CASE WHEN i.attempts >= i.max_attempts THEN 'failed'::{inbox_status} ELSE 'pending'::{inbox_status} END,
       processed_at = CASE WHEN i.attempts >= i.max_attempts THEN lost.at END,
       claim = NULL, lease_until = NULL, error_message = 'the worker that handled it went away', next_attempt_at = lost.at
  FROM (SELECT id, now() AS at
          FROM {webhooks_inbox}
         WHERE tenant_id = :tenant_id
           AND status = 'processing'
           AND lease_until <= now()
         LIMIT :size
           FOR UPDATE SKIP LOCKED) lost
 WHERE i.tenant_id = :tenant_id
   AND i.id = lost.id;

-- name: entry(tenant_id, message_id) -> InboxEntry?
SELECT id, source, webhook_type, event_id, status, attempts, max_attempts, next_attempt_at, headers, payload, signature,
       signature_valid, verified_by, processed_at, error_message, result, related_order_id, related_payment_id,
       related_fulfillment_id, received_at, created_at
  FROM {webhooks_inbox}
 WHERE tenant_id = :tenant_id
   AND id = :message_id;

-- name: entries(tenant_id, status?, source?, webhook_type?, before_at?, before_id?, size) -> InboxSummary*
SELECT id, source, webhook_type, event_id, status, attempts, max_attempts, next_attempt_at, signature_valid, processed_at,
       error_message, related_order_id, related_payment_id, related_fulfillment_id, received_at
  FROM {webhooks_inbox}
 WHERE tenant_id = :tenant_id
   AND status = :status                                              -- if status
   AND source = :source                                              -- if source
   AND webhook_type = :webhook_type                                  -- if webhook_type
   AND (received_at, id) < (:before_at, :before_id)                  -- if before_at
 ORDER BY received_at DESC, id DESC
 LIMIT :size;

-- name: replay(tenant_id, message_id) -> count
-- With all its attempts, also one that waits for its next. Never what its source has not signed.
UPDATE {webhooks_inbox}
   SET status = 'pending', attempts = 0, next_attempt_at = now(), processed_at = NULL, error_message = NULL, result = NULL
 WHERE tenant_id = :tenant_id
   AND id = :message_id
   AND (status IN ('failed', 'skipped') OR (status = 'pending' AND attempts > 0))
   AND signature_valid;

-- name: depths(tenant_id) -> InboxDepth*
-- What waits, is being handled and was given up. What was processed is not counted: it is most of the table.
SELECT CASE WHEN signature_valid THEN status::text ELSE 'forged' END AS status, count(*)::int AS rows,
       min(received_at) AS oldest
  FROM {webhooks_inbox}
 WHERE tenant_id = :tenant_id
   AND status IN ('pending', 'processing', 'failed')
 GROUP BY 1
 ORDER BY 1;

-- name: depths_of_all() -> InboxBacklog*
-- scope: all tenants
-- For the metrics of an installation. What waits is counted by the index alone; what failed is looked at by tenant, one step of
-- the index for each, as the index does not know what is forged.
WITH RECURSIVE step AS (
    (SELECT tenant_id
       FROM {webhooks_inbox}
      WHERE status = 'failed'
      ORDER BY tenant_id
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id
      FROM step s
     CROSS JOIN LATERAL (
           SELECT i.tenant_id
             FROM {webhooks_inbox} i
            WHERE i.status = 'failed'
              AND i.tenant_id > s.tenant_id
            ORDER BY i.tenant_id
            LIMIT 1) n)
SELECT 'pending' AS status, count(*)::int AS rows, now() - min(created_at) AS age
  FROM {webhooks_inbox}
 WHERE status = 'pending'
HAVING count(*) > 0
 UNION ALL
SELECT CASE WHEN f.signature_valid THEN 'failed' ELSE 'forged' END, sum(f.rows)::int, now() - min(f.oldest)
  FROM step s
 CROSS JOIN LATERAL (
       SELECT i.signature_valid, count(*) AS rows, min(i.created_at) AS oldest
         FROM {webhooks_inbox} i
        WHERE i.tenant_id = s.tenant_id
          AND i.status = 'failed'
        GROUP BY i.signature_valid) f
 GROUP BY 1
 UNION ALL
SELECT 'processing', count(*)::int, now() - min(created_at)
  FROM {webhooks_inbox}
 WHERE status = 'processing'
HAVING count(*) > 0;

-- name: tenants_with_old(before, after, size) -> TenantId*
-- scope: all tenants
-- The next ones, by their id, which has to be said: who asks goes on after the last. One step of the index for each tenant.
WITH RECURSIVE step AS (
    (SELECT tenant_id
       FROM {webhooks_inbox}
      WHERE tenant_id > :after
      ORDER BY tenant_id, received_at DESC, id DESC
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id
      FROM step s
     CROSS JOIN LATERAL (
           SELECT i.tenant_id
             FROM {webhooks_inbox} i
            WHERE i.tenant_id > s.tenant_id
            ORDER BY i.tenant_id, i.received_at DESC, i.id DESC
            LIMIT 1) n)
SELECT s.tenant_id
  FROM step s
 WHERE EXISTS (SELECT FROM {webhooks_inbox} i
                WHERE i.tenant_id = s.tenant_id
                  AND i.received_at < :before)
 ORDER BY s.tenant_id
 LIMIT :size;

-- name: purge(tenant_id, before, size) -> count
-- Only what was processed; what failed stays until somebody looks at it.
DELETE FROM {webhooks_inbox} i
 USING (SELECT id
          FROM {webhooks_inbox}
         WHERE tenant_id = :tenant_id
           AND received_at < :before
           AND status IN ('completed', 'skipped')
         ORDER BY received_at DESC, id DESC
         LIMIT :size
           FOR UPDATE SKIP LOCKED) old
 WHERE i.tenant_id = :tenant_id
   AND i.id = old.id;

-- name: purge_forged(tenant_id, before, size) -> count
DELETE FROM {webhooks_inbox} i
 USING (SELECT id
          FROM {webhooks_inbox}
         WHERE tenant_id = :tenant_id
           AND status = 'failed'
           AND created_at < :before
           AND NOT signature_valid
         ORDER BY created_at
         LIMIT :size
           FOR UPDATE SKIP LOCKED) old
 WHERE i.tenant_id = :tenant_id
   AND i.id = old.id;

-- Sources ---------------------------------------------------------------------------------------------------------------

-- name: insert_source(tenant_id, code, scheme, secret, signature_header, encoding, prefix, timestamp_header?, tolerance_seconds, event_id_at?, event_type_at, max_attempts, is_active) -> count
INSERT INTO {webhook_sources} (tenant_id, code, scheme, secret, signature_header, encoding, prefix, timestamp_header,
                               tolerance_seconds, event_id_at, event_type_at, max_attempts, is_active)
VALUES (:tenant_id, :code, :scheme, :secret, :signature_header, :encoding, :prefix, :timestamp_header, :tolerance_seconds,
        :event_id_at, :event_type_at, :max_attempts, :is_active)
    ON CONFLICT DO NOTHING;

-- name: source(tenant_id, code) -> WebhookSource?
SELECT code, scheme, signature_header, encoding, prefix, timestamp_header, tolerance_seconds, event_id_at, event_type_at,
       max_attempts, is_active, created_at, updated_at
  FROM {webhook_sources}
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: lock_source(tenant_id, code) -> WebhookSource?
SELECT code, scheme, signature_header, encoding, prefix, timestamp_header, tolerance_seconds, event_id_at, event_type_at,
       max_attempts, is_active, created_at, updated_at
  FROM {webhook_sources}
 WHERE tenant_id = :tenant_id
   AND code = :code
   FOR NO KEY UPDATE;

-- name: sources(tenant_id, size) -> WebhookSource*
-- A shop has SOURCES_MAX at most.
SELECT code, scheme, signature_header, encoding, prefix, timestamp_header, tolerance_seconds, event_id_at, event_type_at,
       max_attempts, is_active, created_at, updated_at
  FROM {webhook_sources}
 WHERE tenant_id = :tenant_id
 ORDER BY code
 LIMIT :size;

-- name: source_keys(tenant_id, code) -> SourceKeys?
SELECT code, scheme, secret, previous_secret, signature_header, encoding, prefix, timestamp_header, tolerance_seconds,
       event_id_at, event_type_at, max_attempts, is_active
  FROM {webhook_sources}
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: update_source(tenant_id, code, signature_header, encoding, prefix, timestamp_header?, tolerance_seconds, event_id_at?, event_type_at, max_attempts, is_active) -> count
UPDATE {webhook_sources}
   SET signature_header = :signature_header, encoding = :encoding, prefix = :prefix, timestamp_header = :timestamp_header,
       tolerance_seconds = :tolerance_seconds, event_id_at = :event_id_at, event_type_at = :event_type_at,
       max_attempts = :max_attempts, is_active = :is_active, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: change_secret(tenant_id, code, secret) -> count
-- The one before is still good beside it, until it is dropped or changed again.
UPDATE {webhook_sources}
   SET previous_secret = secret, secret = :secret, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: drop_previous_secret(tenant_id, code) -> count
UPDATE {webhook_sources}
   SET previous_secret = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: delete_source(tenant_id, code) -> count
DELETE FROM {webhook_sources}
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- Keys ------------------------------------------------------------------------------------------------------------------

-- name: sealed_sources(after_tenant, after_code, size) -> SealedSource*
-- scope: all tenants
-- The next rows by key.
SELECT tenant_id, code, secret, previous_secret
  FROM {webhook_sources}
 WHERE (tenant_id, code) > (:after_tenant, :after_code)
 ORDER BY tenant_id, code
 LIMIT :size;

-- name: reseal_source(tenant_id, code, known, known_previous?, secret, previous_secret?) -> count
-- None where its secret was changed, or the one before dropped, meanwhile.
UPDATE {webhook_sources}
   SET secret = :secret,
       previous_secret = :previous_secret
 WHERE tenant_id = :tenant_id
   AND code = :code
   AND secret = :known
   AND previous_secret IS NOT DISTINCT FROM :known_previous;

-- name: source_seals() -> SealedCount*
-- scope: all tenants
-- How many rows hold a secret that each key has sealed.
SELECT split_part(s.sealed, '.', 2) AS key_id, count(DISTINCT (w.tenant_id, w.code))::int AS rows
  FROM {webhook_sources} w
 CROSS JOIN unnest(ARRAY[w.secret, w.previous_secret]) AS s (sealed)
 WHERE s.sealed IS NOT NULL
 GROUP BY 1
 ORDER BY 1;
