-- Reminders of carts. Carts, orders and payments are read here, and written by their owners alone.

-- name: config(tenant_id, domain_id?) -> dict?
-- Of a domain, or without one that of carts of no known domain. A shop has a handful.
SELECT to_jsonb(r) AS row
  FROM {retain_cart_configs} r
 WHERE r.tenant_id = :tenant_id
   AND r.domain_id IS NOT DISTINCT FROM :domain_id;

-- name: put_config(tenant_id, id, domain_id?, retry_time_seconds, max_retries, bcc_emails, is_active) -> dict
-- The unique constraint, which takes two without a domain for the same, makes one row of rivals.
WITH put AS (
    INSERT INTO {retain_cart_configs} (tenant_id, id, domain_id, retry_time_seconds, max_retries, bcc_emails, is_active)
    VALUES (:tenant_id, :id, :domain_id, :retry_time_seconds, :max_retries, :bcc_emails, :is_active)
        ON CONFLICT (tenant_id, domain_id) DO UPDATE
       SET retry_time_seconds = EXCLUDED.retry_time_seconds, max_retries = EXCLUDED.max_retries,
           bcc_emails = EXCLUDED.bcc_emails, is_active = EXCLUDED.is_active, updated_at = EXCLUDED.updated_at
    RETURNING tenant_id, id, domain_id, retry_time_seconds, max_retries, bcc_emails, is_active, created_at, updated_at
)
SELECT to_jsonb(p) AS row
  FROM put p
 WHERE p.tenant_id = :tenant_id;

-- name: reminders_page(tenant_id, status?, before?, rows) -> CartReminder*
-- The newest first, by the ids, which are made in that order.
SELECT id, cart_id, order_id, kind, status, domain, reminders, waiting_since, ended_at, created_at
  FROM {cart_reminders}
 WHERE tenant_id = :tenant_id
   AND status = :status                       -- if status
   AND id < :before                           -- if before
 ORDER BY id DESC
 LIMIT :rows;

-- name: keep_order_cart(tenant_id, id, order_id)
-- A payment failed: keep the cart that the order was made of. Another failure of the same order moves its time; a cart that
-- was left before it was bought begins anew. One that was reminded of often enough stays so.
INSERT INTO {cart_reminders} AS r (tenant_id, id, cart_id, order_id, kind, domain, waiting_since)
SELECT :tenant_id, :id::uuid, o.source_cart_id, o.id, 'payment_failed', lower(o.domain), now()
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id
   AND o.source_cart_id IS NOT NULL
   AND o.status = 'pending_payment'
    ON CONFLICT (tenant_id, cart_id) DO UPDATE
   SET order_id = EXCLUDED.order_id, kind = EXCLUDED.kind, domain = EXCLUDED.domain, waiting_since = EXCLUDED.waiting_since,
       reminders = CASE WHEN r.order_id IS NULL THEN 0 ELSE r.reminders END, status = 'waiting', ended_at = NULL,
       updated_at = EXCLUDED.updated_at
 WHERE r.order_id IS NULL
    OR r.status = 'waiting';

-- name: keep_carts(tenant_id, ids, cart_ids) -> count
-- Carts that were left: those with something in them, of an account whose owner agreed to be written to.
INSERT INTO {cart_reminders} (tenant_id, id, cart_id, kind, domain, waiting_since)
SELECT :tenant_id, k.id, c.id, 'abandoned', lower(c.domain), c.updated_at
  FROM unnest(:ids::uuid[], :cart_ids::uuid[]) AS k (id, cart_id)
  JOIN {carts} c ON c.tenant_id = :tenant_id AND c.id = k.cart_id AND c.status IN ('active', 'abandoned')
  JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = c.user_id AND u.deleted_at IS NULL
                AND u.status IN ('active', 'pending_verification')
  JOIN {user_profiles} g ON g.tenant_id = :tenant_id AND g.user_id = c.user_id AND g.marketing_consent
 WHERE EXISTS (SELECT FROM {cart_items} i WHERE i.tenant_id = :tenant_id AND i.cart_id = c.id)
    ON CONFLICT (tenant_id, cart_id) DO NOTHING;

-- name: idle_carts(tenant_id, default_s, within, rows) -> UUID*
-- Left for as long as the shop's shortest timer, and not much longer: so each look reads one day of carts at most.
SELECT c.id
  FROM (SELECT now() - make_interval(secs => least(:default_s::int, min(r.retry_time_seconds))) AS at
          FROM {retain_cart_configs} r
         WHERE r.tenant_id = :tenant_id
           AND r.is_active) AS due
  JOIN {carts} c ON c.tenant_id = :tenant_id AND c.status = 'active' AND c.user_id IS NOT NULL
                AND c.updated_at <= due.at AND c.updated_at > due.at - :within::interval
  JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = c.user_id AND u.deleted_at IS NULL
                AND u.status IN ('active', 'pending_verification')
  JOIN {user_profiles} g ON g.tenant_id = :tenant_id AND g.user_id = c.user_id AND g.marketing_consent
 WHERE NOT EXISTS (SELECT FROM {cart_reminders} k WHERE k.tenant_id = :tenant_id AND k.cart_id = c.id)
   AND EXISTS (SELECT FROM {cart_items} i WHERE i.tenant_id = :tenant_id AND i.cart_id = c.id)
 ORDER BY c.updated_at
 LIMIT :rows;

-- name: tenants_with_idle_carts(default_s, within, rows) -> str*
-- scope: all tenants
-- One short walk of each shop's carts, from the latest that may be due on.
SELECT t.tenant_id
  FROM {tenants} t
 CROSS JOIN LATERAL (
       SELECT now() - make_interval(secs => least(:default_s::int, min(r.retry_time_seconds))) AS at
         FROM {retain_cart_configs} r
        WHERE r.tenant_id = t.tenant_id
          AND r.is_active) AS due
 WHERE t.status = 'active'
   AND EXISTS (SELECT FROM {carts} c
                 JOIN {users} u ON u.tenant_id = c.tenant_id AND u.id = c.user_id AND u.deleted_at IS NULL
                               AND u.status IN ('active', 'pending_verification')
                 JOIN {user_profiles} g ON g.tenant_id = c.tenant_id AND g.user_id = c.user_id AND g.marketing_consent
                WHERE c.tenant_id = t.tenant_id
                  AND c.status = 'active'
                  AND c.updated_at <= due.at
                  AND c.updated_at > due.at - :within::interval
                  AND NOT EXISTS (SELECT FROM {cart_reminders} k WHERE k.tenant_id = t.tenant_id AND k.cart_id = c.id)
                  AND EXISTS (SELECT FROM {cart_items} i WHERE i.tenant_id = t.tenant_id AND i.cart_id = c.id))
 ORDER BY t.tenant_id
 LIMIT :rows;

-- name: tenants_with_due(default_s, late, rows) -> str*
-- scope: all tenants
-- One step of the index for each tenant that has any waiting; then whether one of them is due.
WITH RECURSIVE step AS (
    (SELECT tenant_id
       FROM {cart_reminders}
      WHERE status = 'waiting'
      ORDER BY tenant_id, waiting_since
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id
      FROM step s
     CROSS JOIN LATERAL (
           SELECT r.tenant_id
             FROM {cart_reminders} r
            WHERE r.status = 'waiting'
              AND r.tenant_id > s.tenant_id
            ORDER BY r.tenant_id, r.waiting_since
            LIMIT 1) n)
SELECT s.tenant_id
  FROM step s
  JOIN {tenants} t ON t.tenant_id = s.tenant_id AND t.status = 'active'
 WHERE EXISTS (SELECT FROM {cart_reminders} r
                 LEFT JOIN {domains} d ON d.tenant_id = r.tenant_id AND lower(d.domain_name) = r.domain
                 LEFT JOIN {retain_cart_configs} c ON c.tenant_id = r.tenant_id AND c.domain_id IS NOT DISTINCT FROM d.id
                WHERE r.tenant_id = s.tenant_id
                  AND r.status = 'waiting'
                  AND r.waiting_since <= now() - make_interval(secs => coalesce(c.retry_time_seconds, :default_s::int))
                                       - CASE WHEN coalesce(c.is_active, TRUE) THEN INTERVAL '0' ELSE :late::interval END)
 ORDER BY s.tenant_id
 LIMIT :rows;

-- name: claim_due(tenant_id, default_s, default_retries, late, rows) -> DueReminder*
-- Held until the caller has said what becomes of each, so that of two workers one reminds. The timer is looked up here and
-- kept nowhere: one that was changed a moment ago counts. What a domain suppresses is due for its end alone.
SELECT r.id, r.cart_id, r.order_id, r.kind, r.domain, coalesce(d.is_active, FALSE) AS domain_known, r.reminders,
       coalesce(c.max_retries, :default_retries::int) AS max_retries, coalesce(c.bcc_emails, '{}') AS bcc_emails,
       coalesce(c.is_active, TRUE) AS reminds,
       r.waiting_since <= now() - make_interval(secs => coalesce(c.retry_time_seconds, :default_s::int)) - :late::interval AS late,
       k.status = 'active' AND k.updated_at > r.waiting_since AS touched, k.updated_at AS touched_at, now() AS now,
       (SELECT count(*)::int FROM {cart_items} i WHERE i.tenant_id = :tenant_id AND i.cart_id = r.cart_id) AS lines,
       k.total_amount AS cart_total, k.status IN ('active', 'abandoned') AS open_cart,
       o.order_number, o.status::text AS order_status,
       o.status = 'cancelled' AND o.cancellation_reason IS NOT DISTINCT FROM 'unpaid' AS ended_by_us,
       coalesce(o.amount_paid > 0 AND (o.status = 'cancelled' OR o.amount_paid >= o.total_amount), FALSE) AS money_came,
       EXISTS (SELECT FROM {payments} p
                WHERE p.tenant_id = :tenant_id
                  AND p.order_id = r.order_id
                  AND (p.status IN ('awaiting_verification', 'processing')
                       OR (p.status = 'pending' AND (p.expires_at > now()) IS NOT FALSE))) AS money_coming,
       coalesce(o.user_id, k.user_id) AS user_id,
       CASE WHEN r.order_id IS NOT NULL THEN o.customer_email
            WHEN u.deleted_at IS NULL AND u.status IN ('active', 'pending_verification') AND g.marketing_consent THEN u.email
       END AS email,
       coalesce(o.customer_name, u.full_name) AS name,
       nullif(g.locale, 'en-US') AS locale,    -- what a profile says that nobody has asked
       CASE WHEN r.order_id IS NOT NULL
            THEN EXISTS (SELECT FROM {orders} n
                          WHERE n.tenant_id = :tenant_id
                            AND n.customer_email = o.customer_email
                            AND n.id > r.order_id
                            AND n.status NOT IN ('pending_payment', 'cancelled'))
            ELSE EXISTS (SELECT FROM {orders} n
                          WHERE n.tenant_id = :tenant_id
                            AND n.user_id = k.user_id
                            AND n.id > r.id
                            AND n.status <> 'cancelled')
              OR EXISTS (SELECT FROM {carts} a
                          WHERE a.tenant_id = :tenant_id
                            AND a.user_id = k.user_id
                            AND a.status = 'active'
                            AND a.id <> k.id
                            AND EXISTS (SELECT FROM {cart_items} i WHERE i.tenant_id = :tenant_id AND i.cart_id = a.id))
       END AS moved_on, k.currency
  FROM {cart_reminders} r
  JOIN {carts} k ON k.tenant_id = :tenant_id AND k.id = r.cart_id
  LEFT JOIN {domains} d ON d.tenant_id = :tenant_id AND lower(d.domain_name) = r.domain
  LEFT JOIN {retain_cart_configs} c ON c.tenant_id = :tenant_id AND c.domain_id IS NOT DISTINCT FROM d.id
  LEFT JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = r.order_id
  LEFT JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = coalesce(o.user_id, k.user_id)
  LEFT JOIN {user_profiles} g ON g.tenant_id = :tenant_id AND g.user_id = u.id
 WHERE r.tenant_id = :tenant_id
   AND r.status = 'waiting'
   AND r.waiting_since <= now() - make_interval(secs => coalesce(c.retry_time_seconds, :default_s::int))
                        - CASE WHEN coalesce(c.is_active, TRUE) THEN INTERVAL '0' ELSE :late::interval END
 ORDER BY r.waiting_since
 LIMIT :rows
   FOR UPDATE OF r SKIP LOCKED;

-- name: lines_told(tenant_id, cart_id, default_title, rows) -> ReminderLine*
SELECT p.name, CASE WHEN v.title <> :default_title THEN v.title END AS variant, i.quantity, i.quantity * i.unit_price AS total, c.currency
  FROM {cart_items} i
  JOIN {carts} c ON c.tenant_id = :tenant_id AND c.id = i.cart_id
  JOIN {product_variants} v ON v.tenant_id = :tenant_id AND v.id = i.variant_id
  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = v.product_id
 WHERE i.tenant_id = :tenant_id
   AND i.cart_id = :cart_id
 ORDER BY i.created_at, i.id
 LIMIT :rows;

-- name: reminded(tenant_id, id) -> count
-- Counted in the transaction that queues the mail: there is one for each number.
UPDATE {cart_reminders}
   SET reminders = reminders + 1, waiting_since = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND status = 'waiting';

-- name: wait_longer(tenant_id, ids, since)
-- From the cart's last touch on, or from now on while a payment is under way.
UPDATE {cart_reminders} r
   SET waiting_since = n.since, updated_at = now()
  FROM unnest(:ids::uuid[], :since::timestamptz[]) AS n (id, since)
 WHERE r.tenant_id = :tenant_id
   AND r.id = n.id
   AND r.status = 'waiting';

-- name: finish(tenant_id, ids, status, sources) -> count
UPDATE {cart_reminders}
   SET status = :status, ended_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = ANY (:ids)
   AND status = ANY (:sources);

-- name: kept(tenant_id, id) -> KeptCart?
SELECT r.id, r.cart_id, r.kind, r.status, coalesce(o.user_id, c.user_id) AS user_id, r.order_id, o.order_number,
       coalesce(o.status = 'pending_payment', FALSE) AS payable, c.currency
  FROM {cart_reminders} r
  JOIN {carts} c ON c.tenant_id = :tenant_id AND c.id = r.cart_id
  LEFT JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = r.order_id
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id;

-- name: kept_lines(tenant_id, cart_id) -> KeptLine*
SELECT variant_id, quantity, patch_type, print_name, print_number
  FROM {cart_items}
 WHERE tenant_id = :tenant_id
   AND cart_id = :cart_id
 ORDER BY created_at, id;
