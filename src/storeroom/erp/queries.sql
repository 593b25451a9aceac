-- What the ERP gets, and what it has not got yet. Rows of other rooms are read here and written by their owners alone.

-- Connections ---------------------------------------------------------------------------------------------------------

-- name: connection(tenant_id, code) -> ConnectionRow?
SELECT code, kind, base_url, auth, auth_name, credential, timeout_seconds, is_active, created_at, updated_at
  FROM {erp_connections}
 WHERE tenant_id = :tenant_id
   AND code = :code
   AND disconnected_at IS NULL;

-- name: was_connected(tenant_id, code) -> bool
-- Now, or before: what changes of what the ERP has is noted.
SELECT EXISTS (SELECT FROM {erp_connections} WHERE tenant_id = :tenant_id AND code = :code);

-- name: lock_connection(tenant_id, code) -> ConnectionRow?
-- Also one that was disconnected, with nothing in it.
SELECT code, kind, base_url, auth, auth_name, credential, timeout_seconds, is_active, created_at, updated_at
  FROM {erp_connections}
 WHERE tenant_id = :tenant_id
   AND code = :code
   FOR NO KEY UPDATE;

-- name: insert_connection(tenant_id, code, base_url, auth, auth_name?, credential?, timeout_seconds, is_active) -> count
-- 0: a rival made it a moment ago.
INSERT INTO {erp_connections} (tenant_id, code, base_url, auth, auth_name, credential, timeout_seconds, is_active)
VALUES (:tenant_id, :code, :base_url, :auth, :auth_name, :credential, :timeout_seconds, :is_active)
    ON CONFLICT (tenant_id, code) DO NOTHING;

-- name: update_connection(tenant_id, code, base_url, auth, auth_name?, credential?, timeout_seconds, is_active) -> count
UPDATE {erp_connections}
   SET base_url = :base_url, auth = :auth, auth_name = :auth_name, credential = :credential,
       timeout_seconds = :timeout_seconds, is_active = :is_active, disconnected_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: forget_connection(tenant_id, code) -> count
-- All but that there was one.
UPDATE {erp_connections}
   SET base_url = '', auth = 'none', auth_name = NULL, credential = NULL, is_active = FALSE, disconnected_at = now(),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code
   AND disconnected_at IS NULL;

-- name: tenants_connected(code, size) -> TenantId*
-- scope: all tenants
-- Those that were looked after the longest ago come first. A shop has one row here, so there are few.
SELECT tenant_id
  FROM {erp_connections}
 WHERE is_active
   AND code = :code
 ORDER BY swept_at, tenant_id
 LIMIT :size;

-- name: mark_swept(tenant_id, code) -> count
UPDATE {erp_connections}
   SET swept_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: sealed_connections(after_tenant, after_code, size) -> SealedConnection*
-- scope: all tenants
-- The next rows by key.
SELECT tenant_id, code, credential
  FROM {erp_connections}
 WHERE (tenant_id, code) > (:after_tenant, :after_code)
   AND credential IS NOT NULL
 ORDER BY tenant_id, code
 LIMIT :size;

-- name: reseal_connection(tenant_id, code, known, credential) -> count
-- None where it was changed meanwhile.
UPDATE {erp_connections}
   SET credential = :credential
 WHERE tenant_id = :tenant_id
   AND code = :code
   AND credential = :known;

-- name: connection_seals() -> SealedCount*
-- scope: all tenants
-- How many rows each key has sealed.
SELECT split_part(credential, '.', 2) AS key_id, count(*)::int AS rows
  FROM {erp_connections}
 WHERE credential IS NOT NULL
 GROUP BY 1
 ORDER BY 1;

-- What is sent, as it is now --------------------------------------------------------------------------------------------

-- name: user_subject(tenant_id, id) -> Subject?
SELECT u.erp_customer_id AS erp_id, u.erp_customer_id IS NOT NULL AND u.erp_synced_at IS NOT NULL AS synced,
       CASE WHEN u.deleted_at IS NOT NULL AND u.erp_customer_id IS NULL THEN 'the account was closed before it was sent' END AS refusal,
       jsonb_build_object(
           'email', u.email, 'phone', u.phone, 'full_name', u.full_name, 'role', u.role, 'status', u.status,
           'first_name', p.first_name, 'last_name', p.last_name, 'display_name', p.display_name,
           'preferred_currency', p.preferred_currency, 'locale', p.locale, 'timezone', p.timezone, 'created_at', u.created_at) AS data,
       NULL::text AS currency, '[]'::jsonb AS lines, '[]'::jsonb AS needs
  FROM {users} u
  LEFT JOIN {user_profiles} p ON p.tenant_id = :tenant_id AND p.user_id = u.id
 WHERE u.tenant_id = :tenant_id
   AND u.id = :id;

-- name: product_subject(tenant_id, id) -> Subject?
SELECT p.erp_item_id AS erp_id, p.erp_item_id IS NOT NULL AND p.erp_synced_at IS NOT NULL AS synced,
       CASE WHEN p.deleted_at IS NOT NULL AND p.erp_item_id IS NULL THEN 'the product was deleted before it was sent' END AS refusal,
       jsonb_build_object(
           'name', p.name, 'slug', p.slug, 'product_type', p.product_type, 'status', p.status, 'deleted', p.deleted_at IS NOT NULL,
           'short_description', p.short_description, 'vendor', p.vendor, 'is_digital', p.is_digital,
           'external_id', p.external_id, 'brand_id', p.brand_id, 'company_code', p.company_code, 'legacy_id', p.legacy_id,
           'base_price', CASE WHEN p.base_price IS NOT NULL THEN jsonb_build_object('amount', p.base_price, 'currency', p.currency) END,
           'created_at', p.created_at,
           'variants', coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                          'id', v.id, 'sku', v.sku, 'barcode', v.barcode, 'title', v.title, 'options', v.options,
                          'price', jsonb_build_object('amount', v.price, 'currency', v.currency),
                          'cost', CASE WHEN v.cost_price IS NOT NULL
                                       THEN jsonb_build_object('amount', v.cost_price, 'currency', v.currency) END,
                          'weight_g', v.weight_g, 'requires_shipping', v.requires_shipping, 'taxable', v.taxable,
                          'is_active', v.is_active) ORDER BY v.position, v.id)
                 FROM {product_variants} v
                WHERE v.tenant_id = :tenant_id AND v.product_id = p.id), '[]')) AS data,
       p.currency, '[]'::jsonb AS lines, '[]'::jsonb AS needs
  FROM {products} p
 WHERE p.tenant_id = :tenant_id
   AND p.id = :id;

-- name: order_subject(tenant_id, id) -> Subject?
-- An order syncs once it was paid, or is paid at the door; what became of it since, the message says.
SELECT o.erp_order_id AS erp_id, o.erp_order_id IS NOT NULL AND o.erp_synced_at IS NOT NULL AS synced,
       CASE WHEN o.vendure_order_id IS NOT NULL THEN 'the order was placed elsewhere, and is told from there'
            WHEN o.erp_order_id IS NULL AND o.paid_at IS NULL AND o.status NOT IN ('refunded', 'partially_refunded')
                 AND (o.status IN ('pending_payment', 'cancelled') OR o.amount_due > 0)
            THEN format('the order is %s and was never paid', o.status) END AS refusal,
       jsonb_build_object(
           'number', o.order_number, 'source', o.source, 'purchase_id', o.purchase_id, 'status', o.status,
           'customer', jsonb_build_object('id', o.user_id, 'erp_id', u.erp_customer_id, 'email', o.customer_email,
                                          'name', o.customer_name, 'phone', o.customer_phone),
           'shipping_address', o.shipping_address, 'billing_address', o.billing_address, 'shipping_method', o.shipping_method,
           'domain', o.domain, 'company_code', o.company_code,
           'subtotal', jsonb_build_object('amount', o.subtotal_amount, 'currency', o.currency),
           'discount', jsonb_build_object('amount', o.discount_amount, 'currency', o.currency),
           'shipping', jsonb_build_object('amount', o.shipping_amount, 'currency', o.currency),
           'tax', jsonb_build_object('amount', o.tax_amount, 'currency', o.currency),
           'total', jsonb_build_object('amount', o.total_amount, 'currency', o.currency),
           'paid', jsonb_build_object('amount', o.amount_paid, 'currency', o.currency),
           'placed_at', o.created_at, 'paid_at', o.paid_at,
           'discounts', coalesce((
               SELECT jsonb_agg(jsonb_build_object('code', d.code, 'amount', jsonb_build_object('amount', d.amount, 'currency', d.currency))
                                ORDER BY d.position)
                 FROM {order_discounts} d
                WHERE d.tenant_id = :tenant_id AND d.order_id = o.id), '[]'),
           'lines', coalesce((
               SELECT jsonb_agg(jsonb_build_object(
                          'id', i.id, 'position', i.position, 'erp_id', i.erp_line_id, 'sku', i.product_sku, 'name', i.product_name,
                          'variant', i.variant_title,
                          'item', jsonb_build_object('id', i.product_id, 'erp_id', p.erp_item_id, 'variant_id', i.variant_id),
                          'quantity', i.quantity,
                          'unit_price', jsonb_build_object('amount', i.unit_price, 'currency', i.currency),
                          'subtotal', jsonb_build_object('amount', i.subtotal_amount, 'currency', i.currency),
                          'discount', jsonb_build_object('amount', i.discount_amount, 'currency', i.currency),
                          'tax', jsonb_build_object('amount', i.tax_amount, 'currency', i.currency)) ORDER BY i.position)
                 FROM {order_items} i
                 JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = i.product_id
                WHERE i.tenant_id = :tenant_id AND i.order_id = o.id), '[]')) AS data,
       o.currency,
       coalesce((SELECT jsonb_agg(i.id ORDER BY i.position)
                   FROM {order_items} i
                  WHERE i.tenant_id = :tenant_id AND i.order_id = o.id), '[]') AS lines,
       CASE WHEN u.id IS NOT NULL AND u.erp_customer_id IS NULL AND u.deleted_at IS NULL
            THEN jsonb_build_array(jsonb_build_object('entity', 'user', 'id', u.id)) ELSE '[]' END
       || coalesce((SELECT jsonb_agg(DISTINCT jsonb_build_object('entity', 'product', 'id', p.id))
                      FROM {order_items} i
                      JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = i.product_id
                     WHERE i.tenant_id = :tenant_id AND i.order_id = o.id
                       AND p.erp_item_id IS NULL AND p.deleted_at IS NULL), '[]') AS needs
  FROM {orders} o
  LEFT JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = o.user_id
 WHERE o.tenant_id = :tenant_id
   AND o.id = :id;

-- name: payment_subject(tenant_id, id) -> Subject?
-- Of a payment the money alone: no attempt, no proof, no note of staff.
SELECT y.erp_payment_id AS erp_id, y.erp_payment_id IS NOT NULL AND y.erp_synced_at IS NOT NULL AS synced,
       CASE WHEN y.received_amount IS NULL THEN format('the payment is %s', y.status) END AS refusal,
       jsonb_build_object(
           'reference', y.payment_reference, 'status', y.status,
           'order', jsonb_build_object('id', o.id, 'number', o.order_number, 'erp_id', o.erp_order_id),
           'customer', jsonb_build_object('id', y.user_id, 'erp_id', u.erp_customer_id),
           'method', jsonb_build_object('code', m.code, 'type', m.method_type, 'name', m.name),
           'amount', jsonb_build_object('amount', y.amount, 'currency', y.currency),
           'received', jsonb_build_object('amount', y.received_amount, 'currency', y.currency),
           'refunded', jsonb_build_object('amount', y.refunded_amount, 'currency', y.currency),
           'customer_reference', y.customer_reference, 'completed_at', y.completed_at) AS data,
       y.currency, '[]'::jsonb AS lines,
       CASE WHEN o.erp_order_id IS NULL THEN jsonb_build_array(jsonb_build_object('entity', 'order', 'id', o.id)) ELSE '[]' END AS needs
  FROM {payments} y
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = y.order_id
  JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = y.payment_method_id
  LEFT JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = y.user_id
 WHERE y.tenant_id = :tenant_id
   AND y.id = :id;

-- name: refund_subject(tenant_id, id) -> Subject?
SELECT r.erp_refund_id AS erp_id, r.erp_refund_id IS NOT NULL AND r.erp_synced_at IS NOT NULL AS synced,
       CASE WHEN r.status <> 'completed' THEN format('the refund is %s', r.status) END AS refusal,
       jsonb_build_object(
           'reference', r.refund_reference, 'status', r.status,
           'payment', jsonb_build_object('id', y.id, 'reference', y.payment_reference, 'erp_id', y.erp_payment_id),
           'order', jsonb_build_object('id', o.id, 'number', o.order_number, 'erp_id', o.erp_order_id),
           'amount', jsonb_build_object('amount', r.amount, 'currency', r.currency),
           'method', r.refund_method, 'reason', r.reason, 'processed_at', r.processed_at,
           'lines', coalesce((
               SELECT jsonb_agg(jsonb_build_object('id', i.id, 'erp_id', i.erp_line_id, 'sku', i.product_sku, 'quantity', x.quantity,
                                                   'for_sale_again', x.restock) ORDER BY i.position)
                 FROM {refund_items} x
                 JOIN {order_items} i ON i.tenant_id = :tenant_id AND i.id = x.order_item_id
                WHERE x.tenant_id = :tenant_id AND x.refund_id = r.id), '[]')) AS data,
       r.currency, '[]'::jsonb AS lines,
       CASE WHEN y.erp_payment_id IS NULL THEN jsonb_build_array(jsonb_build_object('entity', 'payment', 'id', y.id)) ELSE '[]' END AS needs
  FROM {refunds} r
  JOIN {payments} y ON y.tenant_id = :tenant_id AND y.id = r.payment_id
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = r.order_id
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id;

-- What was never sent, and what is to be sent once more ------------------------------------------------------------------
--
-- Of each kind the rows of which nothing waits in the queue: neither a row for the ERP (a dead letter is with staff), nor
-- an event that is about to become one. They are held until the transaction ends, and a rival gets others.

-- name: waiting(tenant_id, destination, size) -> int
-- So many at most.
SELECT count(*)::int
  FROM (SELECT FROM {webhook_queue}
         WHERE tenant_id = :tenant_id
           AND destination = :destination
           AND status = 'pending'
         LIMIT :size) q;

-- name: users_unsynced(tenant_id, destination, size) -> UUID*
SELECT u.id
  FROM {users} u
 WHERE u.tenant_id = :tenant_id
   AND u.erp_customer_id IS NULL
   AND u.deleted_at IS NULL
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'user'
                      AND q.entity_id = u.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY u.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF u SKIP LOCKED;

-- name: users_to_resync(tenant_id, destination, size) -> UUID*
SELECT u.id
  FROM {users} u
 WHERE u.tenant_id = :tenant_id
   AND u.erp_customer_id IS NOT NULL
   AND u.erp_synced_at IS NULL
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'user'
                      AND q.entity_id = u.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY u.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF u SKIP LOCKED;

-- name: products_unsynced(tenant_id, destination, size) -> UUID*
SELECT p.id
  FROM {products} p
 WHERE p.tenant_id = :tenant_id
   AND p.erp_item_id IS NULL
   AND p.deleted_at IS NULL
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'product'
                      AND q.entity_id = p.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY p.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF p SKIP LOCKED;

-- name: products_to_resync(tenant_id, destination, size) -> UUID*
SELECT p.id
  FROM {products} p
 WHERE p.tenant_id = :tenant_id
   AND p.erp_item_id IS NOT NULL
   AND p.erp_synced_at IS NULL
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'product'
                      AND q.entity_id = p.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY p.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF p SKIP LOCKED;

-- name: orders_unsynced(tenant_id, destination, size) -> UUID*
SELECT o.id
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.erp_order_id IS NULL
   AND o.status <> 'cancelled'
   AND o.vendure_order_id IS NULL
   AND (o.paid_at IS NOT NULL OR o.status IN ('refunded', 'partially_refunded')
        OR (o.status <> 'pending_payment' AND o.amount_due <= 0))
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'order'
                      AND q.entity_id = o.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY o.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF o SKIP LOCKED;

-- name: orders_to_resync(tenant_id, destination, size) -> UUID*
SELECT o.id
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.erp_order_id IS NOT NULL
   AND o.erp_synced_at IS NULL
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'order'
                      AND q.entity_id = o.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY o.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF o SKIP LOCKED;

-- name: payments_unsynced(tenant_id, destination, size) -> UUID*
SELECT y.id
  FROM {payments} y
 WHERE y.tenant_id = :tenant_id
   AND y.erp_payment_id IS NULL
   AND y.status = 'completed'
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'payment'
                      AND q.entity_id = y.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY y.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF y SKIP LOCKED;

-- name: payments_to_resync(tenant_id, destination, size) -> UUID*
SELECT y.id
  FROM {payments} y
 WHERE y.tenant_id = :tenant_id
   AND y.erp_payment_id IS NOT NULL
   AND y.erp_synced_at IS NULL
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'payment'
                      AND q.entity_id = y.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY y.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF y SKIP LOCKED;

-- name: refunds_unsynced(tenant_id, destination, size) -> UUID*
SELECT r.id
  FROM {refunds} r
 WHERE r.tenant_id = :tenant_id
   AND r.erp_refund_id IS NULL
   AND r.status = 'completed'
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'refund'
                      AND q.entity_id = r.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY r.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF r SKIP LOCKED;

-- name: refunds_to_resync(tenant_id, destination, size) -> UUID*
SELECT r.id
  FROM {refunds} r
 WHERE r.tenant_id = :tenant_id
   AND r.erp_refund_id IS NOT NULL
   AND r.erp_synced_at IS NULL
   AND NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = 'refund'
                      AND q.entity_id = r.id
                      AND ((q.destination = :destination AND q.status <> 'success')
                           OR (q.destination = 'webhooks' AND q.status = 'pending')))
 ORDER BY r.erp_synced_at
 LIMIT :size
   FOR NO KEY UPDATE OF r SKIP LOCKED;

-- How it stands ---------------------------------------------------------------------------------------------------------

-- name: users_standing(tenant_id, size) -> Standing
-- So many rows at most are counted.
SELECT n.rows AS unsynced, n.oldest, s.rows AS to_resync,
       (SELECT max(x.erp_synced_at)
          FROM {users} x
         WHERE x.tenant_id = :tenant_id
           AND x.erp_customer_id IS NOT NULL) AS last_synced_at
  FROM (SELECT count(*)::int AS rows, min(t.created_at) AS oldest
          FROM (SELECT u.created_at
                  FROM {users} u
                 WHERE u.tenant_id = :tenant_id
                   AND u.erp_customer_id IS NULL
                   AND u.deleted_at IS NULL
                 LIMIT :size) t) n
 CROSS JOIN (SELECT count(*)::int AS rows
               FROM (SELECT
                       FROM {users} z
                      WHERE z.tenant_id = :tenant_id
                        AND z.erp_customer_id IS NOT NULL
                        AND z.erp_synced_at IS NULL
                      LIMIT :size) g) s;

-- name: products_standing(tenant_id, size) -> Standing
-- So many rows at most are counted.
SELECT n.rows AS unsynced, n.oldest, s.rows AS to_resync,
       (SELECT max(x.erp_synced_at)
          FROM {products} x
         WHERE x.tenant_id = :tenant_id
           AND x.erp_item_id IS NOT NULL) AS last_synced_at
  FROM (SELECT count(*)::int AS rows, min(t.created_at) AS oldest
          FROM (SELECT p.created_at
                  FROM {products} p
                 WHERE p.tenant_id = :tenant_id
                   AND p.erp_item_id IS NULL
                   AND p.deleted_at IS NULL
                 LIMIT :size) t) n
 CROSS JOIN (SELECT count(*)::int AS rows
               FROM (SELECT
                       FROM {products} z
                      WHERE z.tenant_id = :tenant_id
                        AND z.erp_item_id IS NOT NULL
                        AND z.erp_synced_at IS NULL
                      LIMIT :size) g) s;

-- name: orders_standing(tenant_id, size) -> Standing
-- So many rows at most are counted.
SELECT n.rows AS unsynced, n.oldest, s.rows AS to_resync,
       (SELECT max(x.erp_synced_at)
          FROM {orders} x
         WHERE x.tenant_id = :tenant_id
           AND x.erp_order_id IS NOT NULL) AS last_synced_at
  FROM (SELECT count(*)::int AS rows, min(t.created_at) AS oldest
          FROM (SELECT o.created_at
                  FROM {orders} o
                 WHERE o.tenant_id = :tenant_id
                   AND o.erp_order_id IS NULL
                   AND o.status <> 'cancelled'
                   AND o.vendure_order_id IS NULL
                   AND (o.paid_at IS NOT NULL OR o.status IN ('refunded', 'partially_refunded')
                        OR (o.status <> 'pending_payment' AND o.amount_due <= 0))
                 LIMIT :size) t) n
 CROSS JOIN (SELECT count(*)::int AS rows
               FROM (SELECT
                       FROM {orders} z
                      WHERE z.tenant_id = :tenant_id
                        AND z.erp_order_id IS NOT NULL
                        AND z.erp_synced_at IS NULL
                      LIMIT :size) g) s;

-- name: payments_standing(tenant_id, size) -> Standing
-- So many rows at most are counted.
SELECT n.rows AS unsynced, n.oldest, s.rows AS to_resync,
       (SELECT max(x.erp_synced_at)
          FROM {payments} x
         WHERE x.tenant_id = :tenant_id
           AND x.erp_payment_id IS NOT NULL) AS last_synced_at
  FROM (SELECT count(*)::int AS rows, min(t.created_at) AS oldest
          FROM (SELECT y.created_at
                  FROM {payments} y
                 WHERE y.tenant_id = :tenant_id
                   AND y.erp_payment_id IS NULL
                   AND y.status = 'completed'
                 LIMIT :size) t) n
 CROSS JOIN (SELECT count(*)::int AS rows
               FROM (SELECT
                       FROM {payments} z
                      WHERE z.tenant_id = :tenant_id
                        AND z.erp_payment_id IS NOT NULL
                        AND z.erp_synced_at IS NULL
                      LIMIT :size) g) s;

-- name: refunds_standing(tenant_id, size) -> Standing
-- So many rows at most are counted.
SELECT n.rows AS unsynced, n.oldest, s.rows AS to_resync,
       (SELECT max(x.erp_synced_at)
          FROM {refunds} x
         WHERE x.tenant_id = :tenant_id
           AND x.erp_refund_id IS NOT NULL) AS last_synced_at
  FROM (SELECT count(*)::int AS rows, min(t.created_at) AS oldest
          FROM (SELECT r.created_at
                  FROM {refunds} r
                 WHERE r.tenant_id = :tenant_id
                   AND r.erp_refund_id IS NULL
                   AND r.status = 'completed'
                 LIMIT :size) t) n
 CROSS JOIN (SELECT count(*)::int AS rows
               FROM (SELECT
                       FROM {refunds} z
                      WHERE z.tenant_id = :tenant_id
                        AND z.erp_refund_id IS NOT NULL
                        AND z.erp_synced_at IS NULL
                      LIMIT :size) g) s;

-- name: queue_standing(tenant_id, destination) -> QueueStanding*
SELECT coalesce(entity_type, '') AS entity, count(*) FILTER (WHERE status <> 'failed')::int AS waiting,
       count(*) FILTER (WHERE status = 'failed')::int AS dead
  FROM {webhook_queue}
 WHERE tenant_id = :tenant_id
   AND destination = :destination
   AND status IN ('pending', 'processing', 'failed')
 GROUP BY entity_type;
