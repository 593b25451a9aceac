-- Codes by phone.

-- name: count_request(tenant_id, phone, asked_at, window_ends_at, requests_max) -> int?
-- One more, if the window allows it; no row means that it does not. The row stays locked until the code is written, so
-- of two requests at once for one phone the later replaces the code of the earlier.
INSERT INTO {otp_requests} AS r (tenant_id, phone, requests, window_ends_at)
VALUES (:tenant_id, :phone, 1, :window_ends_at)
    ON CONFLICT (tenant_id, phone) DO UPDATE
   SET requests = CASE WHEN r.window_ends_at <= :asked_at THEN 1 ELSE r.requests + 1 END,
       window_ends_at = CASE WHEN r.window_ends_at <= :asked_at THEN EXCLUDED.window_ends_at ELSE r.window_ends_at END
 WHERE r.requests < :requests_max
    OR r.window_ends_at <= :asked_at
RETURNING requests;

-- name: window_end(tenant_id, phone) -> datetime?
SELECT window_ends_at
  FROM {otp_requests}
 WHERE tenant_id = :tenant_id
   AND phone = :phone;

-- name: forget_codes(tenant_id, phone) -> count
-- The code that was open, or the proof that it gave, ends with the next request.
DELETE FROM {otp_sessions}
 WHERE tenant_id = :tenant_id
   AND phone = :phone;

-- name: insert_code(tenant_id, id, session_id, phone, otp_hash, lifetime) -> datetime
-- Until when it counts.
INSERT INTO {otp_sessions} (tenant_id, id, session_id, phone, otp_hash, expires_at)
VALUES (:tenant_id, :id, :session_id, :phone, :otp_hash, now() + :lifetime::interval)
RETURNING expires_at;

-- name: phone_of_session(tenant_id, session_id) -> str?
-- Whether or not its code still counts: who asked once may ask again.
SELECT phone
  FROM {otp_sessions}
 WHERE tenant_id = :tenant_id
   AND session_id = :session_id;

-- name: take_try(tenant_id, session_id, attempts_max) -> OpenCode?
-- A try is counted before it is tested, by the UPDATE that allows it: of any number at once, only as many as there are
-- tries left ever see the hash. No row: unknown, used, expired, or no tries left.
UPDATE {otp_sessions}
   SET attempts = attempts + 1
 WHERE tenant_id = :tenant_id
   AND session_id = :session_id
   AND NOT verified
   AND expires_at > now()
   AND attempts < :attempts_max
RETURNING id, phone, otp_hash;

-- name: mark_verified(tenant_id, id, proof_lifetime) -> datetime?
-- The try was right, so it counts as none. Of two right ones at once, one gets the row.
UPDATE {otp_sessions}
   SET verified = TRUE, verified_at = now(), attempts = attempts - 1, expires_at = now() + :proof_lifetime::interval
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND NOT verified
   AND expires_at > now()
RETURNING expires_at;

-- name: proven(tenant_id, session_id, phone) -> bool
SELECT EXISTS (SELECT
                 FROM {otp_sessions}
                WHERE tenant_id = :tenant_id
                  AND session_id = :session_id
                  AND phone = :phone
                  AND verified
                  AND expires_at > now());

-- name: tenants_with_expired(rows) -> str*
-- scope: all tenants
-- Of the oldest ones: to group all that expired would read the whole table by tenant.
SELECT o.tenant_id
  FROM (SELECT tenant_id
          FROM {otp_sessions}
         WHERE expires_at <= now()
         ORDER BY expires_at
         LIMIT :rows) o
 GROUP BY o.tenant_id;

-- name: cleanup_expired(tenant_id, rows) -> int
-- See functions.sql.
SELECT {cleanup_expired_otps_v1}(:tenant_id, :rows);

-- name: tenants_with_old_requests(rows) -> str*
-- scope: all tenants
SELECT o.tenant_id
  FROM (SELECT tenant_id
          FROM {otp_requests}
         WHERE window_ends_at <= now()
         ORDER BY window_ends_at
         LIMIT :rows) o
 GROUP BY o.tenant_id;

-- name: delete_old_requests(tenant_id, rows) -> count
-- Two workers take different rows.
DELETE FROM {otp_requests}
 WHERE tenant_id = :tenant_id
   AND phone = ANY (ARRAY(SELECT o.phone
                            FROM {otp_requests} o
                           WHERE o.tenant_id = :tenant_id
                             AND o.window_ends_at <= now()
                           ORDER BY o.window_ends_at
                           LIMIT :rows
                             FOR UPDATE SKIP LOCKED));

-- Second factors of staff.

-- name: standing(tenant_id, user_id) -> Standing?
-- An account and its second factor, in one statement by two keys. Signing in reads the same as it locks the account.
SELECT u.role, u.email, f.confirmed_at,
       (SELECT count(*)
          FROM {recovery_codes} r
         WHERE r.tenant_id = :tenant_id
           AND r.user_id = u.id
           AND r.used_at IS NULL) AS recovery_codes_left
  FROM {users} u
  LEFT JOIN {second_factors} f ON f.tenant_id = :tenant_id AND f.user_id = u.id
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
   AND u.deleted_at IS NULL;

-- name: offer_factor(tenant_id, id, user_id, secret) -> count
-- Until it is confirmed, a new secret replaces the one before. Its owner's failures stay counted.
INSERT INTO {second_factors} AS f (tenant_id, id, user_id, secret)
VALUES (:tenant_id, :id, :user_id, :secret)
    ON CONFLICT (tenant_id, user_id) DO UPDATE
   SET secret = EXCLUDED.secret, updated_at = EXCLUDED.updated_at
 WHERE f.confirmed_at IS NULL;

-- name: take_factor_try(tenant_id, user_id, confirmed, tried_at, window_ends_at, failures_max) -> Factor?
-- A try is counted before it is tested, as with codes by phone; what was right takes the count back. The row stays locked
-- until then, so two tries of one account are one after the other.
UPDATE {second_factors}
   SET failures = CASE WHEN window_ends_at <= :tried_at THEN 1 ELSE failures + 1 END,
       window_ends_at = CASE WHEN window_ends_at <= :tried_at THEN :window_ends_at ELSE window_ends_at END,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND (confirmed_at IS NOT NULL) = :confirmed
   AND (failures < :failures_max OR window_ends_at <= :tried_at)
RETURNING id, secret, last_step;

-- name: pass_factor(tenant_id, id, last_step)
UPDATE {second_factors}
   SET last_step = :last_step, failures = 0, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: confirm_factor(tenant_id, id)
UPDATE {second_factors}
   SET confirmed_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: delete_factor(tenant_id, user_id) -> count
DELETE FROM {second_factors}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id;

-- name: use_recovery_code(tenant_id, user_id, code_hash) -> count
UPDATE {recovery_codes}
   SET used_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND code_hash = :code_hash
   AND used_at IS NULL;

-- name: insert_recovery_codes(tenant_id, user_id, ids, code_hashes)
INSERT INTO {recovery_codes} (tenant_id, id, user_id, code_hash)
SELECT :tenant_id, c.id, :user_id, c.code_hash
  FROM unnest(:ids::uuid[], :code_hashes::text[]) AS c (id, code_hash);

-- name: delete_recovery_codes(tenant_id, user_id) -> count
DELETE FROM {recovery_codes}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id;

-- Nonces ----------------------------------------------------------------------------------------------------------------

-- name: insert_nonce(tenant_id, nonce_id, purpose, open_for) -> Nonce?
-- No row: the id is taken.
INSERT INTO {admin_nonces} (tenant_id, id, purpose, expires_at)
VALUES (:tenant_id, :nonce_id, :purpose, now() + :open_for::interval)
    ON CONFLICT (tenant_id, id) DO NOTHING
RETURNING id, purpose, created_at, expires_at, consumed_at;

-- name: consume_nonce(tenant_id, nonce_id, purpose) -> Nonce?
-- The WHERE clause is the check: a rival waits for the row and then finds it consumed.
UPDATE {admin_nonces}
   SET consumed_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :nonce_id
   AND purpose = :purpose
   AND consumed_at IS NULL
   AND expires_at > now()
RETURNING id, purpose, created_at, expires_at, consumed_at;

-- name: nonce(tenant_id, nonce_id) -> Nonce?
SELECT id, purpose, created_at, expires_at, consumed_at
  FROM {admin_nonces}
 WHERE tenant_id = :tenant_id
   AND id = :nonce_id;

-- name: tenants_with_expired_nonces(rows) -> str*
-- scope: all tenants
SELECT tenant_id
  FROM {admin_nonces}
 WHERE expires_at <= now()
 GROUP BY tenant_id
 LIMIT :rows;

-- name: delete_expired_nonces(tenant_id, rows) -> count
-- Two runs at once take different rows.
DELETE FROM {admin_nonces} n
 WHERE n.tenant_id = :tenant_id
   AND n.id = ANY (ARRAY(SELECT e.id
                           FROM {admin_nonces} e
                          WHERE e.tenant_id = :tenant_id
                            AND e.expires_at <= now()
                          ORDER BY e.expires_at
                          LIMIT :rows
                            FOR UPDATE SKIP LOCKED));

-- Keys ------------------------------------------------------------------------------------------------------------------

-- name: sealed_factors(after_tenant, after_id, size) -> SealedFactor*
-- scope: all tenants
-- The next rows by key.
SELECT tenant_id, id, user_id, secret
  FROM {second_factors}
 WHERE (tenant_id, id) > (:after_tenant, :after_id::uuid)
 ORDER BY tenant_id, id
 LIMIT :size;

-- name: reseal_factor(tenant_id, id, known, secret) -> count
-- None where its owner has set up another app meanwhile.
UPDATE {second_factors}
   SET secret = :secret
 WHERE tenant_id = :tenant_id
   AND id = :id::uuid
   AND secret = :known;

-- name: factor_seals() -> SealedCount*
-- scope: all tenants
-- How many rows each key has sealed.
SELECT split_part(secret, '.', 2) AS key_id, count(*)::int AS rows
  FROM {second_factors}
 GROUP BY 1
 ORDER BY 1;
