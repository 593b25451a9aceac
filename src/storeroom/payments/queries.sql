-- Payments and the ways to pay.
--
-- Whoever changes what an order has received locks the order before any of its payments. One order of locks, so two
-- payments of an order that complete at once wait for each other instead of for ever.

-- name: insert_method(tenant_id, method_id, code, method_type, name, is_active, is_manual, instructions, payment_details,
--                     min_amount, max_amount?, currency, confirmation_window_hours, sort_order, icon_url?,
--                     gateway_id?) -> PaymentMethod?
-- No row: the code is taken.
INSERT INTO {payment_methods} (tenant_id, id, code, method_type, name, is_active, is_manual, instructions, payment_details,
                               min_amount, max_amount, currency, confirmation_window_hours, sort_order, icon_url, gateway_id)
VALUES (:tenant_id, :method_id, :code, :method_type, :name, :is_active, :is_manual, :instructions, :payment_details,
        :min_amount, :max_amount, :currency, :confirmation_window_hours, :sort_order, :icon_url, :gateway_id)
    ON CONFLICT (tenant_id, code) DO NOTHING
RETURNING id, code, method_type, name, is_active, is_manual, instructions, payment_details, min_amount, max_amount,
          currency, confirmation_window_hours, sort_order, icon_url, gateway_id, created_at, updated_at;

-- name: update_method(tenant_id, method_id, method_type, name, is_active, is_manual, instructions, payment_details,
--                     min_amount, max_amount?, confirmation_window_hours, sort_order, icon_url?,
--                     gateway_id?) -> PaymentMethod?
-- The code stays, since checkouts name it, and the currency, since its limits are in it.
UPDATE {payment_methods}
   SET method_type = :method_type,
       name = :name,
       is_active = :is_active,
       is_manual = :is_manual,
       instructions = :instructions,
       payment_details = :payment_details,
       min_amount = :min_amount,
       max_amount = :max_amount,
       confirmation_window_hours = :confirmation_window_hours,
       sort_order = :sort_order,
       icon_url = :icon_url,
       gateway_id = :gateway_id,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :method_id
RETURNING id, code, method_type, name, is_active, is_manual, instructions, payment_details, min_amount, max_amount,
          currency, confirmation_window_hours, sort_order, icon_url, gateway_id, created_at, updated_at;

-- name: delete_method(tenant_id, method_id) -> count
-- Refused by payments_method_fkey where a payment was made by it.
DELETE FROM {payment_methods}
 WHERE tenant_id = :tenant_id
   AND id = :method_id;

-- name: method(tenant_id, method_id) -> PaymentMethod?
SELECT id, code, method_type, name, is_active, is_manual, instructions, payment_details, min_amount, max_amount,
       currency, confirmation_window_hours, sort_order, icon_url, gateway_id, created_at, updated_at
  FROM {payment_methods}
 WHERE tenant_id = :tenant_id
   AND id = :method_id;

-- name: method_to_change(tenant_id, method_id) -> PaymentMethod?
-- Locked, so that two changes of different settings do not undo each other.
SELECT id, code, method_type, name, is_active, is_manual, instructions, payment_details, min_amount, max_amount,
       currency, confirmation_window_hours, sort_order, icon_url, gateway_id, created_at, updated_at
  FROM {payment_methods}
 WHERE tenant_id = :tenant_id
   AND id = :method_id
   FOR NO KEY UPDATE;

-- name: method_by_code(tenant_id, code) -> PaymentMethod?
SELECT id, code, method_type, name, is_active, is_manual, instructions, payment_details, min_amount, max_amount,
       currency, confirmation_window_hours, sort_order, icon_url, gateway_id, created_at, updated_at
  FROM {payment_methods}
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: methods(tenant_id, size) -> PaymentMethod*
SELECT id, code, method_type, name, is_active, is_manual, instructions, payment_details, min_amount, max_amount,
       currency, confirmation_window_hours, sort_order, icon_url, gateway_id, created_at, updated_at
  FROM {payment_methods}
 WHERE tenant_id = :tenant_id
 ORDER BY sort_order, id
 LIMIT :size;

-- name: active_methods(tenant_id, size) -> PaymentMethod*
-- What customers see, in the order of idx_payment_methods_active; of equal places that of the gateways decides. What is
-- behind an inactive gateway cannot be paid by.
SELECT m.id, m.code, m.method_type, m.name, m.is_active, m.is_manual, m.instructions, m.payment_details, m.min_amount,
       m.max_amount, m.currency, m.confirmation_window_hours, m.sort_order, m.icon_url, m.gateway_id, m.created_at,
       m.updated_at
  FROM {payment_methods} m
  LEFT JOIN {payment_gateways} g ON g.tenant_id = :tenant_id AND g.id = m.gateway_id
 WHERE m.tenant_id = :tenant_id
   AND m.is_active
   AND (m.gateway_id IS NULL OR g.is_active)
 ORDER BY m.sort_order, g.position NULLS FIRST, m.id
 LIMIT :size;

-- name: gateway_is_active(tenant_id, gateway_id) -> bool?
SELECT is_active
  FROM {payment_gateways}
 WHERE tenant_id = :tenant_id
   AND id = :gateway_id;

-- name: methods_in_order(tenant_id, size) -> UUID*
-- All methods as they stand, locked in the order of their keys.
SELECT id
  FROM (SELECT id, sort_order
          FROM {payment_methods}
         WHERE tenant_id = :tenant_id
         ORDER BY id
         LIMIT :size
           FOR NO KEY UPDATE) m
 ORDER BY sort_order, id;

-- name: place_methods(tenant_id, method_ids, places) -> count
-- The n-th method of the list gets the n-th place.
UPDATE {payment_methods} m
   SET sort_order = p.place,
       updated_at = now()
  FROM unnest(:method_ids::uuid[], :places::int[]) AS p (id, place)
 WHERE m.tenant_id = :tenant_id
   AND m.id = p.id;

-- name: order_to_pay(tenant_id, order_id) -> OrderFacts?
-- Locks the order: nobody pays, cancels or ships it until we are done. Foreign keys to it are not held up.
SELECT o.id, o.order_number AS number, o.status, o.user_id, o.session_id, o.customer_phone AS phone, o.amount_due AS due,
       o.currency
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id
   FOR NO KEY UPDATE;

-- name: order_to_pay_by_number(tenant_id, order_number) -> OrderFacts?
-- The same by the number that a customer has.
SELECT o.id, o.order_number AS number, o.status, o.user_id, o.session_id, o.customer_phone AS phone, o.amount_due AS due,
       o.currency
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.order_number = :order_number
   FOR NO KEY UPDATE;

-- name: order_of_payment(tenant_id, payment_id) -> OrderFacts?
-- The same by one of its payments, which itself is not locked yet: what we read of it here would be stale.
SELECT o.id, o.order_number AS number, o.status, o.user_id, o.session_id, o.customer_phone AS phone, o.amount_due AS due,
       o.currency
  FROM {payments} p
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = p.order_id
 WHERE p.tenant_id = :tenant_id
   AND p.id = :payment_id
   FOR NO KEY UPDATE OF o;

-- name: order_facts(tenant_id, order_id) -> OrderFacts?
-- Whose it is; takes no lock.
SELECT o.id, o.order_number AS number, o.status, o.user_id, o.session_id, o.customer_phone AS phone, o.amount_due AS due,
       o.currency
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id;

-- name: ways_asked_for(tenant_id, order_id) -> str*
-- What the coupons that lower an order's price ask it to be paid with.
SELECT DISTINCT c.payment_method::text
  FROM {coupon_redemptions} r
  JOIN {coupons} c ON c.tenant_id = :tenant_id AND c.id = r.coupon_id
 WHERE r.tenant_id = :tenant_id
   AND r.order_id = :order_id
   AND r.released_at IS NULL
   AND c.payment_method IS NOT NULL;

-- name: open_payments(tenant_id, order_id) -> int
-- Those that still wait for money or for staff; what is paid at the door waits without an end.
SELECT count(*)
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
   AND (status = 'awaiting_verification' OR status = 'processing' OR (status = 'pending' AND (expires_at > now()) IS NOT FALSE));

-- name: insert_payment(tenant_id, payment_id, reference, order_id, user_id?, payment_method_id, amount, currency,
--                      ip_address?, open_for?) -> Payment?
-- Without open_for it never expires. No row: the reference was drawn before. DO NOTHING instead of an error, which would end the caller's transaction.
INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, user_id, payment_method_id, amount, currency,
                        ip_address, expires_at)
VALUES (:tenant_id, :payment_id, :reference, :order_id, :user_id, :payment_method_id, :amount, :currency, :ip_address,
        now() + :open_for::interval)
    ON CONFLICT (tenant_id, payment_reference) DO NOTHING
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: insert_received(tenant_id, payment_id, reference, order_id, user_id?, payment_method_id, amount, currency,
--                       ip_address?, customer_reference?, verified_by?, notes?, meant_for_id?) -> Payment?
-- Money that came without having been asked for is completed from the start. No row: the reference was drawn before.
INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, user_id, payment_method_id, amount, currency,
                        received_amount, status, customer_reference, verified_by, verified_at, verification_notes,
                        ip_address, completed_at, meant_for_id)
VALUES (:tenant_id, :payment_id, :reference, :order_id, :user_id, :payment_method_id, :amount, :currency,
        :amount, 'completed', :customer_reference, :verified_by, now(), :notes, :ip_address, now(), :meant_for_id)
    ON CONFLICT (tenant_id, payment_reference) DO NOTHING
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: payment(tenant_id, payment_id) -> Payment?
SELECT id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
       currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
       verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND id = :payment_id;

-- name: payment_by_reference(tenant_id, reference) -> Payment?
SELECT id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
       currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
       verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND payment_reference = :reference;

-- name: customer_payment(tenant_id, payment_id) -> CustomerPayment?
-- What a customer is told: how to pay, how it stands, and why the last proof was refused.
SELECT p.payment_reference AS reference, o.order_number, p.status, p.amount, p.received_amount, p.currency,
       m.code AS method, m.name AS method_name, m.instructions, m.payment_details, p.customer_reference,
       p.proof_content_type,
       (SELECT a.failure_reason
          FROM {payment_attempts} a
         WHERE a.tenant_id = :tenant_id
           AND a.payment_id = :payment_id
           AND a.action = 'admin_reject'
         ORDER BY a.attempt_number DESC
         LIMIT 1) AS rejection,
       p.created_at, p.expires_at, p.completed_at
  FROM {payments} p
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = p.order_id
  JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id
 WHERE p.tenant_id = :tenant_id
   AND p.id = :payment_id;

-- name: payment_to_submit(tenant_id, payment_id) -> Payment?
-- Locked, so that an attempt counted now is counted alone.
SELECT id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
       currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
       verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   FOR NO KEY UPDATE;

-- name: payments_of_order(tenant_id, order_id, size) -> Payment*
-- Oldest first.
SELECT id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
       currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
       verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
 ORDER BY id
 LIMIT :size;

-- name: payments_listed(tenant_id, status?, before?, size) -> Payment*
-- Newest first, for staff.
SELECT id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
       currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
       verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND status = :status                     -- if status
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: payments_to_review(tenant_id, after?, size) -> ReviewItem*
-- Oldest first: whoever waits longest is served first.
SELECT p.id, p.payment_reference AS reference, p.order_id, o.order_number, o.customer_name, m.name AS method, p.amount,
       o.total_amount AS order_total, o.amount_due AS order_due, p.currency, p.customer_reference, p.proof_content_type,
       p.customer_notes, p.created_at, p.updated_at
  FROM {payments} p
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = p.order_id
  JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id
 WHERE p.tenant_id = :tenant_id
   AND p.status = 'awaiting_verification'
   AND p.id > :after                        -- if after
 ORDER BY p.id
 LIMIT :size;

-- name: proof_of(tenant_id, payment_id) -> ProofFile?
SELECT proof_file_path AS path, proof_content_type AS content_type
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   AND proof_file_path IS NOT NULL
   AND proof_content_type IS NOT NULL;

-- name: submit_payment(tenant_id, payment_id, sources, customer_reference?, proof_file_path?, proof_content_type?,
--                      notes?) -> Payment?
-- The WHERE clause is the check: no row where the status does not allow it, or where the window has passed although no
-- job has said so yet. What a second proof leaves out stays as the first one had it.
UPDATE {payments}
   SET status = 'awaiting_verification',
       customer_reference = coalesce(:customer_reference, customer_reference),
       proof_file_path = coalesce(:proof_file_path, proof_file_path),
       proof_content_type = coalesce(:proof_content_type, proof_content_type),
       customer_notes = coalesce(:notes, customer_notes),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   AND status = ANY(:sources)
   AND (status <> 'pending' OR expires_at > now())
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: verify_payment(tenant_id, payment_id, sources, received_amount, verified_by?, notes?) -> Payment?
-- Staff saw the money. Of two who say so at once the second waits for the row, finds it completed and gets no row.
UPDATE {payments}
   SET status = 'completed',
       received_amount = :received_amount,
       verified_by = :verified_by,
       verified_at = now(),
       verification_notes = :notes,
       completed_at = now(),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   AND status = ANY(:sources)
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: complete_payment(tenant_id, payment_id, sources) -> Payment?
-- A provider's word, for the amount that was asked.
UPDATE {payments}
   SET status = 'completed',
       received_amount = amount,
       completed_at = now(),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   AND status = ANY(:sources)
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: settle_payment(tenant_id, payment_id, sources, received_amount, customer_reference?) -> Payment?
-- A provider's word that money arrived, be it more or less than was asked.
UPDATE {payments}
   SET status = 'completed',
       received_amount = :received_amount,
       customer_reference = coalesce(:customer_reference, customer_reference),
       completed_at = now(),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   AND status = ANY(:sources)
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: fail_payment(tenant_id, payment_id, sources) -> Payment?
UPDATE {payments}
   SET status = 'failed',
       failed_at = now(),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   AND status = ANY(:sources)
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: move_payment(tenant_id, payment_id, status, sources) -> Payment?
-- For the states that set nothing but themselves: processing and cancelled.
UPDATE {payments}
   SET status = :status,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   AND status = ANY(:sources)
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: cancel_unclaimed(tenant_id, order_id) -> Payment*
-- Nobody says that these were paid. What awaits verification stays for staff to look into: the money may be there.
UPDATE {payments}
   SET status = 'cancelled',
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
   AND status = 'pending'
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: follow_refunds(tenant_id, payment_id) -> Payment?
-- Summed from the refunds, not added to: said twice, or after any mistake, it comes out right. No row: nothing came by
-- it, or more would have gone back than came.
UPDATE {payments} p
   SET refunded_amount = r.amount,
       status = (CASE WHEN r.amount = 0 THEN 'completed'
                      WHEN r.amount < p.received_amount THEN 'partially_refunded'
                      ELSE 'refunded' END)::{payment_status},
       updated_at = now()
  FROM (SELECT coalesce(sum(f.amount), 0)::bigint AS amount
          FROM {refunds} f
         WHERE f.tenant_id = :tenant_id
           AND f.payment_id = :payment_id
           AND f.status = 'completed') r
 WHERE p.tenant_id = :tenant_id
   AND p.id = :payment_id
   AND p.received_amount >= r.amount
RETURNING p.id, p.payment_reference AS reference, p.order_id, p.user_id, p.payment_method_id, p.amount, p.received_amount,
          p.refunded_amount, p.currency, p.status, p.customer_reference, p.proof_content_type, p.customer_notes,
          p.verified_by, p.verified_at, p.verification_notes, p.created_at, p.updated_at, p.expires_at, p.completed_at,
          p.failed_at, p.meant_for_id;

-- name: add_attempt(tenant_id, attempt_id, payment_id, status, action, performed_by?, performed_by_type, success,
--                   failure_reason?, request_data?, ip_address?, user_agent?) -> int
-- The number is free as long as the payment's row is locked by the caller, in a statement before this one: this one
-- then sees what the rivals committed.
INSERT INTO {payment_attempts} (tenant_id, id, payment_id, attempt_number, status, action, performed_by, performed_by_type,
                                success, failure_reason, request_data, ip_address, user_agent)
SELECT :tenant_id, :attempt_id, :payment_id, coalesce(max(a.attempt_number), 0) + 1, :status, :action, :performed_by,
       :performed_by_type, :success, :failure_reason, :request_data, :ip_address, :user_agent
  FROM {payment_attempts} a
 WHERE a.tenant_id = :tenant_id
   AND a.payment_id = :payment_id
RETURNING attempt_number;

-- name: attempts_of(tenant_id, payment_id, size) -> PaymentAttempt*
-- In their order, by payment_attempts_number_unique.
SELECT id, attempt_number, status, action, performed_by, performed_by_type, success, failure_reason, request_data,
       response_data, host(ip_address) AS ip_address, user_agent, created_at
  FROM {payment_attempts}
 WHERE tenant_id = :tenant_id
   AND payment_id = :payment_id
 ORDER BY attempt_number
 LIMIT :size;

-- name: recent_attempts(tenant_id, before_at?, before_id?, size) -> PaymentAttempt*
-- Of all payments, the newest first; by idx_payment_attempts_created.
SELECT id, attempt_number, status, action, performed_by, performed_by_type, success, failure_reason, request_data,
       response_data, host(ip_address) AS ip_address, user_agent, created_at
  FROM {payment_attempts}
 WHERE tenant_id = :tenant_id
   AND (created_at, id) < (:before_at, :before_id)   -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :size;

-- name: tenants_with_overdue(size) -> str*
-- scope: all tenants
-- Who has payments to expire. Takes no lock; by idx_payments_pending.
SELECT tenant_id
  FROM {payments}
 WHERE status = 'pending'
   AND expires_at <= now()
 GROUP BY tenant_id
 LIMIT :size;

-- name: expire_overdue(tenant_id, size) -> Payment*
-- One that a rival holds is left to the rival: a second run of the job, or a customer whose proof comes this moment.
UPDATE {payments}
   SET status = 'expired',
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND status = 'pending'
   AND id = ANY(ARRAY(SELECT d.id
                        FROM {payments} d
                       WHERE d.tenant_id = :tenant_id
                         AND d.status = 'pending'
                         AND d.expires_at <= now()
                       ORDER BY d.expires_at
                       LIMIT :size
                         FOR NO KEY UPDATE SKIP LOCKED))
RETURNING id, payment_reference AS reference, order_id, user_id, payment_method_id, amount, received_amount, refunded_amount,
          currency, status, customer_reference, proof_content_type, customer_notes, verified_by, verified_at,
          verification_notes, created_at, updated_at, expires_at, completed_at, failed_at, meant_for_id;

-- name: add_expiry_attempts(tenant_id, attempt_ids, payment_ids) -> count
-- One line for each payment, whose rows the caller has locked by expiring them.
INSERT INTO {payment_attempts} (tenant_id, id, payment_id, attempt_number, status, action, performed_by_type, success)
SELECT :tenant_id, u.attempt_id, u.payment_id,
       (SELECT coalesce(max(a.attempt_number), 0) + 1
          FROM {payment_attempts} a
         WHERE a.tenant_id = :tenant_id
           AND a.payment_id = u.payment_id),
       'failed', 'auto_expire', 'system', TRUE
  FROM unnest(:attempt_ids::uuid[], :payment_ids::uuid[]) AS u (attempt_id, payment_id);

-- The ERP -------------------------------------------------------------------------------------------------------------

-- name: mark_synced(tenant_id, id, erp_id) -> count
-- One that the ERP knows under another id is left alone: it would be there twice.
UPDATE {payments}
   SET erp_payment_id = :erp_id, erp_synced_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND (erp_payment_id IS NULL OR erp_payment_id = :erp_id);

-- name: reset_synced(tenant_id, id) -> count
UPDATE {payments}
   SET erp_synced_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: reset_some_synced(tenant_id, size) -> count
UPDATE {payments} r
   SET erp_synced_at = NULL, updated_at = now()
  FROM (SELECT id
          FROM {payments}
         WHERE tenant_id = :tenant_id
           AND erp_payment_id IS NOT NULL
           AND erp_synced_at IS NOT NULL
         ORDER BY erp_synced_at
         LIMIT :size
           FOR NO KEY UPDATE SKIP LOCKED) d
 WHERE r.tenant_id = :tenant_id
   AND r.id = d.id;
