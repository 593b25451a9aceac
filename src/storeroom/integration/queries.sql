-- name: enqueue(tenant_id, webhook_id, destination, url, event_type, payload, headers, max_attempts, entity_type?, entity_id?, next_attempt_at?) -> count
-- A row that brings its own address.
INSERT INTO {webhook_queue} (tenant_id, id, destination, url, event_type, payload, headers, max_attempts, entity_type, entity_id,
                             next_attempt_at)
VALUES (:tenant_id, :webhook_id, :destination, :url, :event_type, :payload, :headers, :max_attempts, :entity_type, :entity_id,
        coalesce(:next_attempt_at, now()));

-- name: fan_out(tenant_id, destinations, event_types, size) -> int
-- Events that wait for their receivers become one row for each endpoint that asked for them, and for each of our own
-- destinations that hears of their type, or of their type with that status; those nobody asked for are done. A row's id
-- is made of both, so that an event reaches a receiver once however often this runs; it begins as the event's does, with the
-- time, so that rows of one hour lie together in the index. An endpoint that is being removed is waited for, and then is none.
WITH due AS (
    SELECT id, event_type, payload, entity_type, entity_id, created_at
      FROM {webhook_queue}
     WHERE tenant_id = :tenant_id
       AND destination = 'webhooks'
       AND status = 'pending'
       AND next_attempt_at <= now()
     ORDER BY next_attempt_at, id
     LIMIT :size
       FOR UPDATE SKIP LOCKED),
receivers AS (
    SELECT id, event_types, max_attempts
      FROM {webhook_endpoints}
     WHERE tenant_id = :tenant_id
       AND is_active
       FOR KEY SHARE),
sent AS (
    INSERT INTO {webhook_queue} (tenant_id, id, event_id, endpoint_id, destination, event_type, payload, max_attempts, entity_type,
                                 entity_id, created_at)
    SELECT :tenant_id, (left(d.id::text, 15) || substr(md5(d.id::text || e.id::text)::uuid::text, 16))::uuid, d.id, e.id,
           'endpoint:' || e.id, d.event_type, d.payload, e.max_attempts, d.entity_type, d.entity_id, d.created_at
      FROM due d
      JOIN receivers e
        ON e.event_types IS NULL OR d.event_type = ANY (e.event_types)
        OR split_part(d.event_type, '.', 1) || '.*' = ANY (e.event_types)
        ON CONFLICT DO NOTHING),
carried AS (
    INSERT INTO {webhook_queue} (tenant_id, id, event_id, destination, event_type, payload, entity_type, entity_id, created_at)
    SELECT :tenant_id, (left(d.id::text, 15) || substr(md5(d.id::text || c.destination)::uuid::text, 16))::uuid, d.id,
           c.destination, d.event_type, d.payload, d.entity_type, d.entity_id, d.created_at
      FROM due d
      JOIN unnest(:destinations::text[], :event_types::text[]) AS c (destination, event_type)
        ON c.event_type IN (d.event_type, d.event_type || ':' || (d.payload->>'status'))
        ON CONFLICT DO NOTHING),
done AS (
    UPDATE {webhook_queue} q
       SET status = 'success', completed_at = now()
      FROM due d
     WHERE q.tenant_id = :tenant_id
       AND q.id = d.id
    RETURNING q.id)
SELECT count(*)::int FROM done;

-- name: tenants_with_events(size) -> TenantId*
-- scope: all tenants
-- One step of the index for each tenant, however many rows it has.
WITH RECURSIVE step AS (
    (SELECT tenant_id
       FROM {webhook_queue}
      WHERE status = 'pending'
      ORDER BY tenant_id, destination, next_attempt_at
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id
      FROM step s
     CROSS JOIN LATERAL (
           SELECT q.tenant_id
             FROM {webhook_queue} q
            WHERE q.status = 'pending'
              AND q.tenant_id > s.tenant_id
            ORDER BY q.tenant_id, q.destination, q.next_attempt_at
            LIMIT 1) n)
SELECT s.tenant_id
  FROM step s
 WHERE EXISTS (SELECT FROM {webhook_queue} q
                WHERE q.tenant_id = s.tenant_id
                  AND q.destination = 'webhooks'
                  AND q.status = 'pending'
                  AND q.next_attempt_at <= now())
 LIMIT :size;

-- name: due_destinations(after_tenant?, after_destination?, size) -> Destination*
-- scope: all tenants
-- Where anything is due now that may be sent: one step of the index for each destination, however many rows wait there.
WITH RECURSIVE step AS (
    (SELECT tenant_id, destination
       FROM {webhook_queue}
      WHERE status = 'pending'
        AND (tenant_id, destination) > (:after_tenant, :after_destination)  -- if after_tenant
      ORDER BY tenant_id, destination, next_attempt_at
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id, n.destination
      FROM step s
     CROSS JOIN LATERAL (
           SELECT q.tenant_id, q.destination
             FROM {webhook_queue} q
            WHERE q.status = 'pending'
              AND (q.tenant_id, q.destination) > (s.tenant_id, s.destination)
            ORDER BY q.tenant_id, q.destination, q.next_attempt_at
            LIMIT 1) n)
SELECT s.tenant_id, s.destination, d.endpoint_id, coalesce(e.failures, 0) AS failures
  FROM step s
 CROSS JOIN LATERAL (
       SELECT q.endpoint_id, q.next_attempt_at
         FROM {webhook_queue} q
        WHERE q.tenant_id = s.tenant_id
          AND q.destination = s.destination
          AND q.status = 'pending'
        ORDER BY q.next_attempt_at
        LIMIT 1) d
  LEFT JOIN {webhook_endpoints} e ON e.tenant_id = s.tenant_id AND e.id = d.endpoint_id
 WHERE s.destination <> 'webhooks'
   AND d.next_attempt_at <= now()
   AND (e.id IS NULL OR (e.is_active AND (e.paused_until IS NULL OR e.paused_until <= now())))
 LIMIT :size;

-- name: claim(tenant_id, destination, claim, lease, size) -> Claimed*
-- The attempt is counted here, so a row that kills its worker ends as well. Rivals get other rows, and wait for nobody.
-- Rows are locked as they are asked for, so :size of them. The other limits are for the planner alone: it takes one that it
-- does not know for a tenth of what is there, finds that dear where much waits, and would plan the statement anew each time,
-- which takes as long as the claim. Twice a tenth of LISTED_MAX, the most that is asked for, is one row, and never dear.
WITH due AS (
    SELECT ctid
      FROM (SELECT ctid
              FROM (SELECT ctid
                      FROM {webhook_queue}
                     WHERE tenant_id = :tenant_id
                       AND destination = :destination
                       AND status = 'pending'
                       AND next_attempt_at <= now()
                     ORDER BY next_attempt_at, id
                     LIMIT 100
                       FOR UPDATE SKIP LOCKED) most
             LIMIT :size) few
     LIMIT :size)
UPDATE {webhook_queue} q
   SET status = 'processing', claim = :claim, lease_until = now() + :lease, attempts = q.attempts + 1, last_attempt_at = now()
  FROM due
 WHERE q.tenant_id = :tenant_id
   AND q.ctid = due.ctid
RETURNING q.id, q.event_id, q.endpoint_id, q.url, q.event_type, q.payload, q.headers, q.attempts, q.max_attempts, q.entity_type,
          q.entity_id, q.created_at;

-- name: claim_in_order(tenant_id, destination, claim, lease, size) -> Claimed*
-- As `claim`, of each entity only the first of those that have not ended: the next waits until it arrived or was given up.
-- Events that wait to be fanned out count: another worker may be about to, and nobody sees its rows before it is done.
WITH due AS (
    SELECT ctid
      FROM (SELECT ctid
              FROM (SELECT w.ctid
                      FROM {webhook_queue} w
                     WHERE w.tenant_id = :tenant_id
                       AND w.destination = :destination
                       AND w.status = 'pending'
                       AND w.next_attempt_at <= now()
                       AND NOT EXISTS (SELECT FROM {webhook_queue} e
                                        WHERE e.tenant_id = :tenant_id
                                          AND e.entity_type = w.entity_type
                                          AND e.entity_id = w.entity_id
                                          AND e.destination IN (w.destination, 'webhooks')
                                          AND e.status IN ('pending', 'processing')
                                          AND coalesce(e.event_id, e.id) < coalesce(w.event_id, w.id))
                     ORDER BY w.next_attempt_at, w.id
                     LIMIT 100
                       FOR UPDATE OF w SKIP LOCKED) most
             LIMIT :size) few
     LIMIT :size)
UPDATE {webhook_queue} q
   SET status = 'processing', claim = :claim, lease_until = now() + :lease, attempts = q.attempts + 1, last_attempt_at = now()
  FROM due
 WHERE q.tenant_id = :tenant_id
   AND q.ctid = due.ctid
RETURNING q.id, q.event_id, q.endpoint_id, q.url, q.event_type, q.payload, q.headers, q.attempts, q.max_attempts, q.entity_type,
          q.entity_id, q.created_at;

-- name: settle(tenant_id, claim, ids, delivered, final, errors, statuses, bodies, durations, again_in) -> int
-- What came of some rows of one claim: taken, to be tried again, or given up. Rows whose lease was lost are left alone, and
-- leave no attempt: they are somebody else's by now. The attempt that arrived is the last of its row and stays in it; the
-- others get rows of their own, each of which asks for its webhook's row again to see that it is there. When one is tried
-- again is told by the clock that `claim` asks, not by the worker's.
WITH told AS (
    SELECT t.id, t.delivered, t.final, nullif(t.error, '') AS error, nullif(t.response_status, 0) AS response_status,
           nullif(t.response_body, '') AS response_body, t.duration_ms, now() + t.again_in AS again_at, now() AS at
      FROM unnest(:ids::uuid[], :delivered::boolean[], :final::boolean[], :errors::text[], :statuses::integer[], :bodies::text[],
                  :durations::integer[], :again_in::interval[])
        AS t (id, delivered, final, error, response_status, response_body, duration_ms, again_in)),
settled AS (
    UPDATE {webhook_queue} q
       SET status = CASE WHEN t.delivered THEN 'success'::{webhook_status}
                         WHEN t.final OR q.attempts >= q.max_attempts THEN 'failed'::{webhook_status}
                         ELSE 'pending'::{webhook_status} END,
           next_attempt_at = CASE WHEN t.delivered OR t.final OR q.attempts >= q.max_attempts THEN q.next_attempt_at ELSE t.again_at END,
           completed_at = CASE WHEN t.delivered OR t.final OR q.attempts >= q.max_attempts THEN t.at END,
           claim = NULL, lease_until = NULL, last_error = t.error, response_status = t.response_status,
           response_body = t.response_body, duration_ms = CASE WHEN t.delivered THEN t.duration_ms END
      FROM told t
     WHERE q.tenant_id = :tenant_id
       AND q.id = t.id
       AND q.claim = :claim
       AND q.status = 'processing'
    RETURNING q.id, q.attempts, t.delivered, t.duration_ms, t.response_status, t.response_body, t.error),
kept AS (
    INSERT INTO {webhook_attempts} (tenant_id, webhook_id, attempt, duration_ms, response_status, response_body, error)
    SELECT :tenant_id, s.id, s.attempts, s.duration_ms, s.response_status, s.response_body, s.error
      FROM settled s
     WHERE NOT s.delivered)
SELECT count(*)::int FROM settled;

-- name: held(tenant_id, webhook_id, claim) -> int?
-- The attempts of a row whose lease still runs, which nobody takes from now on. By the clock as it is: a transaction may
-- have begun before the lease ended.
SELECT attempts
  FROM {webhook_queue}
 WHERE tenant_id = :tenant_id
   AND id = :webhook_id
   AND claim = :claim
   AND lease_until > clock_timestamp()
   FOR NO KEY UPDATE;

-- name: put_off(tenant_id, webhook_id, next_attempt_at) -> count
UPDATE {webhook_queue}
   SET next_attempt_at = :next_attempt_at
 WHERE tenant_id = :tenant_id
   AND id = :webhook_id
   AND status = 'pending';

-- name: mark_processing(tenant_id, webhook_id, claim, lease) -> Claimed?
UPDATE {webhook_queue}
   SET status = 'processing', claim = :claim, lease_until = now() + :lease, attempts = attempts + 1, last_attempt_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :webhook_id
   AND status = 'pending'
RETURNING id, event_id, endpoint_id, url, event_type, payload, headers, attempts, max_attempts, entity_type, entity_id, created_at;

-- name: webhook(tenant_id, webhook_id) -> Webhook?
SELECT id, event_id, endpoint_id, destination, url, event_type, payload, headers, status, attempts, max_attempts, last_error,
       last_attempt_at, next_attempt_at, response_status, response_body, entity_type, entity_id, created_at, completed_at
  FROM {webhook_queue}
 WHERE tenant_id = :tenant_id
   AND id = :webhook_id;

-- name: webhooks_listed(tenant_id, before_at?, before_id?, size) -> Webhook*
SELECT id, event_id, endpoint_id, destination, url, event_type, payload, headers, status, attempts, max_attempts, last_error,
       last_attempt_at, next_attempt_at, response_status, response_body, entity_type, entity_id, created_at, completed_at
  FROM {webhook_queue}
 WHERE tenant_id = :tenant_id
   AND (created_at, id) < (:before_at, :before_id)                   -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :size;

-- name: webhooks_of_status(tenant_id, status, before_at?, before_id?, size) -> Webhook*
-- Only one of the four is run. Each has an index of its own that the state alone is in, or most rows are: an index over
-- all states would be written at each move.
WITH found AS (
    (SELECT id
       FROM {webhook_queue}
      WHERE tenant_id = :tenant_id
        AND status = 'pending'
        AND :status::text = 'pending'
        AND (created_at, id) < (:before_at, :before_id)               -- if before_at
      ORDER BY created_at DESC, id DESC
      LIMIT :size)
     UNION ALL
    (SELECT id
       FROM {webhook_queue}
      WHERE tenant_id = :tenant_id
        AND status = 'processing'
        AND :status::text = 'processing'
        AND (created_at, id) < (:before_at, :before_id)               -- if before_at
      ORDER BY created_at DESC, id DESC
      LIMIT :size)
     UNION ALL
    (SELECT id
       FROM {webhook_queue}
      WHERE tenant_id = :tenant_id
        AND status = 'failed'
        AND :status::text = 'failed'
        AND (created_at, id) < (:before_at, :before_id)               -- if before_at
      ORDER BY created_at DESC, id DESC
      LIMIT :size)
     UNION ALL
    (SELECT id
       FROM {webhook_queue}
      WHERE tenant_id = :tenant_id
        AND status = 'success'
        AND :status::text = 'success'
        AND (created_at, id) < (:before_at, :before_id)               -- if before_at
      ORDER BY created_at DESC, id DESC
      LIMIT :size))
SELECT q.id, q.event_id, q.endpoint_id, q.destination, q.url, q.event_type, q.payload, q.headers, q.status, q.attempts,
       q.max_attempts, q.last_error, q.last_attempt_at, q.next_attempt_at, q.response_status, q.response_body, q.entity_type,
       q.entity_id, q.created_at, q.completed_at
  FROM found f
  JOIN {webhook_queue} q ON q.tenant_id = :tenant_id AND q.id = f.id
 ORDER BY q.created_at DESC, q.id DESC
 LIMIT :size;

-- name: webhooks_of(tenant_id, entity_type, entity_id, size) -> Webhook*
-- What was told of one order, payment or account.
SELECT id, event_id, endpoint_id, destination, url, event_type, payload, headers, status, attempts, max_attempts, last_error,
       last_attempt_at, next_attempt_at, response_status, response_body, entity_type, entity_id, created_at, completed_at
  FROM {webhook_queue}
 WHERE tenant_id = :tenant_id
   AND entity_type = :entity_type
   AND entity_id = :entity_id
 ORDER BY created_at DESC, id DESC
 LIMIT :size;

-- name: attempts_of(tenant_id, webhook_id, size) -> Attempt*
-- The one that arrived stands in the row itself.
SELECT a.attempt, a.duration_ms, a.response_status, a.response_body, a.error, a.created_at
  FROM {webhook_attempts} a
 WHERE a.tenant_id = :tenant_id
   AND a.webhook_id = :webhook_id
 UNION ALL
SELECT q.attempts, q.duration_ms, q.response_status, q.response_body, NULL, q.completed_at
  FROM {webhook_queue} q
 WHERE q.tenant_id = :tenant_id
   AND q.id = :webhook_id
   AND q.status = 'success'
   AND q.duration_ms IS NOT NULL
 ORDER BY created_at
 LIMIT :size;

-- name: retry(tenant_id, webhook_id) -> count
-- A dead letter gets all its attempts again, unless its endpoint is gone. What is waiting anyway is due now.
UPDATE {webhook_queue}
   SET status = 'pending', attempts = 0, next_attempt_at = now(), last_error = NULL, completed_at = NULL
 WHERE tenant_id = :tenant_id
   AND id = :webhook_id
   AND status IN ('failed', 'pending')
   AND NOT (endpoint_id IS NULL AND destination LIKE 'endpoint:%');

-- name: delete(tenant_id, webhook_id) -> count
-- Whatever state it is in: a worker that holds it can finish nothing afterwards.
DELETE FROM {webhook_queue}
 WHERE tenant_id = :tenant_id
   AND id = :webhook_id;

-- name: tenants_with_lost_leases(size) -> TenantId*
-- scope: all tenants
SELECT DISTINCT tenant_id
  FROM {webhook_queue}
 WHERE status = 'processing'
   AND lease_until <= now()
 LIMIT :size;

-- name: return_lost(tenant_id, webhook_id?, size) -> int
-- What a worker held when it died is due again, or given up where that was its last attempt. The attempt is kept like any
-- other; how long it took nobody knows.
WITH lost AS (
    SELECT id, now() AS at
      FROM {webhook_queue}
     WHERE tenant_id = :tenant_id
       AND status = 'processing'
       AND lease_until <= now()
       AND id = :webhook_id                                          -- if webhook_id
     LIMIT :size
       FOR UPDATE SKIP LOCKED),
returned AS (
    UPDATE {webhook_queue} q
       SET status = CASE WHEN q.attempts >= q.max_attempts THEN 'failed'::{webhook_status} ELSE 'pending'::{webhook_status} END,
           completed_at = CASE WHEN q.attempts >= q.max_attempts THEN lost.at END,
           claim = NULL, lease_until = NULL, last_error = 'the worker that sent it went away', next_attempt_at = now()
      FROM lost
     WHERE q.tenant_id = :tenant_id
       AND q.id = lost.id
    RETURNING q.id, q.attempts, q.last_error),
kept AS (
    INSERT INTO {webhook_attempts} (tenant_id, webhook_id, attempt, duration_ms, error)
    SELECT :tenant_id, r.id, r.attempts, 0, r.last_error
      FROM returned r)
SELECT count(*)::int FROM returned;

-- name: tenants_set_back(size) -> TenantId*
-- scope: all tenants
-- Shops whose newest row is of a time that has not come yet: the clock of the database was set back. One step of the index
-- for each tenant.
WITH RECURSIVE step AS (
    (SELECT tenant_id, created_at
       FROM {webhook_queue}
      ORDER BY tenant_id, created_at DESC, id DESC
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id, n.created_at
      FROM step s
     CROSS JOIN LATERAL (
           SELECT q.tenant_id, q.created_at
             FROM {webhook_queue} q
            WHERE q.tenant_id > s.tenant_id
            ORDER BY q.tenant_id, q.created_at DESC, q.id DESC
            LIMIT 1) n)
SELECT s.tenant_id
  FROM step s
 WHERE s.created_at > now() + interval '1 minute'
 LIMIT :size;

-- name: catch_up(tenant_id, size) -> count
-- What was to be sent at once when it was queued, before the clock was set back, is due. What somebody put off stays.
UPDATE {webhook_queue} q
   SET next_attempt_at = hidden.at
  FROM (SELECT id, now() AS at
          FROM {webhook_queue}
         WHERE tenant_id = :tenant_id
           AND created_at > now() + interval '1 minute'
           AND status = 'pending'
           AND attempts = 0
           AND next_attempt_at > now()
           AND next_attempt_at < created_at + interval '1 minute'
         ORDER BY created_at DESC, id DESC
         LIMIT :size
           FOR UPDATE SKIP LOCKED) hidden
 WHERE q.tenant_id = :tenant_id
   AND q.id = hidden.id;

-- name: release(tenant_id, claim) -> int
-- Given back by a worker that stops: the attempt it cut off is shown and does not count.
WITH released AS (
    UPDATE {webhook_queue}
       SET status = 'pending', claim = NULL, lease_until = NULL, attempts = attempts - 1, next_attempt_at = now(),
           last_error = 'the worker that sent it stopped'
     WHERE tenant_id = :tenant_id
       AND status = 'processing'
       AND claim = :claim
    RETURNING id, attempts + 1 AS attempt, last_error, last_attempt_at),
kept AS (
    INSERT INTO {webhook_attempts} (tenant_id, webhook_id, attempt, duration_ms, error)
    SELECT :tenant_id, r.id, r.attempt, greatest(extract(epoch FROM now() - r.last_attempt_at) * 1000, 0)::int, r.last_error
      FROM released r)
SELECT count(*)::int FROM released;

-- name: tenants_with_old(before, size) -> TenantId*
-- scope: all tenants
WITH RECURSIVE step AS (
    (SELECT tenant_id
       FROM {webhook_queue}
      WHERE status = 'success'
      ORDER BY tenant_id, completed_at
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id
      FROM step s
     CROSS JOIN LATERAL (
           SELECT q.tenant_id
             FROM {webhook_queue} q
            WHERE q.status = 'success'
              AND q.tenant_id > s.tenant_id
            ORDER BY q.tenant_id, q.completed_at
            LIMIT 1) n)
SELECT s.tenant_id
  FROM step s
 WHERE EXISTS (SELECT FROM {webhook_queue} q
                WHERE q.tenant_id = s.tenant_id
                  AND q.status = 'success'
                  AND q.completed_at < :before)
 LIMIT :size;

-- name: purge(tenant_id, before, size) -> count
-- Only what arrived; dead letters stay until somebody looks at them.
DELETE FROM {webhook_queue} q
 USING (SELECT id
          FROM {webhook_queue}
         WHERE tenant_id = :tenant_id
           AND status = 'success'
           AND completed_at < :before
         ORDER BY completed_at
         LIMIT :size
           FOR UPDATE SKIP LOCKED) old
 WHERE q.tenant_id = :tenant_id
   AND q.id = old.id;

-- name: depths(tenant_id) -> QueueDepth*
-- What waits, is being sent and was given up, each by the index that it alone is in. What arrived is not counted: it is
-- most of the table.
SELECT d.status, d.rows, d.oldest
  FROM (SELECT 'pending'::{webhook_status} AS status, count(*)::int AS rows, min(created_at) AS oldest
          FROM {webhook_queue}
         WHERE tenant_id = :tenant_id
           AND status = 'pending'
         UNION ALL
        SELECT 'processing', count(*)::int, min(created_at)
          FROM {webhook_queue}
         WHERE tenant_id = :tenant_id
           AND status = 'processing'
         UNION ALL
        SELECT 'failed', count(*)::int, min(created_at)
          FROM {webhook_queue}
         WHERE tenant_id = :tenant_id
           AND status = 'failed') d
 WHERE d.rows > 0
 ORDER BY d.status;

-- name: depths_of_all() -> QueueAge*
-- scope: all tenants
-- For the metrics of an installation. The oldest of what waits is the one that is due longest: what is to be sent next
-- week, or tried again in an hour, keeps nobody waiting.
SELECT d.status, d.rows, extract(epoch FROM now() - d.oldest)::double precision AS oldest_seconds
  FROM (SELECT 'pending'::{webhook_status} AS status, count(*)::int AS rows, min(next_attempt_at) AS oldest
          FROM {webhook_queue}
         WHERE status = 'pending'
         UNION ALL
        SELECT 'processing', count(*)::int, min(last_attempt_at)
          FROM {webhook_queue}
         WHERE status = 'processing'
         UNION ALL
        SELECT 'failed', count(*)::int, min(created_at)
          FROM {webhook_queue}
         WHERE status = 'failed') d;

-- name: insert_endpoint(tenant_id, id, name, url, event_types?, secret, max_attempts, timeout_seconds, in_flight_max, keeps_order, is_active) -> count
INSERT INTO {webhook_endpoints} (tenant_id, id, name, url, event_types, secret, max_attempts, timeout_seconds, in_flight_max,
                                 keeps_order, is_active)
VALUES (:tenant_id, :id, :name, :url, :event_types, :secret, :max_attempts, :timeout_seconds, :in_flight_max, :keeps_order,
        :is_active);

-- name: endpoint(tenant_id, endpoint_id) -> Endpoint?
SELECT id, name, url, event_types, max_attempts, timeout_seconds, in_flight_max, keeps_order, is_active, failures, paused_until,
       created_at, updated_at
  FROM {webhook_endpoints}
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id;

-- name: lock_endpoint(tenant_id, endpoint_id) -> Endpoint?
SELECT id, name, url, event_types, max_attempts, timeout_seconds, in_flight_max, keeps_order, is_active, failures, paused_until,
       created_at, updated_at
  FROM {webhook_endpoints}
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id
   FOR NO KEY UPDATE;

-- name: lock_against_rows(tenant_id, endpoint_id) -> UUID?
-- Until it is gone nobody queues a row for it; who is about to is waited for.
SELECT id
  FROM {webhook_endpoints}
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id
   FOR UPDATE;

-- name: endpoints(tenant_id, size) -> Endpoint*
-- A shop has ENDPOINTS_MAX at most.
SELECT id, name, url, event_types, max_attempts, timeout_seconds, in_flight_max, keeps_order, is_active, failures, paused_until,
       created_at, updated_at
  FROM {webhook_endpoints}
 WHERE tenant_id = :tenant_id
 ORDER BY id
 LIMIT :size;

-- name: update_endpoint(tenant_id, id, name, url, event_types?, max_attempts, timeout_seconds, in_flight_max, keeps_order, is_active) -> count
-- Whoever changes it wants it tried: the pause ends.
UPDATE {webhook_endpoints}
   SET name = :name, url = :url, event_types = :event_types, max_attempts = :max_attempts, timeout_seconds = :timeout_seconds,
       in_flight_max = :in_flight_max, keeps_order = :keeps_order, is_active = :is_active, failures = 0, paused_until = NULL,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: change_secret(tenant_id, endpoint_id, secret) -> count
-- The one before goes on signing beside it, until the next change drops it.
UPDATE {webhook_endpoints}
   SET previous_secret = secret, secret = :secret, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id;

-- name: drop_previous_secret(tenant_id, endpoint_id) -> count
UPDATE {webhook_endpoints}
   SET previous_secret = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id;

-- name: cancel_queued(tenant_id, endpoint_id) -> count
-- What was meant for an endpoint that goes: given up, and no longer of it.
UPDATE {webhook_queue} q
   SET endpoint_id = NULL, claim = NULL, lease_until = NULL,
       status = CASE WHEN q.status = 'success' THEN q.status ELSE 'failed'::{webhook_status} END,
       completed_at = coalesce(q.completed_at, o.at),
       last_error = CASE WHEN q.status IN ('pending', 'processing') THEN 'its endpoint was removed' ELSE q.last_error END
  FROM (SELECT id, now() AS at
          FROM {webhook_queue}
         WHERE tenant_id = :tenant_id
           AND endpoint_id = :endpoint_id) o
 WHERE q.tenant_id = :tenant_id
   AND q.id = o.id;

-- name: delete_endpoint(tenant_id, endpoint_id) -> count
DELETE FROM {webhook_endpoints}
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id;

-- name: endpoint_keys(tenant_id, endpoint_id) -> EndpointKeys?
SELECT id, url, secret, previous_secret, timeout_seconds, in_flight_max, keeps_order, is_active, failures,
       paused_until - now() AS paused_for
  FROM {webhook_endpoints}
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id;

-- name: endpoint_answered(tenant_id, endpoint_id) -> count
-- Written only where there is something to take back.
UPDATE {webhook_endpoints}
   SET failures = 0, paused_until = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id
   AND (failures > 0 OR paused_until IS NOT NULL);

-- name: endpoint_failed(tenant_id, endpoint_id, failures) -> int?
UPDATE {webhook_endpoints}
   SET failures = least(failures + :failures, 1000000), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id
RETURNING failures;

-- name: pause_endpoint(tenant_id, endpoint_id, pause) -> count
UPDATE {webhook_endpoints}
   SET paused_until = now() + :pause, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :endpoint_id;

-- name: open_destinations(tenant_id, destination?, size) -> OpenDestination*
-- Of one tenant, those over the web that may be sent to now: one step of the index for each destination.
WITH RECURSIVE step AS (
    (SELECT destination
       FROM {webhook_queue}
      WHERE tenant_id = :tenant_id
        AND status = 'pending'
      ORDER BY destination, next_attempt_at
      LIMIT 1)
     UNION ALL
    SELECT (SELECT q.destination
              FROM {webhook_queue} q
             WHERE q.tenant_id = :tenant_id
               AND q.status = 'pending'
               AND q.destination > s.destination
             ORDER BY q.destination, q.next_attempt_at
             LIMIT 1)
      FROM step s
     WHERE s.destination IS NOT NULL)
SELECT s.destination, e.url, coalesce(e.keeps_order, FALSE) AS keeps_order
  FROM step s
  LEFT JOIN {webhook_endpoints} e ON e.tenant_id = :tenant_id AND s.destination = 'endpoint:' || e.id
 WHERE CASE WHEN e.id IS NULL THEN s.destination LIKE 'url:%'
            ELSE e.is_active AND (e.paused_until IS NULL OR e.paused_until <= now()) END
   AND s.destination = :destination                                  -- if destination
 LIMIT :size;

-- Keys ------------------------------------------------------------------------------------------------------------------

-- name: sealed_endpoints(after_tenant, after_id, size) -> SealedEndpoint*
-- scope: all tenants
-- The next rows by key.
SELECT tenant_id, id, secret, previous_secret
  FROM {webhook_endpoints}
 WHERE (tenant_id, id) > (:after_tenant, :after_id::uuid)
 ORDER BY tenant_id, id
 LIMIT :size;

-- name: reseal_endpoint(tenant_id, id, known, known_previous?, secret, previous_secret?) -> count
-- None where its secret was changed, or the one before dropped, meanwhile.
UPDATE {webhook_endpoints}
   SET secret = :secret,
       previous_secret = :previous_secret
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND secret = :known
   AND previous_secret IS NOT DISTINCT FROM :known_previous;

-- name: endpoint_seals() -> SealedCount*
-- scope: all tenants
-- How many rows hold a secret that each key has sealed.
SELECT split_part(s.sealed, '.', 2) AS key_id, count(DISTINCT (e.tenant_id, e.id))::int AS rows
  FROM {webhook_endpoints} e
 CROSS JOIN unnest(ARRAY[e.secret, e.previous_secret]) AS s (sealed)
 WHERE s.sealed IS NOT NULL
 GROUP BY 1
 ORDER BY 1;
