-- name: place_orders(tenant_id, orders, settings) -> Verdict*
-- One round trip and one commit for a whole group; see functions.sql.
SELECT ordinal, verdict, answer
  FROM {place_orders_v2}(:tenant_id, :orders, :settings);

-- name: placed_order(tenant_id, order_id) -> PlacedOrder?
-- What checkout answered for an order that is there already: the order, and the payment that was asked for first.
SELECT o.id, o.order_number AS number, o.status, o.customer_email AS email, o.subtotal_amount AS subtotal,
       o.discount_amount AS discount, o.discount_code, o.shipping_amount AS shipping, o.shipping_method, o.total_amount AS total,
       coalesce((SELECT sum(c.amount)::bigint
                   FROM {payments} c
                   JOIN {payment_methods} n ON n.tenant_id = :tenant_id AND n.id = c.payment_method_id
                  WHERE c.tenant_id = :tenant_id AND c.order_id = :order_id AND n.code = 'store-credit'), 0) AS paid,
       o.created_at, o.payment_due_at,
       (SELECT jsonb_build_object(
                   'id', p.id, 'reference', p.payment_reference, 'method', m.code, 'name', m.name,
                   'amount', jsonb_build_object('amount', p.amount, 'currency', p.currency),
                   'instructions', m.instructions, 'details', m.payment_details, 'expires_at', p.expires_at)
          FROM {payments} p
          JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id
         WHERE p.tenant_id = :tenant_id AND p.order_id = :order_id AND m.code <> 'store-credit'
         ORDER BY p.id
         LIMIT 1) AS payment,
       o.currency
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id;

-- name: record_verified_payment(tenant_id, payment) -> PaymentVerdict
-- One round trip and one commit; see functions.sql.
SELECT verdict, answer
  FROM {record_verified_payment_v1}(:tenant_id, :payment);

-- name: stripe_told_later(tenant_id, source, types, stripe_id, created, since) -> bool
-- Whether a later message about the same thing was handled before. By what came in since, of these types: one that Stripe
-- made later has come later than this one was made.
SELECT EXISTS (SELECT
                 FROM {webhooks_inbox} i
                WHERE i.tenant_id = :tenant_id
                  AND i.source = :source
                  AND i.webhook_type = ANY (:types)
                  AND i.received_at >= :since
                  AND i.status = 'completed'
                  AND i.payload #>> '{data,object,id}' = :stripe_id
                  AND i.payload->'created' > to_jsonb(:created::bigint));

-- name: payment_to_host(tenant_id, payment_id) -> HostedPayment?
-- What a provider is told of a payment, and through which gateway. Takes no lock.
SELECT p.order_id, o.order_number, o.customer_email, m.gateway_id
  FROM {payments} p
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = p.order_id
  JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id
 WHERE p.tenant_id = :tenant_id
   AND p.id = :payment_id;

-- name: erase_person(tenant_id, user_id) -> Blanked?
-- One round trip; see functions.sql.
SELECT address, orders
  FROM {erase_person_v1}(:tenant_id, :user_id);

-- What is held about a person, for `PersonalData`: rows as they are, without what opens a door, and without what a customer
-- is kept from at the database too (`CUSTOMER_READS`): notes of staff and who of them wrote, paths of files, what other systems
-- keep beside a row. Each reads by an index.

-- name: held_account(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - ARRAY['password_hash', 'metadata'] AS row
  FROM {users} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :user_id
 LIMIT :rows;

-- name: held_profile(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {user_profiles} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_consents(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {consent_changes} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_addresses(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {user_addresses} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_sessions(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - ARRAY['refresh_token_hash', 'previous_token_hash', 'token_family_hash'] AS row
  FROM {auth_sessions} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_identities(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {account_identities} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_messages(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - 'token_hash' AS row
  FROM {account_tokens} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_second_factor(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - 'secret' AS row
  FROM {second_factors} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_carts(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {carts} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_cart_items(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {carts} c
  JOIN {cart_items} r ON r.tenant_id = :tenant_id AND r.cart_id = c.id
 WHERE c.tenant_id = :tenant_id
   AND c.user_id = :user_id
 LIMIT :rows;

-- name: held_orders(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - ARRAY['internal_notes', 'metadata'] AS row
  FROM {orders} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_order_items(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {orders} o
  JOIN {order_items} r ON r.tenant_id = :tenant_id AND r.order_id = o.id
 WHERE o.tenant_id = :tenant_id
   AND o.user_id = :user_id
 LIMIT :rows;

-- name: held_discounts(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {orders} o
  JOIN {order_discounts} r ON r.tenant_id = :tenant_id AND r.order_id = o.id
 WHERE o.tenant_id = :tenant_id
   AND o.user_id = :user_id
 LIMIT :rows;

-- name: held_redemptions(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {coupon_redemptions} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_payments(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - ARRAY['proof_file_path', 'verified_by', 'verification_notes', 'metadata'] AS row
  FROM {payments} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_refunds(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - ARRAY['reason', 'reason_details', 'requested_by', 'processed_by', 'refund_details', 'failure_reason'] AS row
  FROM {orders} o
  JOIN {refunds} r ON r.tenant_id = :tenant_id AND r.order_id = o.id
 WHERE o.tenant_id = :tenant_id
   AND o.user_id = :user_id
 LIMIT :rows;

-- name: held_order_history(tenant_id, user_id, rows) -> dict*
-- Without who of the staff moved it, and why they said they did.
SELECT to_jsonb(r) - ARRAY['reason', 'changed_by', 'changed_by_name', 'request_id', 'metadata'] AS row
  FROM {orders} o
  JOIN {order_status_history} r ON r.tenant_id = :tenant_id AND r.order_id = o.id
 WHERE o.tenant_id = :tenant_id
   AND o.user_id = :user_id
 LIMIT :rows;

-- name: held_attempts(tenant_id, user_id, rows) -> dict*
-- The person's own; what staff and providers did is the shop's.
SELECT to_jsonb(r) - 'response_data' AS row
  FROM {payments} p
  JOIN {payment_attempts} r ON r.tenant_id = :tenant_id AND r.payment_id = p.id AND r.performed_by_type = 'customer'
 WHERE p.tenant_id = :tenant_id
   AND p.user_id = :user_id
 LIMIT :rows;

-- name: held_guest_attempts(tenant_id, user_id, rows) -> dict*
-- By an address or a number that the account has proven to be its own, or whoever claims somebody else's would read on.
-- Without where they came from: that may have been another.
SELECT to_jsonb(r) - ARRAY['ip_address', 'user_agent', 'metadata'] AS row
  FROM {users} u
  JOIN {guest_user_audits} r ON r.tenant_id = :tenant_id AND r.email = u.email
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
   AND u.email_verified
 UNION ALL
SELECT to_jsonb(r) - ARRAY['ip_address', 'user_agent', 'metadata'] AS row
  FROM {users} u
  JOIN {guest_user_audits} r ON r.tenant_id = :tenant_id AND r.phone = u.phone
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
   AND u.phone_verified
   AND NOT (u.email_verified AND coalesce(r.email, '') = u.email)
 LIMIT :rows;

-- name: held_phone_codes(tenant_id, user_id, rows) -> dict*
-- Of a number that is proven, as above; without what tests a code, and what the one who asked for it knows it by.
SELECT to_jsonb(r) - ARRAY['otp_hash', 'session_id'] AS row
  FROM {users} u
  JOIN {otp_sessions} r ON r.tenant_id = :tenant_id AND r.phone = u.phone
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
   AND u.phone_verified
 UNION ALL
SELECT to_jsonb(r) AS row
  FROM {users} u
  JOIN {otp_requests} r ON r.tenant_id = :tenant_id AND r.phone = u.phone
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
   AND u.phone_verified
 LIMIT :rows;

-- name: held_downloads(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - ARRAY['mail', 'notice_id'] AS row
  FROM {orders} o
  JOIN {downloads} r ON r.tenant_id = :tenant_id AND r.order_id = o.id
 WHERE o.tenant_id = :tenant_id
   AND o.user_id = :user_id
 LIMIT :rows;

-- name: held_subscription_payments(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {subscriptions} s
  JOIN {subscription_payments} r ON r.tenant_id = :tenant_id AND r.subscription_id = s.id
 WHERE s.tenant_id = :tenant_id
   AND s.user_id = :user_id
 LIMIT :rows;

-- name: held_credits(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {store_credits} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_credit_entries(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - ARRAY['actor_kind', 'actor_id', 'note'] AS row
  FROM {store_credit_entries} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_subscriptions(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - 'metadata' AS row
  FROM {subscriptions} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_statistics(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {customer_statistics} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_sap(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) - ARRAY['claim', 'last_error'] AS row
  FROM {customer_syncs} r
 WHERE r.tenant_id = :tenant_id
   AND r.customer_id = :user_id
 LIMIT :rows;

-- name: held_invoices(tenant_id, user_id, rows) -> dict*
-- Without who asked for them: that is the shop's.
SELECT to_jsonb(r) - 'requested_by' AS row
  FROM {invoice_audits} r
 WHERE r.tenant_id = :tenant_id
   AND r.customer_id = :user_id
 LIMIT :rows;

-- name: held_signals(tenant_id, user_id, rows) -> dict*
-- Of visits that became the account's: whether it may be told of them, and what the browser is known by.
SELECT to_jsonb(r) AS row
  FROM {auth_sessions} s
  JOIN {conversion_visitors} r ON r.tenant_id = :tenant_id AND r.session_id = s.id
 WHERE s.tenant_id = :tenant_id
   AND s.user_id = :user_id
 LIMIT :rows;

-- name: held_events(tenant_id, user_id, rows) -> dict*
SELECT to_jsonb(r) AS row
  FROM {events} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :user_id
 LIMIT :rows;

-- name: held_records(tenant_id, user_id, rows) -> dict*
-- What other systems told of the person, of their addresses and of their orders.
SELECT to_jsonb(r) AS row
  FROM {users} u
  JOIN {source_records} r ON r.tenant_id = :tenant_id AND r.source = 'vendure' AND r.kind = 'customer'
                         AND r.external_id = u.vendure_customer_id
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
 UNION ALL
SELECT to_jsonb(r) AS row
  FROM {users} u
  JOIN {source_records} r ON r.tenant_id = :tenant_id AND r.source = 'vendure' AND r.parent_id = u.vendure_customer_id
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
 UNION ALL
SELECT to_jsonb(r) AS row
  FROM {users} u
  JOIN {source_records} r ON r.tenant_id = :tenant_id AND r.source = 'epicor_propello' AND r.kind = 'customer'
                         AND r.external_id = u.erp_customer_id
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
 LIMIT :rows;

-- What other systems name, for the messages that come of them -----------------------------------------------------------

-- name: variants_of_skus(tenant_id, skus) -> NamedVariant*
SELECT v.sku, v.id AS variant_id, v.product_id, p.name AS product_name, v.title, p.is_digital
  FROM {product_variants} v
  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = v.product_id
 WHERE v.tenant_id = :tenant_id
   AND v.sku = ANY (:skus);

-- name: variants_of_erp_item(tenant_id, erp_item_id, rows) -> NamedVariant*
SELECT v.sku, v.id AS variant_id, v.product_id, p.name AS product_name, v.title, p.is_digital
  FROM {products} p
  JOIN {product_variants} v ON v.tenant_id = :tenant_id AND v.product_id = p.id
 WHERE p.tenant_id = :tenant_id
   AND p.erp_item_id = :erp_item_id
   AND p.deleted_at IS NULL
 ORDER BY v.id
 LIMIT :rows;

-- name: users_of_erp_customer(tenant_id, erp_customer_id) -> NamedCustomer*
-- One, unless the ERP merged two customers of its own.
SELECT id
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND erp_customer_id = :erp_customer_id
   AND deleted_at IS NULL
 ORDER BY id
 LIMIT 2;

-- name: payments_of_erp(tenant_id, erp_payment_id) -> NamedPayment*
SELECT id, order_id, payment_reference AS reference, amount, currency
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND erp_payment_id = :erp_payment_id
 ORDER BY id
 LIMIT 2;

-- name: payments_of_reference(tenant_id, reference) -> NamedPayment*
SELECT id, order_id, payment_reference AS reference, amount, currency
  FROM {payments}
 WHERE tenant_id = :tenant_id
   AND payment_reference = :reference;
