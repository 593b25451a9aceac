-- Whom a shop tells -----------------------------------------------------------------------------------------------------

-- name: tells_anybody(tenant_id) -> bool
SELECT EXISTS (SELECT FROM {conversion_providers}
                WHERE tenant_id = :tenant_id
                  AND is_active);

-- name: lock_providers(tenant_id) -> UUID*
-- Two that are made at once do not both become the last one that there may be.
SELECT id
  FROM {conversion_providers}
 WHERE tenant_id = :tenant_id
 ORDER BY id
   FOR NO KEY UPDATE;

-- name: insert_provider(tenant_id, id, kind, name, account_id, secret, test_event_code?, is_active) -> count
INSERT INTO {conversion_providers} (tenant_id, id, kind, name, account_id, secret, test_event_code, is_active)
VALUES (:tenant_id, :id, :kind, :name, :account_id, :secret, :test_event_code, :is_active)
    ON CONFLICT (tenant_id, kind, account_id) DO NOTHING;

-- name: provider(tenant_id, provider_id) -> Provider?
SELECT id, kind, name, account_id, test_event_code, is_active, failures, paused_until, last_error, last_sent_at, created_at,
       updated_at
  FROM {conversion_providers}
 WHERE tenant_id = :tenant_id
   AND id = :provider_id;

-- name: lock_provider(tenant_id, provider_id) -> Provider?
SELECT id, kind, name, account_id, test_event_code, is_active, failures, paused_until, last_error, last_sent_at, created_at,
       updated_at
  FROM {conversion_providers}
 WHERE tenant_id = :tenant_id
   AND id = :provider_id
   FOR NO KEY UPDATE;

-- name: providers(tenant_id, size) -> Provider*
SELECT id, kind, name, account_id, test_event_code, is_active, failures, paused_until, last_error, last_sent_at, created_at,
       updated_at
  FROM {conversion_providers}
 WHERE tenant_id = :tenant_id
 ORDER BY id
 LIMIT :size;

-- name: update_provider(tenant_id, id, name, test_event_code?, is_active) -> count
-- Whoever changes it wants it tried: the pause ends.
UPDATE {conversion_providers}
   SET name = :name, test_event_code = :test_event_code, is_active = :is_active, failures = 0, paused_until = NULL,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: set_secret(tenant_id, id, secret) -> count
UPDATE {conversion_providers}
   SET secret = :secret, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: delete_provider(tenant_id, provider_id) -> count
-- What waits for it alone goes at the next look.
DELETE FROM {conversion_providers}
 WHERE tenant_id = :tenant_id
   AND id = :provider_id;

-- name: provider_keys(tenant_id, pause_max, size) -> ProviderKeys*
-- Those that are told. A pause that is longer than any is over: the database's clock was set back since it began.
SELECT id, kind, account_id, secret, test_event_code, failures,
       CASE WHEN paused_until > now() AND paused_until <= now() + :pause_max THEN paused_until - now() END AS rests
  FROM {conversion_providers}
 WHERE tenant_id = :tenant_id
   AND is_active
 ORDER BY id
 LIMIT :size;

-- name: provider_answered(tenant_id, provider_id) -> count
UPDATE {conversion_providers}
   SET failures = 0, paused_until = NULL, last_error = NULL, last_sent_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :provider_id;

-- name: provider_failed(tenant_id, provider_id, error, pause) -> count
-- It rests, for all workers.
UPDATE {conversion_providers}
   SET failures = failures + 1, paused_until = now() + :pause, last_error = :error, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :provider_id;

-- name: refused_by_provider(tenant_id, provider_id, error) -> count
-- It answers, and did not take something of what it got.
UPDATE {conversion_providers}
   SET failures = 0, paused_until = NULL, last_error = :error, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :provider_id;

-- name: end_pause(tenant_id, provider_id) -> count
UPDATE {conversion_providers}
   SET paused_until = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :provider_id;

-- name: sealed_providers(after_tenant, after_id, size) -> SealedProvider*
-- scope: all tenants
-- The next rows by key.
SELECT tenant_id, id, secret
  FROM {conversion_providers}
 WHERE (tenant_id, id) > (:after_tenant, :after_id::uuid)
 ORDER BY tenant_id, id
 LIMIT :size;

-- name: reseal_provider(tenant_id, id, known, secret) -> count
-- None where its secret was changed meanwhile.
UPDATE {conversion_providers}
   SET secret = :secret
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND secret = :known;

-- name: provider_seals() -> SealedCount*
-- scope: all tenants
-- How many rows hold a secret that each key has sealed.
SELECT split_part(secret, '.', 2) AS key_id, count(*)::int AS rows
  FROM {conversion_providers}
 GROUP BY 1
 ORDER BY 1;

-- Visitors --------------------------------------------------------------------------------------------------------------

-- name: set_signals(tenant_id, session_id, consents, fbp?, fbc?, ga_client_id?, ga_session_id?) -> count
-- None where the session is none of this shop's. What a browser has not told again stays, until consent is taken back.
INSERT INTO {conversion_visitors} AS v (tenant_id, session_id, consents, fbp, fbc, ga_client_id, ga_session_id)
SELECT :tenant_id, s.id, :consents, :fbp, :fbc, :ga_client_id, :ga_session_id
  FROM {auth_sessions} s
 WHERE s.tenant_id = :tenant_id
   AND s.id = :session_id
    ON CONFLICT (tenant_id, session_id) DO UPDATE
   SET consents = EXCLUDED.consents,
       fbp = CASE WHEN EXCLUDED.consents THEN coalesce(EXCLUDED.fbp, v.fbp) END,
       fbc = CASE WHEN EXCLUDED.consents THEN coalesce(EXCLUDED.fbc, v.fbc) END,
       ga_client_id = CASE WHEN EXCLUDED.consents THEN coalesce(EXCLUDED.ga_client_id, v.ga_client_id) END,
       ga_session_id = CASE WHEN EXCLUDED.consents THEN coalesce(EXCLUDED.ga_session_id, v.ga_session_id) END,
       updated_at = EXCLUDED.updated_at;

-- name: signals(tenant_id, session_id) -> Signals?
SELECT consents, fbp, fbc, ga_client_id, ga_session_id
  FROM {conversion_visitors}
 WHERE tenant_id = :tenant_id
   AND session_id = :session_id;

-- name: forget_waiting(tenant_id, session_id) -> count
-- Of a visitor who refuses, also what a worker has in its hands: what it has not sent yet it cannot finish.
DELETE FROM {analytics_events}
 WHERE tenant_id = :tenant_id
   AND session_id = :session_id;

-- name: known(tenant_id, session_id?, user_id?) -> Known
-- All that is known of whom it is about, in one round trip.
SELECT v.consents,
       coalesce(p.marketing_consent_at IS NOT NULL AND NOT p.marketing_consent, FALSE) AS withdrew,
       s.anonymous_id, s.user_agent, host(s.ip_address) AS ip, v.fbp, v.fbc, v.ga_client_id, v.ga_session_id,
       u.email, u.phone, u.full_name
  FROM {tenants} t
  LEFT JOIN {auth_sessions} s ON s.tenant_id = :tenant_id AND s.id = :session_id
  LEFT JOIN {conversion_visitors} v ON v.tenant_id = :tenant_id AND v.session_id = :session_id
  LEFT JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = :user_id AND u.deleted_at IS NULL
  LEFT JOIN {user_profiles} p ON p.tenant_id = :tenant_id AND p.user_id = :user_id
 WHERE t.tenant_id = :tenant_id;

-- Orders, as they are told ----------------------------------------------------------------------------------------------

-- name: bought(tenant_id, order_id) -> Bought?
SELECT id, order_number, user_id, session_id, customer_email, customer_name, customer_phone, shipping_address,
       host(ip_address) AS ip, currency, total_amount, shipping_amount, tax_amount, discount_code, created_at, paid_at
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND id = :order_id;

-- name: items_of(tenant_id, order_id, size) -> Item*
SELECT coalesce(product_sku, variant_id::text) AS id, product_name AS name, variant_title AS variant, quantity,
       unit_price AS price, currency
  FROM {order_items}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
 ORDER BY position
 LIMIT :size;

-- name: mark_order(tenant_id, order_id, webhook_id) -> count
-- None: it was queued before.
INSERT INTO {conversion_marks} (tenant_id, order_id, webhook_id)
VALUES (:tenant_id, :order_id, :webhook_id)
    ON CONFLICT (tenant_id, order_id) DO NOTHING;

-- What waits ------------------------------------------------------------------------------------------------------------

-- name: queue(tenant_id, id, event_name, payload, session_id?, sent) -> count
INSERT INTO {analytics_events} (tenant_id, id, event_name, payload, session_id, providers_sent)
VALUES (:tenant_id, :id, :event_name, :payload, :session_id, :sent);

-- name: waits(tenant_id, session_id, event_name, event_id) -> bool
-- Whether one of a visitor with this id is still to be told.
SELECT EXISTS (SELECT FROM {analytics_events}
                WHERE tenant_id = :tenant_id
                  AND session_id = :session_id
                  AND event_name = :event_name
                  AND payload -> 'meta' ->> 'event_id' = :event_id::text);

-- name: tenants_due(size) -> TenantId*
-- scope: all tenants
-- One step of an index for each tenant, however many rows it has.
WITH RECURSIVE fresh AS (
    (SELECT tenant_id
       FROM {analytics_events}
      WHERE status = 'pending'
      ORDER BY tenant_id, next_attempt_at
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id
      FROM fresh f
     CROSS JOIN LATERAL (
           SELECT e.tenant_id
             FROM {analytics_events} e
            WHERE e.status = 'pending'
              AND e.tenant_id > f.tenant_id
            ORDER BY e.tenant_id, e.next_attempt_at
            LIMIT 1) n),
again AS (
    (SELECT tenant_id
       FROM {analytics_events}
      WHERE status = 'failed'
      ORDER BY tenant_id, next_attempt_at
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id
      FROM again a
     CROSS JOIN LATERAL (
           SELECT e.tenant_id
             FROM {analytics_events} e
            WHERE e.status = 'failed'
              AND e.tenant_id > a.tenant_id
            ORDER BY e.tenant_id, e.next_attempt_at
            LIMIT 1) n)
SELECT f.tenant_id
  FROM fresh f
 WHERE EXISTS (SELECT FROM {analytics_events} e
                WHERE e.tenant_id = f.tenant_id
                  AND e.status = 'pending'
                  AND e.next_attempt_at <= now())
 UNION
SELECT a.tenant_id
  FROM again a
 WHERE EXISTS (SELECT FROM {analytics_events} e
                WHERE e.tenant_id = a.tenant_id
                  AND e.status = 'failed'
                  AND e.next_attempt_at <= now())
 LIMIT :size;

-- name: claim(tenant_id, claim, lease, size) -> ClaimedConversion*
-- New ones before those that are tried again. A claim ends by itself at next_attempt_at; rows that come back with one have
-- lost their worker, and one of them may be why. They are taken apart from all others, half of those of one claim at a time,
-- until the one that kills its workers is alone. Only that is counted, when it begins: who comes through takes it back.
WITH fresh AS (
    SELECT id, claim, next_attempt_at
      FROM {analytics_events}
     WHERE tenant_id = :tenant_id
       AND status = 'pending'
       AND next_attempt_at <= now()
     ORDER BY next_attempt_at, id
     LIMIT :size
       FOR UPDATE SKIP LOCKED),
again AS (
    SELECT id, claim, next_attempt_at
      FROM {analytics_events}
     WHERE tenant_id = :tenant_id
       AND status = 'failed'
       AND next_attempt_at <= now()
     ORDER BY next_attempt_at, id
     LIMIT :size::int - (SELECT count(*) FROM fresh)
       FOR UPDATE SKIP LOCKED),
found AS (
    SELECT id, claim, row_number() OVER (ORDER BY part, next_attempt_at, id) AS place
      FROM (SELECT id, claim, next_attempt_at, 1 AS part FROM fresh
             UNION ALL
            SELECT id, claim, next_attempt_at, 2 AS part FROM again) each),
due AS (
    SELECT id, rows > 0 AND rows <= 2 AS on_trial, now() AS seen_at
      FROM (SELECT f.id, row_number() OVER (ORDER BY f.place) AS place,
                   CASE WHEN f.claim IS NOT NULL THEN count(*) OVER () ELSE 0 END AS rows
              FROM found f
              JOIN found foremost ON foremost.place = 1 AND foremost.claim IS NOT DISTINCT FROM f.claim) alike
     WHERE rows = 0
        OR place <= (rows + 1) / 2)
UPDATE {analytics_events} e
   SET retry_count = CASE WHEN due.on_trial THEN e.retry_count + 1 ELSE e.retry_count END,
       claim = :claim, next_attempt_at = now() + :lease
  FROM due
 WHERE e.tenant_id = :tenant_id
   AND e.id = due.id
RETURNING e.id, e.payload::text AS payload, e.providers_sent, e.retry_count, due.on_trial, e.created_at,
          due.seen_at;

-- name: note_sent(tenant_id, claim, ids, provider) -> count
-- One provider has them while another is still being told: should we die now, only the other is told again.
UPDATE {analytics_events}
   SET providers_sent = providers_sent || :provider::jsonb
 WHERE tenant_id = :tenant_id
   AND id = ANY (:ids)
   AND claim = :claim;

-- name: done(tenant_id, claim, ids) -> count
DELETE FROM {analytics_events}
 WHERE tenant_id = :tenant_id
   AND id = ANY (:ids)
   AND claim = :claim;

-- name: again(tenant_id, claim, ids, failed, sent, retries, errors, again_at) -> count
-- Somebody has not taken them, or rests. Rows whose claim was lost are left alone: they are somebody else's by now.
UPDATE {analytics_events} e
   SET status = CASE WHEN t.failed THEN 'failed'::{conversion_status} ELSE e.status END,
       providers_sent = t.sent::jsonb, retry_count = t.retries, last_error = coalesce(nullif(t.error, ''), e.last_error),
       claim = NULL, next_attempt_at = t.again_at
  FROM unnest(:ids::uuid[], :failed::boolean[], :sent::text[], :retries::integer[], :errors::text[], :again_at::timestamptz[])
    AS t (id, failed, sent, retries, error, again_at)
 WHERE e.tenant_id = :tenant_id
   AND e.id = t.id
   AND e.claim = :claim;

-- name: conversion(tenant_id, conversion_id) -> Conversion?
SELECT id, event_name, payload, status, providers_sent, retry_count, next_attempt_at, last_error, created_at
  FROM {analytics_events}
 WHERE tenant_id = :tenant_id
   AND id = :conversion_id;

-- name: conversions(tenant_id, status?, before?, size) -> Conversion*
-- The latest first.
SELECT id, event_name, payload, status, providers_sent, retry_count, next_attempt_at, last_error, created_at
  FROM {analytics_events}
 WHERE tenant_id = :tenant_id
   AND status = :status               -- if status
   AND id < :before                   -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: waiting(tenant_id) -> Waiting*
SELECT status, count(*)::int AS rows, min(created_at) AS oldest
  FROM {analytics_events}
 WHERE tenant_id = :tenant_id
 GROUP BY status
 ORDER BY status;

-- name: depth() -> Depth
-- scope: all tenants
-- For the gauges, every few seconds: counted up to 100,000; for the oldest one step of an index for each tenant, as ids
-- begin with the time.
WITH RECURSIVE firsts AS (
    (SELECT tenant_id, created_at
       FROM {analytics_events}
      ORDER BY tenant_id, id
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id, n.created_at
      FROM firsts f
     CROSS JOIN LATERAL (
           SELECT e.tenant_id, e.created_at
             FROM {analytics_events} e
            WHERE e.tenant_id > f.tenant_id
            ORDER BY e.tenant_id, e.id
            LIMIT 1) n)
SELECT (SELECT count(*) FROM (SELECT FROM {analytics_events} LIMIT 100000) counted)::int AS rows,
       now() - min(created_at) AS age
  FROM firsts;

-- name: retry_now(tenant_id, size) -> count
-- What no worker holds.
UPDATE {analytics_events} e
   SET next_attempt_at = now()
  FROM (SELECT id
          FROM {analytics_events}
         WHERE tenant_id = :tenant_id
           AND claim IS NULL
           AND next_attempt_at > now()
         ORDER BY id
         LIMIT :size
           FOR UPDATE SKIP LOCKED) waits
 WHERE e.tenant_id = :tenant_id
   AND e.id = waits.id;

-- name: drop_conversion(tenant_id, conversion_id) -> count
DELETE FROM {analytics_events}
 WHERE tenant_id = :tenant_id
   AND id = :conversion_id;
