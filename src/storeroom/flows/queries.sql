-- name: place_orders(tenant_id, orders, settings) -> Verdict*
-- One round trip and one commit for a whole group; see functions.sql.
SELECT ordinal, verdict, answer
  FROM {place_orders_v1}(:tenant_id, :orders, :settings);

-- name: placed_order(tenant_id, order_id) -> PlacedOrder?
-- What checkout answered for an order that is there already: the order, and the payment that was asked for first.
SELECT o.id, o.order_number AS number, o.status, o.customer_email AS email, o.subtotal_amount AS subtotal,
       o.shipping_amount AS shipping, o.shipping_method, o.total_amount AS total, o.created_at, o.payment_due_at,
       (SELECT jsonb_build_object(
                   'id', p.id, 'reference', p.payment_reference, 'method', m.code, 'name', m.name,
                   'amount', jsonb_build_object('amount', p.amount, 'currency', p.currency),
                   'instructions', m.instructions, 'details', m.payment_details, 'expires_at', p.expires_at)
          FROM {payments} p
          JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id
         WHERE p.tenant_id = :tenant_id AND p.order_id = :order_id
         ORDER BY p.id
         LIMIT 1) AS payment,
       o.currency
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id;
