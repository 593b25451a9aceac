-- What must always hold, one statement each, over all tenants. A row is a finding; the comment is what the doctor prints.
-- They read everything once: for an operator and for tests, never for a request.

-- name: reserved_is_explained(size) -> Finding*
-- scope: all tenants
-- Reserved units are those of active reservations and of placed orders not yet shipped, no more and no fewer.
SELECT s.tenant_id, s.variant_id::text AS subject,
       format('reserved %s, reservations %s, orders %s', s.reserved, coalesce(r.units, 0), coalesce(o.units, 0)) AS detail
  FROM {stock_levels} s
  LEFT JOIN (SELECT tenant_id, variant_id, sum(quantity) AS units
               FROM {inventory_reservations}
              WHERE status = 'active'
              GROUP BY tenant_id, variant_id) r ON r.tenant_id = s.tenant_id AND r.variant_id = s.variant_id
  LEFT JOIN (SELECT tenant_id, variant_id, sum(quantity_held) AS units
               FROM {order_items}
              WHERE quantity_held > 0
              GROUP BY tenant_id, variant_id) o ON o.tenant_id = s.tenant_id AND o.variant_id = s.variant_id
 WHERE s.reserved <> coalesce(r.units, 0) + coalesce(o.units, 0)
 ORDER BY s.tenant_id, s.variant_id
 LIMIT :size;

-- name: on_hand_is_explained(size) -> Finding*
-- scope: all tenants
-- Units on hand are the sum of the movements that brought and took them.
SELECT s.tenant_id, s.variant_id::text AS subject,
       format('on hand %s, movements %s', s.on_hand, coalesce(m.units, 0)) AS detail
  FROM {stock_levels} s
  LEFT JOIN (SELECT tenant_id, variant_id, sum(quantity) AS units
               FROM {stock_movements}
              GROUP BY tenant_id, variant_id) m ON m.tenant_id = s.tenant_id AND m.variant_id = s.variant_id
 WHERE s.on_hand <> coalesce(m.units, 0)
 ORDER BY s.tenant_id, s.variant_id
 LIMIT :size;

-- name: lines_hold_what_is_open(size) -> Finding*
-- scope: all tenants
-- A line holds all its open units, or none where its stock is not tracked; an order that was sent or ended has none open.
SELECT i.tenant_id, o.order_number AS subject,
       format('%s line %s: %s ordered, %s held, %s shipped, %s cancelled', o.status, i.position, i.quantity, i.quantity_held,
              i.quantity_fulfilled, i.quantity_cancelled) AS detail
  FROM {order_items} i
  JOIN {orders} o ON o.tenant_id = i.tenant_id AND o.id = i.order_id
 WHERE i.quantity_held NOT IN (0, i.quantity - i.quantity_fulfilled - i.quantity_cancelled)
    OR (i.quantity_fulfilled + i.quantity_cancelled <> i.quantity
        AND o.status IN ('shipped', 'delivered', 'cancelled', 'refunded'))
 ORDER BY i.tenant_id, i.id
 LIMIT :size;

-- name: reservations_became_orders(size) -> Finding*
-- scope: all tenants
-- A converted reservation names the order that its units went to.
SELECT r.tenant_id, r.id::text AS subject, format('%s units of %s, order %s', r.quantity, r.variant_id, r.order_id) AS detail
  FROM {inventory_reservations} r
  LEFT JOIN {orders} o ON o.tenant_id = r.tenant_id AND o.id = r.order_id
 WHERE r.status = 'converted'
   AND o.id IS NULL
 ORDER BY r.tenant_id, r.id
 LIMIT :size;

-- name: shipped_units_are_on_lines(size) -> Finding*
-- scope: all tenants
-- What left the shelf for an order is shipped on its lines. Lines may say more: not every stock is tracked.
SELECT m.tenant_id, coalesce(o.order_number, m.order_id::text, 'no order') AS subject,
       format('%s units of %s left, %s on lines', m.units, m.variant_id, coalesce(i.units, 0)) AS detail
  FROM (SELECT tenant_id, order_id, variant_id, -sum(quantity) AS units
          FROM {stock_movements}
         WHERE kind = 'shipment'
         GROUP BY tenant_id, order_id, variant_id) m
  LEFT JOIN {orders} o ON o.tenant_id = m.tenant_id AND o.id = m.order_id
  LEFT JOIN (SELECT tenant_id, order_id, variant_id, sum(quantity_fulfilled) AS units
               FROM {order_items}
              GROUP BY tenant_id, order_id, variant_id) i
    ON i.tenant_id = m.tenant_id AND i.order_id = m.order_id AND i.variant_id = m.variant_id
 WHERE m.units > coalesce(i.units, 0)
 ORDER BY m.tenant_id, m.order_id, m.variant_id
 LIMIT :size;

-- name: batches_gave_what_was_taken(size) -> Finding*
-- scope: all tenants
-- A batch has given at least what shipments say they took of it, and to lines of its own product only.
SELECT b.tenant_id, b.batch_number AS subject,
       format('%s produced, %s remain, %s were taken', b.quantity_produced, b.quantity_remaining, t.units) AS detail
  FROM (SELECT h.tenant_id, (t.value->>'batch_id')::uuid AS batch_id, sum((t.value->>'quantity')::bigint) AS units
          FROM {order_status_history} h, jsonb_array_elements(h.metadata->'batches') t
         WHERE h.to_status = 'shipped'
           AND jsonb_typeof(h.metadata->'batches') = 'array'
         GROUP BY h.tenant_id, (t.value->>'batch_id')::uuid) t
  JOIN {product_batches} b ON b.tenant_id = t.tenant_id AND b.id = t.batch_id
 WHERE t.units > b.quantity_produced - b.quantity_remaining
 UNION ALL
SELECT i.tenant_id, i.batch_number, format('line %s is of another product', i.id)
  FROM {order_items} i
  JOIN {product_batches} b ON b.tenant_id = i.tenant_id AND b.id = i.batch_id
 WHERE b.product_id <> i.product_id
 ORDER BY tenant_id, subject
 LIMIT :size;

-- name: totals_are_their_lines(size) -> Finding*
-- scope: all tenants
-- An order's total is the sum of its lines, less discounts, plus shipping and tax.
SELECT o.tenant_id, o.order_number AS subject,
       format('subtotal %s, lines %s, total %s', o.subtotal_amount, l.amount, o.total_amount) AS detail
  FROM {orders} o
  LEFT JOIN (SELECT tenant_id, order_id, sum(subtotal_amount) AS amount
               FROM {order_items}
              GROUP BY tenant_id, order_id) l ON l.tenant_id = o.tenant_id AND l.order_id = o.id
 WHERE l.amount IS NULL
    OR o.subtotal_amount <> l.amount
    OR o.total_amount <> l.amount - o.discount_amount + o.shipping_amount + o.tax_amount
 ORDER BY o.tenant_id, o.id
 LIMIT :size;

-- name: discounts_are_explained(size) -> Finding*
-- scope: all tenants
-- What was taken off an order is what its coupons took, and what its lines were given; a quote agrees on its price by
-- itself, and so does another shop that the order comes from.
SELECT o.tenant_id, o.order_number AS subject,
       format('discount %s, coupons %s, lines %s', o.discount_amount, coalesce(d.amount, 0), coalesce(l.amount, 0)) AS detail
  FROM {orders} o
  LEFT JOIN (SELECT tenant_id, order_id, sum(amount) AS amount
               FROM {order_discounts}
              GROUP BY tenant_id, order_id) d ON d.tenant_id = o.tenant_id AND d.order_id = o.id
  LEFT JOIN (SELECT tenant_id, order_id, sum(discount_amount) AS amount, bool_or(price_source IN ('quote', 'source')) AS quoted
               FROM {order_items}
              GROUP BY tenant_id, order_id) l ON l.tenant_id = o.tenant_id AND l.order_id = o.id
 WHERE (o.discount_amount <> coalesce(d.amount, 0) AND l.quoted IS NOT TRUE)
    OR o.discount_amount <> coalesce(l.amount, 0)
 ORDER BY o.tenant_id, o.id
 LIMIT :size;

-- name: uses_of_coupons_are_counted(size) -> Finding*
-- scope: all tenants
-- A coupon counts at least the uses of its orders; those of cancelled orders were given back, and no others.
SELECT c.tenant_id, c.code AS subject, format('counted %s, used %s, wrong %s', c.usage_count, r.uses, r.wrong) AS detail
  FROM {coupons} c
  JOIN (SELECT r.tenant_id, r.coupon_id, count(*) FILTER (WHERE r.released_at IS NULL) AS uses,
               count(*) FILTER (WHERE (r.released_at IS NULL) = (o.cancelled_at IS NOT NULL)) AS wrong
          FROM {coupon_redemptions} r
          JOIN {orders} o ON o.tenant_id = r.tenant_id AND o.id = r.order_id
         GROUP BY r.tenant_id, r.coupon_id) r ON r.tenant_id = c.tenant_id AND r.coupon_id = c.id
 WHERE c.usage_count < r.uses
    OR r.wrong > 0
 ORDER BY c.tenant_id, c.id
 LIMIT :size;

-- name: currencies_agree(size) -> Finding*
-- scope: all tenants
-- Lines and payments of an order are in its currency.
SELECT o.tenant_id, o.order_number AS subject, format('order in %s, %s in %s', o.currency, x.what, x.currency) AS detail
  FROM (SELECT tenant_id, order_id, 'line ' || position AS what, currency FROM {order_items}
         UNION ALL
        SELECT tenant_id, order_id, 'payment ' || payment_reference, currency FROM {payments}) x
  JOIN {orders} o ON o.tenant_id = x.tenant_id AND o.id = x.order_id
 WHERE x.currency <> o.currency
 ORDER BY o.tenant_id, o.id, x.what
 LIMIT :size;

-- name: paid_is_what_arrived(size) -> Finding*
-- scope: all tenants
-- What an order says is paid is what its ledger keeps: what payments brought, less what refunds took.
SELECT o.tenant_id, o.order_number AS subject,
       format('paid %s, came in %s, went back %s', o.amount_paid, l.came_in, l.went_back) AS detail
  FROM {orders} o
  JOIN {order_ledger} l ON l.tenant_id = o.tenant_id AND l.order_id = o.id
 WHERE o.amount_paid <> l.kept
 ORDER BY o.tenant_id, o.id
 LIMIT :size;

-- name: quotes_fit_their_purchases(size) -> Finding*
-- scope: all tenants
-- Refund quotes that were approved or sent stay within what the ledger of payments says was paid, in the same asset.
SELECT q.tenant_id, q.original_purchase_id AS subject,
       format('%s %s paid, %s %s to go back', t.amount, t.amount_asset, q.amount, q.amount_asset) AS detail
  FROM (SELECT tenant_id, original_purchase_id, amount_asset, sum(amount) AS amount
          FROM {refund_quotes}
         WHERE status IN ('approved', 'processed')
         GROUP BY tenant_id, original_purchase_id, amount_asset) q
  JOIN (SELECT tenant_id, signature, amount, amount_asset FROM {payment_transactions}
         UNION ALL
        SELECT tenant_id, signature, amount, amount_asset FROM {payment_transactions_archive}) t
    ON t.tenant_id = q.tenant_id AND t.signature = q.original_purchase_id
 WHERE q.amount > t.amount
    OR q.amount_asset <> t.amount_asset
 ORDER BY q.tenant_id, q.original_purchase_id
 LIMIT :size;

-- name: disputes_fit_their_payments(size) -> Finding*
-- scope: all tenants
-- A dispute is in the currency of its payment; a lost one took its money by a chargeback of that payment, and no chargeback
-- is without one.
SELECT d.tenant_id, d.provider_dispute_id AS subject, x.what AS detail
  FROM {disputes} d
  JOIN {payments} p ON p.tenant_id = d.tenant_id AND p.id = d.payment_id
  LEFT JOIN {refunds} r ON r.tenant_id = d.tenant_id AND r.id = d.refund_id
 CROSS JOIN LATERAL (
       SELECT format('in %s, the payment in %s', d.currency, p.currency) AS what WHERE d.currency <> p.currency
        UNION ALL
       SELECT 'its refund is no chargeback of the payment'
        WHERE r.id IS NOT NULL
          AND (r.payment_id <> d.payment_id OR r.refund_method IS DISTINCT FROM 'chargeback' OR r.amount > d.amount)
        UNION ALL
       SELECT 'lost, and the payment kept money' WHERE d.status = 'lost' AND r.id IS NULL AND p.status = 'completed') x
 UNION ALL
SELECT r.tenant_id, r.refund_reference, 'a chargeback without a dispute'
  FROM {refunds} r
 WHERE r.refund_method = 'chargeback'
   AND NOT EXISTS (SELECT FROM {disputes} d WHERE d.tenant_id = r.tenant_id AND d.refund_id = r.id)
 ORDER BY tenant_id, subject
 LIMIT :size;

-- name: statistics_are_their_orders(size) -> Finding*
-- scope: all tenants
-- What a customer bought is what was not cancelled of their orders, less what went back; spent counts the shop's currency.
SELECT u.tenant_id, u.id::text AS subject,
       format('%s orders of %s, kept as %s of %s', coalesce(o.orders, 0), coalesce(o.spent, 0), coalesce(s.total_orders, 0),
              coalesce(s.total_spent, 0)) AS detail
  FROM {users} u
  LEFT JOIN {customer_statistics} s ON s.tenant_id = u.tenant_id AND s.user_id = u.id
  LEFT JOIN (SELECT d.tenant_id, d.user_id, count(*) AS orders, max(d.created_at) AS last_at,
                    sum(CASE WHEN d.status = 'refunded' OR d.currency <> c.currency THEN 0
                             WHEN p.order_id IS NOT NULL THEN least(d.total_amount, greatest(d.amount_paid, 0))
                             ELSE d.total_amount END) AS spent
               FROM {orders} d
               LEFT JOIN {customer_statistics} c ON c.tenant_id = d.tenant_id AND c.user_id = d.user_id
               LEFT JOIN (SELECT tenant_id, order_id
                            FROM {payments}
                           WHERE refunded_amount > 0
                           GROUP BY tenant_id, order_id) p ON p.tenant_id = d.tenant_id AND p.order_id = d.id
              WHERE d.user_id IS NOT NULL
                AND d.cancelled_at IS NULL
              GROUP BY d.tenant_id, d.user_id) o ON o.tenant_id = u.tenant_id AND o.user_id = u.id
 WHERE (coalesce(s.total_orders, 0), coalesce(s.total_spent, 0)) <> (coalesce(o.orders, 0), coalesce(o.spent, 0))
    OR s.last_order_at IS DISTINCT FROM o.last_at
 ORDER BY u.tenant_id, u.id
 LIMIT :size;

-- name: refunds_fit_their_payments(size) -> Finding*
-- scope: all tenants
-- A payment is refunded when all that arrived went back, partially when some did, and completed while nothing did; what went
-- back are its completed refunds.
SELECT p.tenant_id, p.payment_reference AS subject,
       format('%s: %s arrived, %s went back, refunds %s', p.status, coalesce(p.received_amount, 0), p.refunded_amount,
              coalesce(r.amount, 0)) AS detail
  FROM {payments} p
  LEFT JOIN (SELECT tenant_id, payment_id, sum(amount) AS amount
               FROM {refunds}
              WHERE status = 'completed'
              GROUP BY tenant_id, payment_id) r ON r.tenant_id = p.tenant_id AND r.payment_id = p.id
 WHERE p.refunded_amount <> coalesce(r.amount, 0)
    OR ((p.refunded_amount > 0 OR p.status IN ('refunded', 'partially_refunded'))
        AND p.status <> CASE WHEN p.refunded_amount = 0 THEN 'completed'
                             WHEN p.refunded_amount < p.received_amount THEN 'partially_refunded'
                             ELSE 'refunded' END::{payment_status})
 ORDER BY p.tenant_id, p.id
 LIMIT :size;

-- name: refunds_fit_their_orders(size) -> Finding*
-- scope: all tenants
-- A refund is of its payment's order and in its currency, for no more units than were bought; a completed one left a message,
-- and an entry where it went to store credit.
SELECT r.tenant_id, r.refund_reference AS subject, x.what AS detail
  FROM {refunds} r
  JOIN {payments} p ON p.tenant_id = r.tenant_id AND p.id = r.payment_id
 CROSS JOIN LATERAL (
       SELECT 'of another order' AS what WHERE r.order_id <> p.order_id
        UNION ALL
       SELECT format('in %s, the payment in %s', r.currency, p.currency) WHERE r.currency <> p.currency
        UNION ALL
       SELECT 'no refund.completed'
        WHERE r.status = 'completed'
          AND NOT EXISTS (SELECT FROM {webhook_queue} q
                           WHERE q.tenant_id = r.tenant_id AND q.entity_type = 'refund' AND q.entity_id = r.id
                             AND q.event_type = 'refund.completed')
        UNION ALL
       SELECT 'no entry of store credit'
        WHERE r.status = 'completed'
          AND r.refund_method = 'store_credit'
          AND NOT EXISTS (SELECT FROM {store_credit_entries} e
                           WHERE e.tenant_id = r.tenant_id AND e.refund_id = r.id AND e.amount = r.amount)) x
 UNION ALL
SELECT i.tenant_id, o.order_number, format('line %s: %s units refunded, %s by refunds', i.position, i.quantity_refunded,
                                           coalesce(x.units, 0))
  FROM {order_items} i
  JOIN {orders} o ON o.tenant_id = i.tenant_id AND o.id = i.order_id
  LEFT JOIN (SELECT x.tenant_id, x.order_item_id, sum(x.quantity) AS units
               FROM {refund_items} x
               JOIN {refunds} r ON r.tenant_id = x.tenant_id AND r.id = x.refund_id AND r.status = 'completed'
              GROUP BY x.tenant_id, x.order_item_id) x ON x.tenant_id = i.tenant_id AND x.order_item_id = i.id
 WHERE i.quantity_refunded <> coalesce(x.units, 0)
 ORDER BY tenant_id, subject
 LIMIT :size;

-- name: erp_links_are_whole(size) -> Finding*
-- scope: all tenants
-- What was sent to the ERP has an id there, which nothing else of its kind has; a line has one only where its order has.
WITH linked AS (
    SELECT tenant_id, 'account' AS kind, id, erp_customer_id AS erp_id, erp_synced_at
      FROM {users}
     WHERE erp_customer_id IS NOT NULL OR erp_synced_at IS NOT NULL
     UNION ALL
    SELECT tenant_id, 'product', id, erp_item_id, erp_synced_at
      FROM {products}
     WHERE erp_item_id IS NOT NULL OR erp_synced_at IS NOT NULL
     UNION ALL
    SELECT tenant_id, 'order', id, erp_order_id, erp_synced_at
      FROM {orders}
     WHERE erp_order_id IS NOT NULL OR erp_synced_at IS NOT NULL
     UNION ALL
    SELECT tenant_id, 'payment', id, erp_payment_id, erp_synced_at
      FROM {payments}
     WHERE erp_payment_id IS NOT NULL OR erp_synced_at IS NOT NULL
     UNION ALL
    SELECT tenant_id, 'refund', id, erp_refund_id, erp_synced_at
      FROM {refunds}
     WHERE erp_refund_id IS NOT NULL OR erp_synced_at IS NOT NULL)
SELECT tenant_id, id::text AS subject, format('%s sent, and without an id there', kind) AS detail
  FROM linked
 WHERE erp_id IS NULL
 UNION ALL
SELECT tenant_id, min(id::text), format('%s %s of the ERP is %s rows', kind, erp_id, count(*))
  FROM linked
 WHERE erp_id IS NOT NULL
 GROUP BY tenant_id, kind, erp_id
HAVING count(*) > 1
 UNION ALL
SELECT i.tenant_id, o.order_number, format('line %s is %s, its order is not there', i.position, i.erp_line_id)
  FROM {order_items} i
  JOIN {orders} o ON o.tenant_id = i.tenant_id AND o.id = i.order_id
 WHERE i.erp_line_id IS NOT NULL
   AND o.erp_order_id IS NULL
 ORDER BY 1, 2
 LIMIT :size;

-- name: credit_is_its_entries(size) -> Finding*
-- scope: all tenants
-- A balance of store credit is the sum of its entries, and no entry is without a balance.
SELECT coalesce(c.tenant_id, e.tenant_id) AS tenant_id, coalesce(c.user_id, e.user_id)::text AS subject,
       format('balance %s %s, entries %s', coalesce(c.balance, 0), coalesce(c.currency, e.currency), coalesce(e.amount, 0)) AS detail
  FROM {store_credits} c
  FULL JOIN (SELECT tenant_id, user_id, currency, sum(amount) AS amount
               FROM {store_credit_entries}
              GROUP BY tenant_id, user_id, currency) e
    ON e.tenant_id = c.tenant_id AND e.user_id = c.user_id AND e.currency = c.currency
 WHERE coalesce(c.balance, 0) <> coalesce(e.amount, 0)
 ORDER BY coalesce(c.tenant_id, e.tenant_id), coalesce(c.user_id, e.user_id)
 LIMIT :size;

-- name: paid_orders_moved_on(size) -> Finding*
-- scope: all tenants
-- An order that is fully paid does not wait for payment.
SELECT o.tenant_id, o.order_number AS subject, format('due %s', o.amount_due) AS detail
  FROM {orders} o
 WHERE o.status = 'pending_payment'
   AND o.amount_due <= 0
 ORDER BY o.tenant_id, o.id
 LIMIT :size;

-- name: history_is_unbroken(size) -> Finding*
-- scope: all tenants
-- The history of an order begins with nothing, has no gap, and ends at its present status.
SELECT h.tenant_id, o.order_number AS subject,
       format('row %s: from %s to %s, before it %s; the order is %s', h.sequence, h.from_status, h.to_status, h.before, o.status)
           AS detail
  FROM (SELECT tenant_id, order_id, sequence, from_status, to_status,
               lag(to_status) OVER w AS before,
               row_number() OVER w AS place,
               sequence = max(sequence) OVER (PARTITION BY tenant_id, order_id) AS last
          FROM {order_status_history}
        WINDOW w AS (PARTITION BY tenant_id, order_id ORDER BY sequence)) h
  JOIN {orders} o ON o.tenant_id = h.tenant_id AND o.id = h.order_id
 WHERE h.from_status IS DISTINCT FROM h.before
    OR h.place <> h.sequence
    OR (h.last AND h.to_status <> o.status)
 ORDER BY h.tenant_id, h.order_id, h.sequence
 LIMIT :size;

-- name: moves_were_allowed(from_states, to_states, size) -> Finding*
-- scope: all tenants
-- Every change of an order's status is one that the states allow, or the shop that the order comes from.
SELECT h.tenant_id, o.order_number AS subject, format('row %s: from %s to %s', h.sequence, h.from_status, h.to_status) AS detail
  FROM {order_status_history} h
  JOIN {orders} o ON o.tenant_id = h.tenant_id AND o.id = h.order_id
 WHERE o.vendure_order_id IS NULL
   AND CASE WHEN h.from_status IS NULL THEN h.to_status <> 'pending_payment'
            ELSE NOT EXISTS (SELECT FROM unnest(:from_states::text[], :to_states::text[]) AS a (from_state, to_state)
                              WHERE a.from_state = h.from_status::text AND a.to_state = h.to_status::text) END
 ORDER BY h.tenant_id, h.order_id, h.sequence
 LIMIT :size;

-- name: orders_have_history(size) -> Finding*
-- scope: all tenants
-- Every order has a history.
SELECT o.tenant_id, o.order_number AS subject, 'no history' AS detail
  FROM {orders} o
 WHERE NOT EXISTS (SELECT FROM {order_status_history} h WHERE h.tenant_id = o.tenant_id AND h.order_id = o.id)
 ORDER BY o.tenant_id, o.id
 LIMIT :size;

-- name: placed_orders_are_told(size) -> Finding*
-- scope: all tenants
-- Every order left a message in the outbox in the transaction that placed it; of another shop's orders it is another.
SELECT o.tenant_id, o.order_number AS subject, 'no order.created' AS detail
  FROM {orders} o
 WHERE NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = o.tenant_id AND q.entity_type = 'order' AND q.entity_id = o.id
                      AND q.event_type IN ('order.created', 'order.synced'))
 ORDER BY o.tenant_id, o.id
 LIMIT :size;

-- name: payments_are_told(size) -> Finding*
-- scope: all tenants
-- Money that arrived left a message in the outbox in the transaction that recorded it, its own or that of its order.
SELECT p.tenant_id, p.payment_reference AS subject, 'no payment.completed' AS detail
  FROM {payments} p
 WHERE p.received_amount IS NOT NULL
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = p.tenant_id AND q.entity_type = 'payment' AND q.entity_id = p.id
                      AND q.event_type = 'payment.completed')
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = p.tenant_id AND q.entity_type = 'order' AND q.entity_id = p.order_id
                      AND q.event_type = 'order.created' AND q.payload->'payment'->>'id' = p.id::text)
 ORDER BY p.tenant_id, p.id
 LIMIT :size;

-- name: converted_carts_have_their_order(size) -> Finding*
-- scope: all tenants
-- A converted cart and its order name each other.
SELECT c.tenant_id, c.id::text AS subject, format('cart says order %s', c.converted_to_order_id) AS detail
  FROM {carts} c
  LEFT JOIN {orders} o ON o.tenant_id = c.tenant_id AND o.id = c.converted_to_order_id
 WHERE c.status = 'converted'
   AND o.source_cart_id IS DISTINCT FROM c.id
 UNION ALL
SELECT o.tenant_id, o.order_number, format('order says cart %s', o.source_cart_id)
  FROM {orders} o
  JOIN {carts} c ON c.tenant_id = o.tenant_id AND c.id = o.source_cart_id
 WHERE c.converted_to_order_id IS DISTINCT FROM o.id
 ORDER BY tenant_id, subject
 LIMIT :size;

-- name: ended_carts_hold_nothing(size) -> Finding*
-- scope: all tenants
-- A cart that was merged, converted or abandoned holds no units.
SELECT c.tenant_id, c.id::text AS subject, format('%s, holds %s units', c.status, sum(r.quantity)) AS detail
  FROM {carts} c
  JOIN {inventory_reservations} r ON r.tenant_id = c.tenant_id AND r.cart_id = c.id AND r.status = 'active'
 WHERE c.status <> 'active'
 GROUP BY c.tenant_id, c.id, c.status
 ORDER BY c.tenant_id, c.id
 LIMIT :size;

-- name: cart_totals_are_their_lines(size) -> Finding*
-- scope: all tenants
-- The subtotal kept on a cart is the sum of its lines.
SELECT c.tenant_id, c.id::text AS subject,
       format('subtotal %s, lines %s', c.subtotal_amount, coalesce(l.amount, 0)) AS detail
  FROM {carts} c
  LEFT JOIN (SELECT tenant_id, cart_id, sum(quantity * unit_price) AS amount
               FROM {cart_items}
              GROUP BY tenant_id, cart_id) l ON l.tenant_id = c.tenant_id AND l.cart_id = c.id
 WHERE c.status = 'active'
   AND c.subtotal_amount <> coalesce(l.amount, 0)
 ORDER BY c.tenant_id, c.id
 LIMIT :size;

-- name: attempts_are_counted(size) -> Finding*
-- scope: all tenants
-- The attempts of a payment are numbered from 1 without a gap.
SELECT a.tenant_id, a.payment_id::text AS subject, format('%s attempts, last number %s', count(*), max(a.attempt_number)) AS detail
  FROM {payment_attempts} a
 GROUP BY a.tenant_id, a.payment_id
HAVING count(*) <> max(a.attempt_number)
 ORDER BY a.tenant_id, a.payment_id
 LIMIT :size;

-- name: manual_payments_were_verified(size) -> Finding*
-- scope: all tenants
-- Money by a manual method counts only after somebody verified it.
SELECT p.tenant_id, p.payment_reference AS subject, format('%s, not verified', p.status) AS detail
  FROM {payments} p
  JOIN {payment_methods} m ON m.tenant_id = p.tenant_id AND m.id = p.payment_method_id
 WHERE m.is_manual
   AND p.received_amount IS NOT NULL
   AND p.verified_at IS NULL
 ORDER BY p.tenant_id, p.id
 LIMIT :size;

-- name: products_can_be_sold(size) -> Finding*
-- scope: all tenants
-- Every product has a variant, and every variant a stock row.
SELECT p.tenant_id, p.slug AS subject, 'no variant' AS detail
  FROM {products} p
 WHERE NOT EXISTS (SELECT FROM {product_variants} v WHERE v.tenant_id = p.tenant_id AND v.product_id = p.id)
 UNION ALL
SELECT v.tenant_id, v.id::text, 'no stock row'
  FROM {product_variants} v
 WHERE NOT EXISTS (SELECT FROM {stock_levels} s WHERE s.tenant_id = v.tenant_id AND s.variant_id = v.id)
 ORDER BY tenant_id, subject
 LIMIT :size;

-- name: tenants_are_known(size) -> Finding*
-- scope: all tenants
-- Whatever has products, users, carts or orders belongs to a shop that exists, and hosts lead to one.
SELECT x.tenant_id, x.subject, 'no such tenant' AS detail
  FROM (SELECT DISTINCT tenant_id, 'products' AS subject FROM {products}
         UNION
        SELECT DISTINCT tenant_id, 'users' FROM {users}
         UNION
        SELECT DISTINCT tenant_id, 'carts' FROM {carts}
         UNION
        SELECT DISTINCT tenant_id, 'orders' FROM {orders}
         UNION
        SELECT tenant, host FROM {tenant_hosts}) x
  LEFT JOIN {tenants} t ON t.tenant_id = x.tenant_id
 WHERE t.tenant_id IS NULL
 ORDER BY x.tenant_id, x.subject
 LIMIT :size;

-- name: settled_keys_have_their_order(size) -> Finding*
-- scope: all tenants
-- The answer kept for a checkout's idempotency key tells of an order that exists.
SELECT k.tenant_id, k.key AS subject, format('order %s', k.response->>'id') AS detail
  FROM {idempotency_keys} k
 WHERE k.response ? 'payment_due_at'
   AND k.state = 'done'
   AND NOT EXISTS (SELECT FROM {orders} o WHERE o.tenant_id = k.tenant_id AND o.id = (k.response->>'id')::uuid)
 ORDER BY k.tenant_id, k.key
 LIMIT :size;

-- name: entries_are_as_sealed(size) -> Finding*
-- scope: all tenants
-- An entry of the audit trail that was sealed is there, and as it was.
SELECT s.tenant_id, r.id::text AS subject,
       format('%s since seal %s of %s', CASE WHEN h.id IS NULL THEN 'removed' ELSE 'changed' END, s.number, s.created_at) AS detail
  FROM {audit_seals} s
 CROSS JOIN LATERAL unnest(s.audit_ids, s.row_hashes) AS r (id, row_hash)
  LEFT JOIN {audit_row_hashes} h ON h.tenant_id = s.tenant_id AND h.id = r.id
 WHERE h.row_hash IS DISTINCT FROM r.row_hash
 ORDER BY s.tenant_id, s.number, r.id
 LIMIT :size;

-- name: seals_are_a_chain(size) -> Finding*
-- scope: all tenants
-- The seals of the audit trail follow each other without a gap, each over its rows and the one before.
SELECT c.tenant_id, format('seal %s', c.number) AS subject,
       CASE WHEN c.number <> c.last_number + 1 THEN format('seal %s is before it', c.last_number)
            WHEN c.previous_hash <> c.last_hash THEN 'the seal before it is another'
            ELSE 'it is not what its rows come to' END AS detail
  FROM (SELECT s.tenant_id, s.number, s.previous_hash, s.hash,
               lag(s.number, 1, 0::bigint) OVER chain AS last_number,
               lag(s.hash, 1, ''::bytea) OVER chain AS last_hash,
               sha256(int8send(s.number) || s.previous_hash
                      || (SELECT string_agg(uuid_send(r.id) || r.row_hash, ''::bytea ORDER BY r.place)
                            FROM unnest(s.audit_ids, s.row_hashes) WITH ORDINALITY AS r (id, row_hash, place))) AS found
          FROM {audit_seals} s
        WINDOW chain AS (PARTITION BY s.tenant_id ORDER BY s.number)) c
 WHERE c.number <> c.last_number + 1
    OR c.previous_hash <> c.last_hash
    OR c.hash <> c.found
 ORDER BY c.tenant_id, c.number
 LIMIT :size;

-- name: entries_are_sealed_or_wait(size) -> Finding*
-- scope: all tenants
-- An entry of the audit trail is sealed or waits for it; nobody slipped one in.
SELECT a.tenant_id, a.id::text AS subject, format('%s of %s has no seal and waits for none', a.action, a.created_at) AS detail
  FROM {audit_logs} a
  LEFT JOIN {audit_unsealed} u ON u.tenant_id = a.tenant_id AND u.audit_id = a.id
  LEFT JOIN (SELECT s.tenant_id, unnest(s.audit_ids) AS id FROM {audit_seals} s) r ON r.tenant_id = a.tenant_id AND r.id = a.id
 WHERE u.audit_id IS NULL
   AND r.id IS NULL
 ORDER BY a.tenant_id, a.created_at, a.id
 LIMIT :size;

-- name: history_is_locked(append_only, never_deleted, size) -> Finding*
-- scope: all tenants
-- Who works for the shop may add to history, and may not rewrite or remove it.
SELECT '*' AS tenant_id, c.relname::text AS subject, format('%s may %s', r.rolname, p.privilege) AS detail
  FROM pg_catalog.pg_class c
 CROSS JOIN pg_catalog.pg_roles r
 CROSS JOIN unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS p (privilege)
 WHERE c.relnamespace = current_schema()::regnamespace
   AND c.relname = ANY (:append_only::text[] || :never_deleted::text[])
   AND r.rolname IN ('storeroom_app', 'storeroom_tenant', 'storeroom_authenticated')
   AND (p.privilege <> 'UPDATE' OR c.relname = ANY (:append_only::text[]))
   AND CASE p.privilege WHEN 'UPDATE' THEN has_any_column_privilege(r.oid, c.oid, p.privilege)
                        ELSE has_table_privilege(r.oid, c.oid, p.privilege) END
 ORDER BY c.relname, r.rolname, p.privilege
 LIMIT :size;

-- name: transactions_agree_with_payments(size) -> Finding*
-- scope: all tenants
-- A payment from a wallet that led to a payment of an order is of the same amount and currency.
SELECT x.tenant_id, x.signature AS subject,
       format('%s %s by the wallet, payment %s: %s %s', x.amount, x.amount_asset, x.payment_id, p.received_amount, p.currency)
           AS detail
  FROM (SELECT tenant_id, signature, amount, amount_asset, payment_id
          FROM {payment_transactions}
         WHERE payment_id IS NOT NULL
         UNION ALL
        SELECT tenant_id, signature, amount, amount_asset, payment_id
          FROM {payment_transactions_archive}
         WHERE payment_id IS NOT NULL) x
  LEFT JOIN {payments} p ON p.tenant_id = x.tenant_id AND p.id = x.payment_id
 WHERE p.received_amount IS DISTINCT FROM x.amount
    OR p.currency IS DISTINCT FROM x.amount_asset
 ORDER BY x.tenant_id, x.signature
 LIMIT :size;

-- name: signatures_are_kept_once(size) -> Finding*
-- scope: all tenants
-- Every payment from a wallet has its signature among those that are refused, and is in the ledger or the archive, not both.
SELECT x.tenant_id, x.signature AS subject,
       CASE WHEN count(*) > 1 THEN 'in the ledger and archived' ELSE 'its signature is not refused' END AS detail
  FROM (SELECT tenant_id, signature FROM {payment_transactions}
         UNION ALL
        SELECT tenant_id, signature FROM {payment_transactions_archive}) x
  LEFT JOIN {payment_signatures} s ON s.tenant_id = x.tenant_id AND s.signature = x.signature
 GROUP BY x.tenant_id, x.signature
HAVING count(*) > 1
    OR count(s.signature) = 0
 ORDER BY x.tenant_id, x.signature
 LIMIT :size;

-- name: accounts_have_one_shop(size) -> Finding*
-- scope: all tenants
-- An address takes money for one shop; where two name it, one transfer counts in both.
SELECT min(a.tenant_id) AS tenant_id, a.address AS subject, format('%s also of %s', a.asset, max(a.tenant_id)) AS detail
  FROM {receiving_accounts} a
 WHERE a.is_active
 GROUP BY a.asset, a.address
HAVING count(*) > 1
 ORDER BY min(a.tenant_id), a.address
 LIMIT :size;

-- name: accounts_say_what_sap_has(size) -> Finding*
-- scope: all tenants
-- An account's metadata has the number that its row has: they are written together.
SELECT s.tenant_id, s.customer_email AS subject,
       format('%s in the row, %s with the account', s.sap_customer_code, u.metadata ->> 'sap_customer_code') AS detail
  FROM {customer_syncs} s
  JOIN {users} u ON u.tenant_id = s.tenant_id AND u.id = s.customer_id
 WHERE s.sap_sync
   AND u.deleted_at IS NULL
   AND u.metadata ->> 'sap_customer_code' IS DISTINCT FROM s.sap_customer_code
 ORDER BY s.tenant_id, s.id
 LIMIT :size;

-- name: units_are_oversold(size) -> Finding*
-- scope: all tenants
-- More units are promised than are on the shelf, of things that are sold from the shelf only: a count came out low.
SELECT s.tenant_id, coalesce(v.sku, v.id::text) AS subject, format('on hand %s, reserved %s', s.on_hand, s.reserved) AS detail
  FROM {stock_levels} s
  JOIN {product_variants} v ON v.tenant_id = s.tenant_id AND v.id = s.variant_id
 WHERE v.stock_policy = 'deny'
   AND s.reserved > s.on_hand
 ORDER BY s.tenant_id, s.variant_id
 LIMIT :size;

-- name: sent_links_are_there(size) -> Finding*
-- scope: all tenants
-- A digital line counts as sent where the mail with its link was taken, and nowhere else.
SELECT i.tenant_id, o.order_number AS subject, format('line %s: sent %s, mail %s', i.position, i.download_link_sent,
       coalesce(d.mail, 'none')) AS detail
  FROM {order_items} i
  JOIN {orders} o ON o.tenant_id = i.tenant_id AND o.id = i.order_id
  LEFT JOIN {downloads} d ON d.tenant_id = i.tenant_id AND d.order_item_id = i.id
 WHERE i.download_link_sent <> (coalesce(d.mail, 'none') IN ('mailed', 'written'))
 ORDER BY i.tenant_id, i.order_id, i.position
 LIMIT :size;

-- name: late_money_is_of_its_order(size) -> Finding*
-- scope: all tenants
-- Money that came for a payment that had ended is money of the same order, and arrived.
SELECT l.tenant_id, l.payment_reference AS subject,
       format('meant for %s, %s: %s', e.payment_reference, CASE WHEN l.order_id = e.order_id THEN 'same order' ELSE 'another order' END,
              l.status) AS detail
  FROM {payments} l
  JOIN {payments} e ON e.tenant_id = l.tenant_id AND e.id = l.meant_for_id
 WHERE l.order_id <> e.order_id
    OR l.received_amount IS NULL
 ORDER BY l.tenant_id, l.id
 LIMIT :size;

-- name: money_is_due_back(size) -> Finding*
-- scope: all tenants
-- More arrived than an order came to, or money for one that was cancelled: it is owed to the customer.
SELECT o.tenant_id, o.order_number AS subject,
       format('%s: total %s, paid %s %s', o.status, o.total_amount, o.amount_paid, o.currency) AS detail
  FROM {orders} o
 WHERE o.amount_due < 0
    OR (o.status = 'cancelled' AND o.amount_paid > 0)
 ORDER BY o.tenant_id, o.id
 LIMIT :size;

-- name: messages_found_what_exists(size) -> Finding*
-- scope: all tenants
-- The order and the payment that a message of another system was about are the shop's, and belong together.
SELECT i.tenant_id, i.id::text AS subject,
       format('%s %s: order %s, payment %s', i.source, i.webhook_type, i.related_order_id, i.related_payment_id) AS detail
  FROM {webhooks_inbox} i
  LEFT JOIN {orders} o ON o.tenant_id = i.tenant_id AND o.id = i.related_order_id
  LEFT JOIN {payments} p ON p.tenant_id = i.tenant_id AND p.id = i.related_payment_id
 WHERE (i.related_order_id IS NOT NULL AND o.id IS NULL)
    OR (i.related_payment_id IS NOT NULL AND p.id IS NULL)
    OR p.order_id <> i.related_order_id
 ORDER BY i.tenant_id, i.id
 LIMIT :size;

-- name: jobs_are_late(size) -> Finding*
-- scope: all tenants
-- What the worker should have ended by now: it does not run, or it is behind.
SELECT x.tenant_id, x.subject, format('%s overdue', count(*)) AS detail
  FROM (SELECT tenant_id, 'reservations' AS subject FROM {inventory_reservations}
         WHERE status = 'active' AND expires_at < now() - interval '10 minutes'
         UNION ALL
        SELECT tenant_id, 'payments' FROM {payments}
         WHERE status = 'pending' AND expires_at < now() - interval '10 minutes'
         UNION ALL
        SELECT o.tenant_id, 'orders' FROM {orders} o
         WHERE o.status = 'pending_payment' AND o.payment_due_at < now() - interval '10 minutes'
           AND NOT EXISTS (SELECT FROM {payments} p
                            WHERE p.tenant_id = o.tenant_id AND p.order_id = o.id
                              AND p.status IN ('pending', 'awaiting_verification', 'processing'))
         UNION ALL
        SELECT tenant_id, 'carts' FROM {carts}
         WHERE status = 'active' AND expires_at < now() - interval '10 minutes'
         UNION ALL
        SELECT tenant_id, 'order search' FROM {order_search}
         WHERE document IS NULL AND created_at < now() - interval '10 minutes'
         UNION ALL
        SELECT i.tenant_id, 'links to downloads' FROM {order_items} i
          JOIN {orders} o ON o.tenant_id = i.tenant_id AND o.id = i.order_id
          JOIN {products} p ON p.tenant_id = i.tenant_id AND p.id = i.product_id
         WHERE i.is_digital AND NOT i.download_link_sent AND i.created_at > now() - interval '29 days'
           AND i.quantity > greatest(i.quantity_refunded, i.quantity_cancelled)
           AND o.status NOT IN ('pending_payment', 'cancelled', 'refunded') AND o.paid_at < now() - interval '10 minutes'
           AND o.vendure_order_id IS NULL AND i.download_due_at < now() - interval '10 minutes'
           AND starts_with(p.file_path, i.tenant_id || '/goods/') AND p.updated_at < now() - interval '10 minutes'
         UNION ALL
        SELECT r.tenant_id, 'reminders of carts' FROM {cart_reminders} r
          LEFT JOIN {domains} d ON d.tenant_id = r.tenant_id AND lower(d.domain_name) = r.domain
          LEFT JOIN {retain_cart_configs} c ON c.tenant_id = r.tenant_id AND c.domain_id IS NOT DISTINCT FROM d.id
         WHERE r.status = 'waiting' AND coalesce(c.is_active, TRUE)
           AND r.waiting_since < now() - interval '10 minutes' - make_interval(secs => coalesce(c.retry_time_seconds, 7200))
         UNION ALL
        SELECT i.tenant_id, 'messages of other systems' FROM {webhooks_inbox} i
          JOIN {tenants} t ON t.tenant_id = i.tenant_id AND t.status = 'active'
         WHERE (i.status = 'pending' AND i.next_attempt_at < now() - interval '10 minutes')
            OR (i.status = 'processing' AND i.lease_until < now() - interval '10 minutes')
         UNION ALL
        SELECT q.tenant_id, 'messages to other systems' FROM {webhook_queue} q
          LEFT JOIN {webhook_endpoints} e ON e.tenant_id = q.tenant_id AND e.id = q.endpoint_id
         WHERE ((q.status = 'pending' AND q.next_attempt_at < now() - interval '1 hour')
               OR (q.status = 'processing' AND q.lease_until < now() - interval '1 hour'))
           AND (e.id IS NULL OR (e.is_active AND (e.paused_until IS NULL OR e.paused_until < now())))
           AND NOT ((e.keeps_order OR q.destination = 'epicor_propello')   -- then it waits for the one before
                    AND EXISTS (SELECT FROM {webhook_queue} w
                                 WHERE w.tenant_id = q.tenant_id AND w.entity_type = q.entity_type
                                   AND w.entity_id = q.entity_id AND w.destination = q.destination
                                   AND w.status IN ('pending', 'processing')
                                   AND coalesce(w.event_id, w.id) < coalesce(q.event_id, q.id)))
         UNION ALL
        SELECT e.tenant_id, 'conversions' FROM {analytics_events} e
          JOIN {tenants} t ON t.tenant_id = e.tenant_id AND t.status = 'active'
         WHERE e.next_attempt_at < now() - interval '10 minutes'
         UNION ALL
        SELECT tenant_id, 'seals of the audit trail' FROM {audit_unsealed}
         WHERE created_at < now() - interval '10 minutes'
         UNION ALL
        SELECT s.tenant_id, 'customers for SAP' FROM {customer_syncs} s
          JOIN {tenants} t ON t.tenant_id = s.tenant_id AND t.status = 'active'
         WHERE NOT s.sap_sync AND s.attempts < 16 AND s.next_attempt_at < now() - interval '10 minutes'
           AND NOT EXISTS (SELECT FROM {users} u
                            WHERE u.tenant_id = s.tenant_id AND u.id = s.customer_id AND u.deleted_at IS NOT NULL)
           AND EXISTS (SELECT FROM {store_configs} c
                        WHERE c.tenant_id = s.tenant_id AND c.key = 'sap.address')) x
 GROUP BY x.tenant_id, x.subject
 ORDER BY x.tenant_id, x.subject
 LIMIT :size;

-- name: schedule_is_kept(size) -> Finding*
-- Every job of the schedule runs when it is due, and ends well: otherwise no worker runs, or one hangs in it, or it keeps failing.
SELECT '*' AS tenant_id, j.name AS subject,
       CASE WHEN j.failures > 0
            THEN format('failed %s times in a row, last with %s; ended well %s', j.failures, j.last_error,
                        coalesce('at ' || j.last_success_at::text, 'never'))
            ELSE format('due at %s, last begun %s', j.due_at, coalesce('at ' || j.last_started_at::text, 'never')) END AS detail
  FROM {scheduled_jobs} j
 WHERE j.due_at < now() - greatest(j.every, interval '10 minutes')
    OR (j.failures > 0
        AND coalesce(j.last_success_at, j.created_at) < now() - greatest(j.every * 2, interval '1 hour'))
 ORDER BY j.name
 LIMIT :size;

-- name: retired_months_lie_about(size) -> Finding*
-- scope: all tenants
-- A month of events that was taken out of the table is kept elsewhere by now, and dropped here.
SELECT '*' AS tenant_id, c.relname::text AS subject, 'no longer a part of the events; still here' AS detail
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_class e ON e.oid = pg_typeof(NULL::{events})::text::regclass AND e.relnamespace = c.relnamespace
 WHERE c.relkind = 'r'
   AND NOT c.relispartition
   AND left(c.relname::text, length(e.relname::text) + 2) = e.relname::text || '_y'
   AND c.relname::text ~ '_y[0-9]{4}m[0-9]{2}$'
 ORDER BY c.relname
 LIMIT :size;
