-- Customers and invoices at SAP. Rows come as objects, for the mappers in model.py.

-- Customers -------------------------------------------------------------------------------------------------------------

-- name: customer_sync(tenant_id, sync_id) -> dict?
SELECT to_jsonb(s) AS row
  FROM {customer_syncs} s
 WHERE s.tenant_id = :tenant_id
   AND s.id = :sync_id;

-- name: customer_sync_of(tenant_id, customer_email) -> dict?
SELECT to_jsonb(s) AS row
  FROM {customer_syncs} s
 WHERE s.tenant_id = :tenant_id
   AND s.customer_email = :customer_email;

-- name: lock_customer_sync(tenant_id, customer_email) -> dict?
-- What an upsert leaves out stays as it is here.
SELECT to_jsonb(s) AS row
  FROM {customer_syncs} s
 WHERE s.tenant_id = :tenant_id
   AND s.customer_email = :customer_email
   FOR NO KEY UPDATE;

-- name: account_of(tenant_id, customer_email) -> UUID?
-- The unique index holds addresses in lower case.
SELECT u.id
  FROM {users} u
 WHERE u.tenant_id = :tenant_id
   AND u.email = :customer_email
   AND u.deleted_at IS NULL;

-- name: follow_address(tenant_id, customer_id) -> count
-- The row of an account whose address has changed has the new one, unless that one has a row already.
UPDATE {customer_syncs} s
   SET customer_email = u.email, updated_at = now()
  FROM {users} u
 WHERE s.tenant_id = :tenant_id
   AND s.customer_id = :customer_id
   AND u.tenant_id = :tenant_id
   AND u.id = :customer_id
   AND s.customer_email <> u.email
   AND NOT EXISTS (SELECT FROM {customer_syncs} o
                    WHERE o.tenant_id = :tenant_id
                      AND o.customer_email = u.email);

-- name: forget_former_address(tenant_id, customer_id, customer_email) -> count
-- An account has one row. Under the address that it had before, it would hold its own code against itself.
DELETE FROM {customer_syncs}
 WHERE tenant_id = :tenant_id
   AND customer_id = :customer_id
   AND customer_email <> :customer_email;

-- name: put_customer_sync(tenant_id, id, customer_email, customer_id?, sap_sync, sap_customer_code?, company_code?) -> UUID
-- One row for an address, whoever else writes it at this moment. What is left out stays. Whoever held it can finish
-- nothing afterwards.
INSERT INTO {customer_syncs} AS s (tenant_id, id, customer_email, customer_id, sap_sync, sap_customer_code, sap_synced_at,
                                   company_code, updated_at, next_attempt_at)
VALUES (:tenant_id, :id, :customer_email, :customer_id, :sap_sync, :sap_customer_code,
        CASE WHEN :sap_sync THEN now() END, :company_code, now(), now())
    ON CONFLICT (tenant_id, customer_email) DO UPDATE
   SET customer_id = coalesce(EXCLUDED.customer_id, s.customer_id),
       sap_sync = EXCLUDED.sap_sync,
       sap_customer_code = coalesce(EXCLUDED.sap_customer_code, s.sap_customer_code),
       sap_synced_at = coalesce(EXCLUDED.sap_synced_at, s.sap_synced_at),
       company_code = coalesce(EXCLUDED.company_code, s.company_code),
       last_error = NULL, attempts = 0, claim = NULL,
       next_attempt_at = EXCLUDED.next_attempt_at,
       updated_at = EXCLUDED.updated_at
RETURNING s.id;

-- name: enrol_account(tenant_id, id, customer_id) -> count
-- A customer waits to be sent; who has a row already keeps it as it is.
INSERT INTO {customer_syncs} (tenant_id, id, customer_email, customer_id)
SELECT u.tenant_id, :id::uuid, u.email, u.id
  FROM {users} u
 WHERE u.tenant_id = :tenant_id
   AND u.id = :customer_id
   AND u.role IN ('customer', 'wholesale')
   AND u.deleted_at IS NULL
    ON CONFLICT (tenant_id, customer_email) DO NOTHING;

-- name: accounts_to_enrol(tenant_id, after_id, size) -> UUID*
-- Customers in the order of their ids, those with a row as well: whoever comes back begins after the last of these.
SELECT u.id
  FROM {users} u
 WHERE u.tenant_id = :tenant_id
   AND u.id > :after_id
   AND u.role IN ('customer', 'wholesale')
   AND u.deleted_at IS NULL
 ORDER BY u.id
 LIMIT :size;

-- name: enrol_accounts(tenant_id, ids, customer_ids, company_code?) -> count
INSERT INTO {customer_syncs} (tenant_id, id, customer_email, customer_id, company_code)
SELECT u.tenant_id, n.id, u.email, u.id, :company_code
  FROM unnest(:ids::uuid[], :customer_ids::uuid[]) AS n (id, customer_id)
  JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = n.customer_id
    ON CONFLICT (tenant_id, customer_email) DO NOTHING;

-- name: customers_waiting(tenant_id, after_at?, after_id?, size) -> dict*
-- Who is not in SAP yet, the oldest first. Whose account is closed is not sent any more.
SELECT to_jsonb(s) AS row
  FROM {customer_syncs} s
 WHERE s.tenant_id = :tenant_id
   AND NOT s.sap_sync
   AND NOT EXISTS (SELECT FROM {users} u
                    WHERE u.tenant_id = :tenant_id
                      AND u.id = s.customer_id
                      AND u.deleted_at IS NOT NULL)
   AND (s.created_at, s.id) > (:after_at, :after_id)                 -- if after_at
 ORDER BY s.created_at, s.id
 LIMIT :size;

-- name: tenants_with_waiting(size) -> TenantId*
-- scope: all tenants
-- One step of the index for each tenant that has anybody to send: to whoever is due first.
WITH RECURSIVE step AS (
    (SELECT tenant_id, next_attempt_at
       FROM {customer_syncs}
      WHERE NOT sap_sync
        AND attempts < 16
      ORDER BY tenant_id, next_attempt_at, id
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id, n.next_attempt_at
      FROM step s
     CROSS JOIN LATERAL (
           SELECT c.tenant_id, c.next_attempt_at
             FROM {customer_syncs} c
            WHERE NOT c.sap_sync
              AND c.attempts < 16
              AND c.tenant_id > s.tenant_id
            ORDER BY c.tenant_id, c.next_attempt_at, c.id
            LIMIT 1) n)
SELECT s.tenant_id
  FROM step s
 WHERE s.next_attempt_at <= now()
 LIMIT :size;

-- name: claim_customers(tenant_id, claim, lease, size) -> ToSync*
-- Who has been due for longest; who is new is due from the beginning. A rival skips what another is taking, and
-- afterwards they are not due until the lease ends. Nobody is told of closed accounts: of those that come up, who never
-- had a number goes, and who has one is done.
WITH due AS (
    SELECT s.id, s.sap_customer_code,
           EXISTS (SELECT FROM {users} u
                    WHERE u.tenant_id = :tenant_id
                      AND u.id = s.customer_id
                      AND u.deleted_at IS NOT NULL) AS is_closed
      FROM {customer_syncs} s
     WHERE s.tenant_id = :tenant_id
       AND NOT s.sap_sync
       AND s.attempts < 16
       AND s.next_attempt_at <= now()
     ORDER BY s.next_attempt_at, s.id
     LIMIT :size
       FOR UPDATE OF s SKIP LOCKED),
gone AS (
    DELETE FROM {customer_syncs} s
     USING due
     WHERE s.tenant_id = :tenant_id
       AND s.id = due.id
       AND due.is_closed
       AND due.sap_customer_code IS NULL),
done AS (
    UPDATE {customer_syncs} s
       SET sap_sync = TRUE, sap_synced_at = now(), claim = NULL, updated_at = now()
      FROM due
     WHERE s.tenant_id = :tenant_id
       AND s.id = due.id
       AND due.is_closed
       AND due.sap_customer_code IS NOT NULL),
taken AS (
    UPDATE {customer_syncs} s
       SET claim = :claim, next_attempt_at = now() + :lease, attempts = s.attempts + 1, updated_at = now()
      FROM due
     WHERE s.tenant_id = :tenant_id
       AND s.id = due.id
       AND NOT due.is_closed
    RETURNING s.id, s.customer_email, s.customer_id, s.sap_customer_code, s.company_code, s.attempts, s.created_at)
SELECT t.id, t.customer_email, t.customer_id, u.full_name, u.phone, t.sap_customer_code, t.company_code, t.attempts
  FROM taken t
  LEFT JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = t.customer_id
 ORDER BY t.created_at, t.id;

-- name: customer_synced(tenant_id, sync_id, claim, sap_customer_code) -> count
-- Nothing where the lease was lost: the row is somebody else's by now.
UPDATE {customer_syncs} s
   SET sap_sync = TRUE, sap_customer_code = :sap_customer_code, sap_synced_at = now(), last_error = NULL, claim = NULL,
       updated_at = now()
 WHERE s.tenant_id = :tenant_id
   AND s.id = :sync_id
   AND s.claim = :claim;

-- name: customer_failed(tenant_id, sync_id, claim, error, again_in) -> count
UPDATE {customer_syncs}
   SET last_error = :error, next_attempt_at = now() + :again_in, claim = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :sync_id
   AND claim = :claim;

-- name: retry_customer(tenant_id, sync_id) -> count
-- All attempts again, at once. Nothing where SAP has the customer.
UPDATE {customer_syncs} s
   SET attempts = 0, next_attempt_at = now(), claim = NULL, updated_at = now()
 WHERE s.tenant_id = :tenant_id
   AND s.id = :sync_id
   AND NOT s.sap_sync;

-- Invoices --------------------------------------------------------------------------------------------------------------

-- name: invoiced_order(tenant_id, order_id) -> InvoicedOrder?
SELECT o.id, o.order_number, o.user_id AS customer_id, d.id AS domain_id, d.company_code
  FROM {orders} o
  LEFT JOIN {domains} d ON d.tenant_id = :tenant_id AND lower(d.domain_name) = lower(o.domain)
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id;

-- name: insert_invoice_audit(tenant_id, id, order_id, order_increment_id, invoice_number?, company_code?, customer_id?, requested_by, source, success, status_code?, message?, payload, duration_ms, domain_id?) -> dict
-- A domain that went meanwhile is not named; one that goes at this moment waits, and clears it here as well.
WITH site AS (
    SELECT d.id
      FROM {domains} d
     WHERE d.tenant_id = :tenant_id
       AND d.id = :domain_id
       FOR KEY SHARE),
made AS (
    INSERT INTO {invoice_audits} (tenant_id, id, order_id, order_increment_id, invoice_number, company_code, customer_id,
                                  requested_by, source, success, status_code, message, payload, duration_ms, domain_id)
    SELECT :tenant_id, :id::uuid, :order_id::uuid, :order_increment_id, :invoice_number, :company_code, :customer_id::uuid,
           :requested_by, :source, :success::boolean, :status_code::integer, :message, :payload::jsonb,
           :duration_ms::integer, site.id
      FROM (SELECT 1) AS one
      LEFT JOIN site ON TRUE
    RETURNING tenant_id, id, order_id, order_increment_id, invoice_number, company_code, customer_id, requested_by, source,
              success, status_code, message, payload, duration_ms, domain_id, created_at)
SELECT to_jsonb(m) AS row
  FROM made m
 WHERE m.tenant_id = :tenant_id;

-- name: invoice_audits_newest(tenant_id, order_id?, invoice_number?, company_code?, success?, before_at?, before_id?, size) -> dict*
SELECT to_jsonb(a) AS row
  FROM {invoice_audits} a
 WHERE a.tenant_id = :tenant_id
   AND a.order_id = :order_id                                        -- if order_id
   AND a.invoice_number = :invoice_number                            -- if invoice_number
   AND a.company_code = :company_code                                -- if company_code
   AND a.success = :success                                          -- if success
   AND (a.created_at, a.id) < (:before_at, :before_id)               -- if before_at
 ORDER BY a.created_at DESC, a.id DESC
 LIMIT :size;
