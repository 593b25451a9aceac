-- Templates of shops, and what notices say of orders and payments.

-- name: own_templates(tenant_id, kind, channel, languages) -> Own*
-- A handful at most: one for each language that is looked for.
SELECT language, subject, body, html
  FROM {notice_templates}
 WHERE tenant_id = :tenant_id
   AND kind = :kind
   AND channel = :channel
   AND language = ANY (:languages::text[]);

-- name: account_closed(tenant_id, user_id) -> bool?
-- No row: there never was one, or it is gone.
SELECT deleted_at IS NOT NULL
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: order_account_closed(tenant_id, order_id) -> bool?
-- Of whoever placed it, where it was an account.
SELECT u.deleted_at IS NOT NULL
  FROM {orders} o
  JOIN {users} u
    ON u.tenant_id = :tenant_id
   AND u.id = o.user_id
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id;

-- name: order_told(tenant_id, order_id) -> OrderTold?
SELECT o.id, o.order_number, o.customer_email, o.customer_name, o.user_id, coalesce(u.deleted_at IS NOT NULL, FALSE) AS closed,
       p.locale, o.status = 'pending_payment' AS is_open, o.status = 'cancelled' AS cancelled,
       o.status NOT IN ('cancelled', 'refunded', 'partially_refunded') AS owes, o.subtotal_amount, o.discount_amount, o.shipping_amount,
       o.tax_amount, o.total_amount, o.amount_due, o.payment_due_at, o.currency
  FROM {orders} o
  LEFT JOIN {users} u
    ON u.tenant_id = :tenant_id
   AND u.id = o.user_id
  LEFT JOIN {user_profiles} p
    ON p.tenant_id = :tenant_id
   AND p.user_id = o.user_id
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id;

-- name: lines_told(tenant_id, order_id, size) -> LineTold*
SELECT concat_ws(', ', product_name, nullif(variant_title, '')) AS name, product_sku AS sku, quantity, unit_price,
       subtotal_amount, (count(*) OVER ())::int AS all_lines, currency
  FROM {order_items}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
 ORDER BY position
 LIMIT :size;

-- name: payment_asked(tenant_id, order_id) -> PaymentAsked?
-- The newest that waits for its money.
SELECT p.payment_reference AS reference, m.name AS method, m.instructions, m.payment_details, p.expires_at
  FROM {payments} p
  JOIN {payment_methods} m
    ON m.tenant_id = :tenant_id
   AND m.id = p.payment_method_id
 WHERE p.tenant_id = :tenant_id
   AND p.order_id = :order_id
   AND p.status IN ('pending', 'awaiting_verification', 'processing')
 ORDER BY p.id DESC
 LIMIT 1;

-- name: payment_told(tenant_id, payment_id) -> PaymentTold?
-- What was paid from the balance at the checkout is told with the order.
SELECT p.payment_reference AS reference, p.order_id, p.amount, p.received_amount, m.method_type <> 'store_credit' AS tells, p.currency
  FROM {payments} p
  JOIN {payment_methods} m
    ON m.tenant_id = :tenant_id
   AND m.id = p.payment_method_id
 WHERE p.tenant_id = :tenant_id
   AND p.id = :payment_id;

-- name: templates_after(tenant_id, kind, channel, language, size) -> NoticeTemplate*
-- By kind, channel and language; the three are those of the last one seen.
SELECT id, kind, channel, language, subject, body, html, created_at, updated_at
  FROM {notice_templates}
 WHERE tenant_id = :tenant_id
   AND (kind, channel, language) > (:kind, :channel, :language)
 ORDER BY kind, channel, language
 LIMIT :size;

-- name: count_templates(tenant_id) -> int
SELECT count(*)::int
  FROM {notice_templates}
 WHERE tenant_id = :tenant_id;

-- name: template(tenant_id, template_id) -> NoticeTemplate?
SELECT id, kind, channel, language, subject, body, html, created_at, updated_at
  FROM {notice_templates}
 WHERE tenant_id = :tenant_id
   AND id = :template_id;

-- name: lock_template(tenant_id, template_id) -> NoticeTemplate?
SELECT id, kind, channel, language, subject, body, html, created_at, updated_at
  FROM {notice_templates}
 WHERE tenant_id = :tenant_id
   AND id = :template_id
   FOR NO KEY UPDATE;

-- name: insert_template(tenant_id, id, kind, channel, language, subject?, body, html?) -> count
INSERT INTO {notice_templates} (tenant_id, id, kind, channel, language, subject, body, html)
VALUES (:tenant_id, :id, :kind, :channel, :language, :subject, :body, :html);

-- name: update_template(tenant_id, id, subject?, body, html?) -> count
UPDATE {notice_templates}
   SET subject = :subject, body = :body, html = :html, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: delete_template(tenant_id, template_id) -> count
DELETE FROM {notice_templates}
 WHERE tenant_id = :tenant_id
   AND id = :template_id;
