-- name: claim_key(tenant_id, scope, key, request_fingerprint, claim, lease, ttl) -> UUID?
-- Take the key, or take it over: from a row that is past its time, or from the same request whose lease ran out before it
-- committed anything. No row means that somebody else has it. EXCLUDED.created_at is this statement's now().
INSERT INTO {idempotency_keys} AS k (tenant_id, scope, key, request_fingerprint, state, claim, lease_until, created_at, expires_at)
VALUES (:tenant_id, :scope, :key, :request_fingerprint, 'in_flight', :claim, now() + :lease, now(), now() + :ttl)
    ON CONFLICT (tenant_id, scope, key) DO UPDATE
   SET request_fingerprint = EXCLUDED.request_fingerprint, state = EXCLUDED.state, claim = EXCLUDED.claim,
       lease_until = EXCLUDED.lease_until, response = NULL, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
 WHERE k.expires_at <= EXCLUDED.created_at
    OR (k.state = 'in_flight' AND k.lease_until <= EXCLUDED.created_at
        AND k.request_fingerprint = EXCLUDED.request_fingerprint)
RETURNING claim;

-- name: known_key(tenant_id, scope, key) -> KnownKey?
-- What is past its time is not there, cleaned up or not.
SELECT request_fingerprint, state, claim, lease_until > now() AS leased, response, created_at, expires_at
  FROM {idempotency_keys}
 WHERE tenant_id = :tenant_id
   AND scope = :scope
   AND key = :key
   AND expires_at > now();

-- name: settle_key(tenant_id, scope, key, claim) -> count
-- In the transaction of the work. 0: another one took the key over, and the work must not be committed.
UPDATE {idempotency_keys}
   SET state = 'settled'
 WHERE tenant_id = :tenant_id
   AND scope = :scope
   AND key = :key
   AND claim = :claim
   AND state IN ('in_flight', 'settled');

-- name: answer_key(tenant_id, scope, key, claim, response) -> count
UPDATE {idempotency_keys}
   SET state = 'done', response = :response
 WHERE tenant_id = :tenant_id
   AND scope = :scope
   AND key = :key
   AND claim = :claim
   AND state <> 'done';

-- name: release_key(tenant_id, scope, key, claim) -> count
-- After a refusal the same key may be tried again. What was committed is not forgotten, whatever was answered.
DELETE FROM {idempotency_keys}
 WHERE tenant_id = :tenant_id
   AND scope = :scope
   AND key = :key
   AND claim = :claim
   AND state = 'in_flight';

-- name: save_key(tenant_id, scope, key, request_fingerprint, claim, response, ttl) -> UUID?
-- Of several that save one key, the first stays, until its time is over.
INSERT INTO {idempotency_keys} AS k (tenant_id, scope, key, request_fingerprint, state, claim, response, created_at, expires_at)
VALUES (:tenant_id, :scope, :key, :request_fingerprint, 'done', :claim, :response, now(), now() + :ttl)
    ON CONFLICT (tenant_id, scope, key) DO UPDATE
   SET request_fingerprint = EXCLUDED.request_fingerprint, state = EXCLUDED.state, claim = EXCLUDED.claim,
       response = EXCLUDED.response, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
 WHERE k.expires_at <= EXCLUDED.created_at
RETURNING claim;

-- name: delete_key(tenant_id, scope, key) -> count
DELETE FROM {idempotency_keys}
 WHERE tenant_id = :tenant_id
   AND scope = :scope
   AND key = :key;

-- name: tenants_with_expired_keys(size) -> str*
-- scope: all tenants
-- First whose keys, then theirs: the deletion below stays on one node.
SELECT DISTINCT tenant_id
  FROM (SELECT tenant_id
          FROM {idempotency_keys}
         WHERE expires_at <= now()
         ORDER BY expires_at
         LIMIT :size) due;

-- name: delete_expired_keys(tenant_id, size) -> count
-- Rows that a request holds just now are left for the next pass.
WITH due AS MATERIALIZED (
    SELECT scope, key
      FROM {idempotency_keys}
     WHERE tenant_id = :tenant_id
       AND expires_at <= now()
     ORDER BY expires_at
     LIMIT :size
       FOR UPDATE SKIP LOCKED)
DELETE FROM {idempotency_keys} k
 USING due
 WHERE k.tenant_id = :tenant_id
   AND k.scope = due.scope
   AND k.key = due.key;

-- name: count_hits(tenant_id, bucket, window_at, hits) -> int
-- Counts in one statement: processes cannot both read the same number. It is a transaction of its own and waits for no disk:
-- what a crash of PostgreSQL takes back is the counts of its last second.
INSERT INTO {rate_counters} AS c (tenant_id, bucket, window_at, hits)
SELECT :tenant_id, :bucket, :window_at, :hits
  FROM (SELECT set_config('synchronous_commit', 'off', TRUE)) unhurried
    ON CONFLICT (tenant_id, bucket, window_at) DO UPDATE
   SET hits = c.hits + excluded.hits
RETURNING hits;

-- name: tenants_with_old_counters(before, size) -> str*
-- scope: all tenants
SELECT DISTINCT tenant_id
  FROM (SELECT tenant_id
          FROM {rate_counters}
         WHERE window_at < :before
         ORDER BY window_at
         LIMIT :size) due;

-- name: delete_old_counters(tenant_id, before, size) -> count
WITH due AS MATERIALIZED (
    SELECT bucket, window_at
      FROM {rate_counters}
     WHERE tenant_id = :tenant_id
       AND window_at < :before
     ORDER BY window_at
     LIMIT :size
       FOR UPDATE SKIP LOCKED)
DELETE FROM {rate_counters} c
 USING due
 WHERE c.tenant_id = :tenant_id
   AND c.bucket = due.bucket
   AND c.window_at = due.window_at;
