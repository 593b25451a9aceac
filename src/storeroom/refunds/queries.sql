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

-- Refund quotes ---------------------------------------------------------------------------------------------------------

-- name: lock_purchase(key) -> bool
-- Quotes of one purchase are saved one after the other. The ledger's rows cannot be locked, since nobody may change them.
SELECT pg_advisory_xact_lock(hashtextextended(:key, 0)) IS NOT NULL AS locked;

-- name: original_purchase(tenant_id, purchase_id) -> OriginalPurchase?
-- What the ledger of payments knows of it, archived or not.
SELECT t.amount, t.amount_asset AS currency, array_remove(ARRAY[t.payment_id], NULL) AS payment_ids
  FROM {payment_transactions} t
 WHERE t.tenant_id = :tenant_id
   AND t.signature = :purchase_id
 UNION ALL
SELECT a.amount, a.amount_asset AS currency, array_remove(ARRAY[a.payment_id], NULL) AS payment_ids
  FROM {payment_transactions_archive} a
 WHERE a.tenant_id = :tenant_id
   AND a.signature = :purchase_id
 LIMIT 1;

-- name: purchases_of_orders(tenant_id, purchase_id) -> OriginalPurchase*
-- What arrived for the orders of a purchase, by idx_orders_purchase; two of them where two sources call it so. Store
-- credit goes back to its balance, never to a wallet.
SELECT sum(p.received_amount)::bigint AS amount, o.currency, array_agg(p.id ORDER BY p.created_at, p.id) AS payment_ids
  FROM {orders} o
  JOIN {payments} p ON p.tenant_id = :tenant_id AND p.order_id = o.id AND p.received_amount IS NOT NULL
  JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id AND m.method_type <> 'store_credit'
 WHERE o.tenant_id = :tenant_id
   AND o.purchase_id = :purchase_id
 GROUP BY o.id, o.currency
 LIMIT 2;

-- name: quoted(tenant_id, purchase_id, except_id) -> int
-- What the other quotes of a purchase take: those that were processed or approved, and those that may still be.
SELECT coalesce(sum(amount), 0)::bigint
  FROM {refund_quotes}
 WHERE tenant_id = :tenant_id
   AND original_purchase_id = :purchase_id
   AND id <> :except_id
   AND (status IN ('processed', 'approved') OR (status = 'pending' AND expires_at > now()));

-- name: quoted_as(tenant_id, purchase_id, except_id, statuses) -> int
-- What the other quotes of a purchase take that come before one that is decided.
SELECT coalesce(sum(amount), 0)::bigint
  FROM {refund_quotes}
 WHERE tenant_id = :tenant_id
   AND original_purchase_id = :purchase_id
   AND id <> :except_id
   AND status = ANY (:statuses);

-- name: save_quote(tenant_id, quote_id, purchase_id, recipient_wallet, amount, asset, token, token_mint?, token_decimals,
--                  reason?, metadata, open_for) -> RefundQuote?
-- While it is pending the same id is the same quote. No row: it was decided.
INSERT INTO {refund_quotes} AS q (tenant_id, id, original_purchase_id, recipient_wallet, amount, amount_asset, token,
                                  token_mint, token_decimals, reason, metadata, expires_at)
VALUES (:tenant_id, :quote_id, :purchase_id, :recipient_wallet, :amount, :asset, :token, :token_mint, :token_decimals,
        :reason, :metadata, now() + :open_for::interval)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET original_purchase_id = EXCLUDED.original_purchase_id, recipient_wallet = EXCLUDED.recipient_wallet,
       amount = EXCLUDED.amount, amount_asset = EXCLUDED.amount_asset, token = EXCLUDED.token,
       token_mint = EXCLUDED.token_mint, token_decimals = EXCLUDED.token_decimals, reason = EXCLUDED.reason,
       metadata = EXCLUDED.metadata, expires_at = EXCLUDED.expires_at, updated_at = EXCLUDED.updated_at
 WHERE q.status = 'pending'
RETURNING q.id, q.original_purchase_id, q.recipient_wallet, q.amount, q.token, q.token_mint, q.token_decimals, q.status,
          FALSE AS expired, q.processed_by, q.processed_at, q.signature, q.reason, q.metadata, q.created_at, q.expires_at,
          q.amount_asset AS currency;

-- name: quote(tenant_id, quote_id) -> RefundQuote?
SELECT id, original_purchase_id, recipient_wallet, amount, token, token_mint, token_decimals, status,
       status = 'pending' AND expires_at <= now() AS expired, processed_by, processed_at, signature, reason, metadata,
       created_at, expires_at, amount_asset AS currency
  FROM {refund_quotes}
 WHERE tenant_id = :tenant_id
   AND id = :quote_id;

-- name: newest_quote(tenant_id, purchase_id) -> RefundQuote?
SELECT id, original_purchase_id, recipient_wallet, amount, token, token_mint, token_decimals, status,
       status = 'pending' AND expires_at <= now() AS expired, processed_by, processed_at, signature, reason, metadata,
       created_at, expires_at, amount_asset AS currency
  FROM {refund_quotes}
 WHERE tenant_id = :tenant_id
   AND original_purchase_id = :purchase_id
 ORDER BY created_at DESC, id DESC
 LIMIT 1;

-- name: open_quotes(tenant_id, after_at?, after_id?, size) -> RefundQuote*
-- What somebody has to decide or to send, oldest first.
SELECT id, original_purchase_id, recipient_wallet, amount, token, token_mint, token_decimals, status,
       FALSE AS expired, processed_by, processed_at, signature, reason, metadata, created_at, expires_at,
       amount_asset AS currency
  FROM {refund_quotes}
 WHERE tenant_id = :tenant_id
   AND status IN ('pending', 'approved')
   AND (status = 'approved' OR expires_at > now())
   AND (created_at, id) > (:after_at, :after_id)     -- if after_at
 ORDER BY created_at, id
 LIMIT :size;

-- name: decide_quote(tenant_id, quote_id, status, sources) -> RefundQuote?
-- Approving and denying. No row: its status, or the time, does not allow it.
UPDATE {refund_quotes}
   SET status = :status, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :quote_id
   AND status = ANY (:sources)
   AND (status <> 'pending' OR expires_at > now())
RETURNING id, original_purchase_id, recipient_wallet, amount, token, token_mint, token_decimals, status, FALSE AS expired,
          processed_by, processed_at, signature, reason, metadata, created_at, expires_at, amount_asset AS currency;

-- name: process_quote(tenant_id, quote_id, sources, processed_by, signature) -> RefundQuote?
-- All of it in one statement. Of two who do it at once the second waits, finds it processed and gets no row.
UPDATE {refund_quotes}
   SET status = 'processed', processed_by = :processed_by, processed_at = now(), signature = :signature, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :quote_id
   AND status = ANY (:sources)
   AND (status <> 'pending' OR expires_at > now())
RETURNING id, original_purchase_id, recipient_wallet, amount, token, token_mint, token_decimals, status, FALSE AS expired,
          processed_by, processed_at, signature, reason, metadata, created_at, expires_at, amount_asset AS currency;

-- name: delete_quote(tenant_id, quote_id) -> count
-- What was processed is kept.
DELETE FROM {refund_quotes}
 WHERE tenant_id = :tenant_id
   AND id = :quote_id
   AND status <> 'processed';

-- name: tenants_with_expired_quotes(kept_for, rows) -> str*
-- scope: all tenants
SELECT tenant_id
  FROM {refund_quotes}
 WHERE status = 'pending'
   AND expires_at <= now() - :kept_for::interval
 GROUP BY tenant_id
 LIMIT :rows;

-- name: delete_expired_quotes(tenant_id, kept_for, rows) -> count
-- Two runs at once take different rows.
DELETE FROM {refund_quotes} q
 WHERE q.tenant_id = :tenant_id
   AND q.id = ANY (ARRAY(SELECT e.id
                           FROM {refund_quotes} e
                          WHERE e.tenant_id = :tenant_id
                            AND e.status = 'pending'
                            AND e.expires_at <= now() - :kept_for::interval
                          ORDER BY e.expires_at
                          LIMIT :rows
                            FOR UPDATE SKIP LOCKED));

-- Disputes --------------------------------------------------------------------------------------------------------------

-- name: insert_dispute(tenant_id, dispute_id, provider, provider_dispute_id, payment_id, amount, currency, reason,
--                      opened_at) -> Dispute?
-- No row: the provider told of it before.
INSERT INTO {disputes} (tenant_id, id, provider, provider_dispute_id, payment_id, amount, currency, reason, opened_at)
VALUES (:tenant_id, :dispute_id, :provider, :provider_dispute_id, :payment_id, :amount, :currency, :reason, :opened_at)
    ON CONFLICT (tenant_id, provider, provider_dispute_id) DO NOTHING
RETURNING id, provider, provider_dispute_id, payment_id, amount, reason, status, refund_id, opened_at, closed_at, created_at,
          updated_at, currency;

-- name: dispute(tenant_id, dispute_id) -> Dispute?
SELECT id, provider, provider_dispute_id, payment_id, amount, reason, status, refund_id, opened_at, closed_at, created_at,
       updated_at, currency
  FROM {disputes}
 WHERE tenant_id = :tenant_id
   AND id = :dispute_id;

-- name: dispute_of_provider(tenant_id, provider, provider_dispute_id) -> Dispute?
SELECT id, provider, provider_dispute_id, payment_id, amount, reason, status, refund_id, opened_at, closed_at, created_at,
       updated_at, currency
  FROM {disputes}
 WHERE tenant_id = :tenant_id
   AND provider = :provider
   AND provider_dispute_id = :provider_dispute_id;

-- name: disputes_of_payment(tenant_id, payment_id, size) -> Dispute*
-- Oldest first.
SELECT id, provider, provider_dispute_id, payment_id, amount, reason, status, refund_id, opened_at, closed_at, created_at,
       updated_at, currency
  FROM {disputes}
 WHERE tenant_id = :tenant_id
   AND payment_id = :payment_id
 ORDER BY id
 LIMIT :size;

-- name: disputes_page(tenant_id, status?, before?, size) -> Dispute*
-- Newest first.
SELECT id, provider, provider_dispute_id, payment_id, amount, reason, status, refund_id, opened_at, closed_at, created_at,
       updated_at, currency
  FROM {disputes}
 WHERE tenant_id = :tenant_id
   AND status = :status                     -- if status
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: close_dispute(tenant_id, dispute_id, status) -> Dispute?
-- No row: it was closed before.
UPDATE {disputes}
   SET status = :status, closed_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :dispute_id
   AND status = 'open'
RETURNING id, provider, provider_dispute_id, payment_id, amount, reason, status, refund_id, opened_at, closed_at, created_at,
          updated_at, currency;

-- name: charge_dispute(tenant_id, dispute_id, refund_id) -> Dispute?
UPDATE {disputes}
   SET refund_id = :refund_id, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :dispute_id
   AND status = 'lost'
RETURNING id, provider, provider_dispute_id, payment_id, amount, reason, status, refund_id, opened_at, closed_at, created_at,
          updated_at, currency;

-- The ERP -------------------------------------------------------------------------------------------------------------

-- name: mark_synced(tenant_id, id, erp_id) -> count
-- One that the ERP knows under another id is left alone: it would be there twice.
UPDATE {refunds}
   SET erp_refund_id = :erp_id, erp_synced_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND (erp_refund_id IS NULL OR erp_refund_id = :erp_id);

-- name: reset_synced(tenant_id, id) -> count
UPDATE {refunds}
   SET erp_synced_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: reset_some_synced(tenant_id, size) -> count
UPDATE {refunds} r
   SET erp_synced_at = NULL, updated_at = now()
  FROM (SELECT id
          FROM {refunds}
         WHERE tenant_id = :tenant_id
           AND erp_refund_id IS NOT NULL
           AND erp_synced_at IS NOT NULL
         ORDER BY erp_synced_at
         LIMIT :size
           FOR NO KEY UPDATE SKIP LOCKED) d
 WHERE r.tenant_id = :tenant_id
   AND r.id = d.id;
