-- Refunds. Whoever asks for one or ends one holds the order first and then the payment, as payments do.

-- name: order_of_payment(tenant_id, payment_id) -> UUID?
-- Locks the order; the payment itself is not locked yet, so nothing else is read here.
SELECT o.id
  FROM {payments} p
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = p.order_id
 WHERE p.tenant_id = :tenant_id
   AND p.id = :payment_id
   FOR NO KEY UPDATE OF o;

-- name: order_of_refund(tenant_id, refund_id) -> UUID?
-- The same by one of its refunds, which is read anew afterwards.
SELECT o.id
  FROM {refunds} r
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = r.order_id
 WHERE r.tenant_id = :tenant_id
   AND r.id = :refund_id
   FOR NO KEY UPDATE OF o;

-- name: lock_payment(tenant_id, payment_id) -> UUID?
SELECT id
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND id = :payment_id
   FOR NO KEY UPDATE;

-- name: payment_to_refund(tenant_id, payment_id) -> RefundedPayment?
-- In a statement of its own after the locks, so that it sees what rivals committed.
SELECT p.id, p.payment_reference AS reference, p.order_id, p.user_id, p.status, m.method_type, p.received_amount,
       p.refunded_amount,
       (SELECT coalesce(sum(r.amount), 0)::bigint
          FROM {refunds} r
         WHERE r.tenant_id = :tenant_id AND r.payment_id = :payment_id AND r.status = 'pending') AS promised_amount,
       p.currency
  FROM {payments} p
  JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id
 WHERE p.tenant_id = :tenant_id
   AND p.id = :payment_id;

-- name: lines_to_refund(tenant_id, order_id) -> LineToRefund*
-- Units that no refund counts, be it completed or promised.
SELECT i.id,
       (i.quantity - i.quantity_refunded
        - (SELECT coalesce(sum(x.quantity), 0)
             FROM {refund_items} x
             JOIN {refunds} r ON r.tenant_id = :tenant_id AND r.id = x.refund_id AND r.status = 'pending'
            WHERE x.tenant_id = :tenant_id AND x.order_item_id = i.id))::int AS left
  FROM {order_items} i
 WHERE i.tenant_id = :tenant_id
   AND i.order_id = :order_id;

-- name: insert_refund(tenant_id, refund_id, reference, payment_id, order_id, amount, currency, reason, reason_details?,
--                     requested_by?) -> Refund?
-- No row: the reference was drawn before.
INSERT INTO {refunds} (tenant_id, id, refund_reference, payment_id, order_id, amount, currency, reason, reason_details,
                       requested_by)
VALUES (:tenant_id, :refund_id, :reference, :payment_id, :order_id, :amount, :currency, :reason, :reason_details,
        :requested_by)
    ON CONFLICT (tenant_id, refund_reference) DO NOTHING
RETURNING id, refund_reference AS reference, payment_id, order_id, amount, status, reason, reason_details, requested_by,
          processed_by, processed_at, refund_method, refund_details, failure_reason, erp_refund_id, erp_synced_at,
          created_at, updated_at, currency;

-- name: insert_items(tenant_id, refund_id, order_item_ids, quantities, restocks)
INSERT INTO {refund_items} (tenant_id, refund_id, order_item_id, quantity, restock)
SELECT :tenant_id, :refund_id, u.order_item_id, u.quantity, u.restock
  FROM unnest(:order_item_ids::uuid[], :quantities::int[], :restocks::bool[]) AS u (order_item_id, quantity, restock);

-- name: complete_refund(tenant_id, refund_id, method, details, processed_by?) -> Refund?
-- No row: it is not pending any more.
UPDATE {refunds}
   SET status = 'completed', refund_method = :method, refund_details = :details, processed_by = :processed_by,
       processed_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :refund_id
   AND status = 'pending'
RETURNING id, refund_reference AS reference, payment_id, order_id, amount, status, reason, reason_details, requested_by,
          processed_by, processed_at, refund_method, refund_details, failure_reason, erp_refund_id, erp_synced_at,
          created_at, updated_at, currency;

-- name: fail_refund(tenant_id, refund_id, failure_reason, processed_by?) -> Refund?
UPDATE {refunds}
   SET status = 'failed', failure_reason = :failure_reason, processed_by = :processed_by, processed_at = now(),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :refund_id
   AND status = 'pending'
RETURNING id, refund_reference AS reference, payment_id, order_id, amount, status, reason, reason_details, requested_by,
          processed_by, processed_at, refund_method, refund_details, failure_reason, erp_refund_id, erp_synced_at,
          created_at, updated_at, currency;

-- name: refund(tenant_id, refund_id) -> Refund?
SELECT id, refund_reference AS reference, payment_id, order_id, amount, status, reason, reason_details, requested_by,
       processed_by, processed_at, refund_method, refund_details, failure_reason, erp_refund_id, erp_synced_at,
       created_at, updated_at, currency
  FROM {refunds}
 WHERE tenant_id = :tenant_id
   AND id = :refund_id;

-- name: refund_by_reference(tenant_id, reference) -> Refund?
SELECT id, refund_reference AS reference, payment_id, order_id, amount, status, reason, reason_details, requested_by,
       processed_by, processed_at, refund_method, refund_details, failure_reason, erp_refund_id, erp_synced_at,
       created_at, updated_at, currency
  FROM {refunds}
 WHERE tenant_id = :tenant_id
   AND refund_reference = :reference;

-- name: items_of_refund(tenant_id, refund_id) -> RefundItem*
SELECT order_item_id, quantity, restock
  FROM {refund_items}
 WHERE tenant_id = :tenant_id
   AND refund_id = :refund_id
 ORDER BY order_item_id;

-- name: refunds_of_order(tenant_id, order_id, size) -> Refund*
-- Oldest first.
SELECT id, refund_reference AS reference, payment_id, order_id, amount, status, reason, reason_details, requested_by,
       processed_by, processed_at, refund_method, refund_details, failure_reason, erp_refund_id, erp_synced_at,
       created_at, updated_at, currency
  FROM {refunds}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
 ORDER BY id
 LIMIT :size;

-- name: refunds_of_payment(tenant_id, payment_id, size) -> Refund*
-- Oldest first.
SELECT id, refund_reference AS reference, payment_id, order_id, amount, status, reason, reason_details, requested_by,
       processed_by, processed_at, refund_method, refund_details, failure_reason, erp_refund_id, erp_synced_at,
       created_at, updated_at, currency
  FROM {refunds}
 WHERE tenant_id = :tenant_id
   AND payment_id = :payment_id
 ORDER BY id
 LIMIT :size;

-- name: refunds_page(tenant_id, status?, before?, size) -> Refund*
-- Newest first.
SELECT id, refund_reference AS reference, payment_id, order_id, amount, status, reason, reason_details, requested_by,
       processed_by, processed_at, refund_method, refund_details, failure_reason, erp_refund_id, erp_synced_at,
       created_at, updated_at, currency
  FROM {refunds}
 WHERE tenant_id = :tenant_id
   AND status = :status                     -- if status
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: return_units(tenant_id, refund_id, movement_ids, actor_kind, actor_id?) -> int
-- See flows/functions.sql: stock and lines change together.
SELECT {return_order_units_v1}(:tenant_id, :refund_id, :movement_ids, :actor_kind, :actor_id);

-- name: credit_payments(tenant_id, order_id) -> PaymentId*
-- What the order was paid with from its buyer's store credit, and has not gone back.
SELECT p.id
  FROM {payments} p
  JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id AND m.method_type = 'store_credit'
 WHERE p.tenant_id = :tenant_id
   AND p.order_id = :order_id
   AND p.status IN ('completed', 'partially_refunded')
 ORDER BY p.id;
