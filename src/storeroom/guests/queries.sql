-- Attempts of people without an account. Rows come as objects, for the one mapper in model.py.

-- name: insert_attempt(tenant_id, id, email?, phone?, order_reference?, verification_method, success, message?, failure_code?, metadata, ip_address?, user_agent?, host?) -> dict
-- The domain's row is held until the attempt is committed, so a domain that goes meanwhile clears it here as well.
WITH site AS (
    SELECT d.id
      FROM {domains} d
     WHERE d.tenant_id = :tenant_id
       AND lower(d.domain_name) = :host
       AND d.is_active
       FOR KEY SHARE
),
made AS (
    INSERT INTO {guest_user_audits} (tenant_id, id, email, phone, order_reference, verification_method, success, message,
                                     failure_code, metadata, ip_address, user_agent, domain_id)
    SELECT :tenant_id, :id::uuid, :email, :phone, :order_reference, :verification_method, :success::boolean, :message,
           :failure_code, :metadata::jsonb, :ip_address::inet, :user_agent, site.id
      FROM (SELECT 1) AS one
      LEFT JOIN site ON TRUE
    RETURNING tenant_id, id, email, phone, order_reference, verification_method, success, message, failure_code, metadata,
              ip_address, user_agent, domain_id, created_at
)
SELECT to_jsonb(m) AS row
  FROM made m
 WHERE m.tenant_id = :tenant_id;

-- name: blocked_for_s(tenant_id, email?, phone?, order_reference?, verification_method, window, failures_max) -> int?
-- In how many seconds the oldest of the last failures leaves the window, of whichever of the three has too many of them;
-- NULL where none has. Refusals of this very limit do not count, or it would never end.
SELECT ceil(extract(EPOCH FROM max(f.oldest) + :window::interval - now()))::int AS seconds
  FROM (SELECT min(e.created_at) AS oldest
          FROM (SELECT a.created_at
                  FROM {guest_user_audits} a
                 WHERE a.tenant_id = :tenant_id
                   AND a.email = :email
                   AND a.created_at > now() - :window::interval
                   AND a.verification_method = :verification_method
                   AND NOT a.success
                   AND a.failure_code IS DISTINCT FROM 'guests.too_many_attempts'
                 ORDER BY a.created_at DESC
                 LIMIT :failures_max) e
        HAVING count(*) >= :failures_max
         UNION ALL
        SELECT min(e.created_at)
          FROM (SELECT a.created_at
                  FROM {guest_user_audits} a
                 WHERE a.tenant_id = :tenant_id
                   AND a.phone = :phone
                   AND a.created_at > now() - :window::interval
                   AND a.verification_method = :verification_method
                   AND NOT a.success
                   AND a.failure_code IS DISTINCT FROM 'guests.too_many_attempts'
                 ORDER BY a.created_at DESC
                 LIMIT :failures_max) e
        HAVING count(*) >= :failures_max
         UNION ALL
        SELECT min(e.created_at)
          FROM (SELECT a.created_at
                  FROM {guest_user_audits} a
                 WHERE a.tenant_id = :tenant_id
                   AND a.order_reference = :order_reference
                   AND a.created_at > now() - :window::interval
                   AND a.verification_method = :verification_method
                   AND NOT a.success
                   AND a.failure_code IS DISTINCT FROM 'guests.too_many_attempts'
                 ORDER BY a.created_at DESC
                 LIMIT :failures_max) e
        HAVING count(*) >= :failures_max) f;

-- name: attempts_newest(tenant_id, email_part?, success?, before_at?, before_id?, rows) -> dict*
SELECT to_jsonb(a) AS row
  FROM {guest_user_audits} a
 WHERE a.tenant_id = :tenant_id
   AND strpos(a.email, :email_part) > 0                    -- if email_part
   AND a.success = :success                                -- if success
   AND (a.created_at, a.id) < (:before_at, :before_id)     -- if before_id
 ORDER BY a.created_at DESC, a.id DESC
 LIMIT :rows;

-- name: attempts_counted(tenant_id, email_part?, success?) -> int
SELECT count(*)
  FROM {guest_user_audits} a
 WHERE a.tenant_id = :tenant_id
   AND strpos(a.email, :email_part) > 0                    -- if email_part
   AND a.success = :success                                -- if success
;
