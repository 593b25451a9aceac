-- The ledger. It writes nothing: the facts are payments and refunds.

-- name: order_ledger(tenant_id, order_id) -> OrderLedger?
SELECT order_id, order_number, user_id, status, total, came_in, went_back, kept, promised, due, due_back, currency
  FROM {order_ledger}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id;

-- name: order_entries(tenant_id, order_id, size) -> LedgerEntry*
-- In the order in which the money moved.
SELECT 'payment' AS kind, p.id, p.payment_reference AS reference, p.received_amount AS amount, p.completed_at AS at, p.currency
  FROM {payments} p
 WHERE p.tenant_id = :tenant_id
   AND p.order_id = :order_id
   AND p.received_amount IS NOT NULL
   AND p.completed_at IS NOT NULL
 UNION ALL
SELECT 'refund' AS kind, r.id, r.refund_reference AS reference, -r.amount AS amount, r.processed_at AS at, r.currency
  FROM {refunds} r
 WHERE r.tenant_id = :tenant_id
   AND r.order_id = :order_id
   AND r.status = 'completed'
 ORDER BY at, id
 LIMIT :size;

-- name: shop_ledger(tenant_id, size) -> ShopLedger*
SELECT currency, orders, total, came_in, went_back, kept, promised, due, due_back
  FROM {tenant_ledger}
 WHERE tenant_id = :tenant_id
 ORDER BY currency
 LIMIT :size;
