-- Orders. Who changes one locks its row first (`hold_order`), then its stock rows; nobody takes them the other way round.

-- name: order(tenant_id, order_id) -> Order?
SELECT id, order_number, source, purchase_id, resource_id, user_id, session_id, customer_email, customer_name,
       customer_phone, status, status_updated_at, delivery_stage, shipping_address, billing_address, currency,
       subtotal_amount, discount_amount, shipping_amount, tax_amount, total_amount, amount_paid, amount_due,
       discount_code, discount_id, shipping_method, shipping_carrier, tracking_number, estimated_delivery,
       age_verified, age_attested, compliance_required, compliance_acknowledged, compliance_version,
       compliance_acknowledged_at, host(ip_address) AS ip_address, source_cart_id, domain, company_code,
       import_batch_id, vendure_order_id, traffic_source, utm_source, utm_medium, utm_campaign, customer_notes,
       internal_notes, cancellation_reason, erp_order_id, erp_synced_at, metadata, payment_due_at, created_at,
       updated_at, paid_at, shipped_at, delivered_at, cancelled_at
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND id = :order_id;

-- name: order_id_of_number(tenant_id, order_number) -> OrderId?
SELECT id
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND order_number = :order_number;

-- name: order_id_of_purchase(tenant_id, source, purchase_id) -> OrderId?
SELECT id
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND purchase_id = :purchase_id;

-- name: lines(tenant_id, order_id) -> OrderLine*
SELECT id, order_id, position, product_id, variant_id, product_sku, product_name, variant_title, is_digital, quantity,
       unit_price, price_source, subtotal_amount, discount_amount, tax_amount, quantity_held, quantity_fulfilled,
       quantity_cancelled, quantity_returned, quantity_refunded, batch_id, batch_number, patch_enabled, patch_type,
       print_name, print_number, download_link_sent, erp_line_id, created_at, currency
  FROM {order_items}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
 ORDER BY position;

-- name: tracking(tenant_id, order_number, phone) -> OrderTracking?
-- Number and phone in one condition: whoever has one of them wrong gets the same nothing in the same time.
SELECT order_number, status, delivery_stage, created_at, estimated_delivery, shipping_carrier, tracking_number
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND order_number = :order_number
   AND customer_phone = :phone;

-- name: orders_page(tenant_id, status?, user_id?, before?, size) -> OrderSummary*
-- Newest first: ids are made in time order, so the id alone is the key of the page.
SELECT id, order_number, user_id, customer_email, customer_name, status, delivery_stage, total_amount, amount_paid,
       amount_due, created_at, payment_due_at, currency
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND status = :status                              -- if status
   AND user_id = :user_id                            -- if user_id
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: orders_awaiting_payment(tenant_id, after_at?, after_id?, size) -> OrderSummary*
-- Oldest first, for those who chase them.
SELECT id, order_number, user_id, customer_email, customer_name, status, delivery_stage, total_amount, amount_paid,
       amount_due, created_at, payment_due_at, currency
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND status = 'pending_payment'
   AND created_at >= :after_at                       -- if after_at
   AND (created_at, id) > (:after_at, :after_id)     -- if after_id
 ORDER BY created_at, id
 LIMIT :size;

-- name: orders_filtered(tenant_id, status?, pattern?, created_before?, created_after?, size, skip) -> OrderSummary*
-- bounded offset
SELECT o.id, o.order_number, o.user_id, o.customer_email, o.customer_name, o.status, o.delivery_stage, o.total_amount,
       o.amount_paid, o.amount_due, o.created_at, o.payment_due_at, o.currency
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.status = :status                            -- if status
   AND o.created_at < :created_before                -- if created_before
   AND o.created_at > :created_after                 -- if created_after
   AND EXISTS (SELECT FROM {order_search} s WHERE s.tenant_id = :tenant_id AND s.order_id = o.id AND s.document LIKE :pattern)  -- if pattern
 ORDER BY o.created_at DESC, o.id DESC
 LIMIT :size
OFFSET :skip;

-- name: orders_counted(tenant_id, status?, pattern?, created_before?, created_after?) -> int
-- Counted apart from the page, so that it is right past the last page as well.
SELECT count(*)::int
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.status = :status                            -- if status
   AND o.created_at < :created_before                -- if created_before
   AND o.created_at > :created_after                 -- if created_after
   AND EXISTS (SELECT FROM {order_search} s WHERE s.tenant_id = :tenant_id AND s.order_id = o.id AND s.document LIKE :pattern);  -- if pattern

-- name: orders_exactly(tenant_id, order_number, email, phone?, size) -> OrderSummary*
-- Three indexes, one for each way to name an order; a phone that is none matches nothing.
SELECT id, order_number, user_id, customer_email, customer_name, status, delivery_stage, total_amount, amount_paid,
       amount_due, created_at, payment_due_at, currency
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND (order_number = :order_number OR customer_email = :email OR customer_phone = :phone)
 ORDER BY id DESC
 LIMIT :size;

-- name: orders_beginning(tenant_id, number_from, number_to, email_from, email_to, size) -> OrderSummary*
-- Ranges instead of LIKE: the columns are in the C collation, so a plain index serves, whatever the plan.
SELECT id, order_number, user_id, customer_email, customer_name, status, delivery_stage, total_amount, amount_paid,
       amount_due, created_at, payment_due_at, currency
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND (order_number >= :number_from AND order_number < :number_to
        OR customer_email >= :email_from AND customer_email < :email_to)
 ORDER BY id DESC
 LIMIT :size;

-- name: orders_containing(tenant_id, pattern, size) -> OrderSummary*
-- The documents have the trigram index; the worker fills them, so an order of the last seconds may not be among them.
SELECT o.id, o.order_number, o.user_id, o.customer_email, o.customer_name, o.status, o.delivery_stage, o.total_amount,
       o.amount_paid, o.amount_due, o.created_at, o.payment_due_at, o.currency
  FROM {order_search} s
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = s.order_id
 WHERE s.tenant_id = :tenant_id
   AND s.document LIKE :pattern
 ORDER BY s.order_id DESC
 LIMIT :size;

-- name: orders_needing_refund(tenant_id, before?, size) -> RefundDue*
-- The condition is that of the index idx_orders_overpaid, word by word.
SELECT id, order_number, customer_email, customer_name, status, total_amount, amount_paid,
       CASE WHEN status = 'cancelled' THEN amount_paid ELSE amount_paid - total_amount END AS refund_amount, currency
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND (amount_due < 0 OR (status = 'cancelled' AND amount_paid > 0))
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: revenue_by_campaign(tenant_id, since, until) -> CampaignRevenue*
-- What ended without a sale does not count. Half open: since <= created_at < until.
SELECT utm_campaign, count(*)::int AS orders, sum(total_amount)::bigint AS total_amount, sum(amount_paid)::bigint AS amount_paid,
       currency
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND created_at >= :since
   AND created_at < :until
   AND status NOT IN ('cancelled', 'refunded')
 GROUP BY utm_campaign, currency
 ORDER BY sum(total_amount) DESC, utm_campaign;

-- name: history(tenant_id, order_id, size) -> StatusChange*
SELECT id, order_id, sequence, from_status, to_status, reason, changed_by, changed_by_type, changed_by_name,
       request_id, metadata, created_at
  FROM {order_status_history}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
 ORDER BY sequence DESC
 LIMIT :size;

-- name: changes_page(tenant_id, before_at?, before_id?, size) -> StatusChange*
-- Of all orders, newest first.
SELECT id, order_id, sequence, from_status, to_status, reason, changed_by, changed_by_type, changed_by_name,
       request_id, metadata, created_at
  FROM {order_status_history}
 WHERE tenant_id = :tenant_id
   AND created_at <= :before_at                      -- if before_at
   AND (created_at, id) < (:before_at, :before_id)   -- if before_id
 ORDER BY created_at DESC, id DESC
 LIMIT :size;

-- name: entry_exists(tenant_id, entry_id) -> bool
SELECT EXISTS (SELECT FROM {order_status_history} WHERE tenant_id = :tenant_id AND id = :entry_id);

-- name: customer_summaries(tenant_id, customer_id, before?, size) -> CustomerOrderSummary*
SELECT id, customer_id, vendure_order_id, order_code, order_date, status, delivery_stage, payment_method,
       total_with_tax, is_paid, batch_id, tracking_number, currency
  FROM {customer_orders_summary}
 WHERE tenant_id = :tenant_id
   AND customer_id = :customer_id
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: customer_summary_items(tenant_id, order_id) -> CustomerOrderItem*
SELECT id, order_summary_id, product_name, variant_name, quantity, unit_price_with_tax, patch_enabled, patch_type,
       print_name, print_number, currency
  FROM {customer_order_items}
 WHERE tenant_id = :tenant_id
   AND order_summary_id = :order_id
 ORDER BY id;

-- Customers: accounts and what they bought -------------------------------------------------------------------------------

-- name: customer(tenant_id, customer_id) -> Customer?
SELECT id, vendure_customer_id, email, first_name, last_name, full_name, phone_number, phone_verified, total_orders,
       total_spent, last_order_date, marketing_consent, marketing_consent_at, is_active, custom_fields, created_at,
       updated_at, last_synced_at, currency
  FROM {customers}
 WHERE tenant_id = :tenant_id
   AND id = :customer_id;

-- name: customer_by_email(tenant_id, email) -> Customer?
SELECT id, vendure_customer_id, email, first_name, last_name, full_name, phone_number, phone_verified, total_orders,
       total_spent, last_order_date, marketing_consent, marketing_consent_at, is_active, custom_fields, created_at,
       updated_at, last_synced_at, currency
  FROM {customers}
 WHERE tenant_id = :tenant_id
   AND email = :email;

-- name: customer_by_phone(tenant_id, phone) -> Customer?
SELECT id, vendure_customer_id, email, first_name, last_name, full_name, phone_number, phone_verified, total_orders,
       total_spent, last_order_date, marketing_consent, marketing_consent_at, is_active, custom_fields, created_at,
       updated_at, last_synced_at, currency
  FROM {customers}
 WHERE tenant_id = :tenant_id
   AND phone_number = :phone;

-- name: customer_by_vendure_id(tenant_id, vendure_customer_id) -> Customer?
SELECT id, vendure_customer_id, email, first_name, last_name, full_name, phone_number, phone_verified, total_orders,
       total_spent, last_order_date, marketing_consent, marketing_consent_at, is_active, custom_fields, created_at,
       updated_at, last_synced_at, currency
  FROM {customers}
 WHERE tenant_id = :tenant_id
   AND vendure_customer_id = :vendure_customer_id;

-- name: customers_page(tenant_id, before?, size) -> Customer*
-- Newest first.
SELECT id, vendure_customer_id, email, first_name, last_name, full_name, phone_number, phone_verified, total_orders,
       total_spent, last_order_date, marketing_consent, marketing_consent_at, is_active, custom_fields, created_at,
       updated_at, last_synced_at, currency
  FROM {customers}
 WHERE tenant_id = :tenant_id
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: active_customers_page(tenant_id, before?, size) -> Customer*
SELECT id, vendure_customer_id, email, first_name, last_name, full_name, phone_number, phone_verified, total_orders,
       total_spent, last_order_date, marketing_consent, marketing_consent_at, is_active, custom_fields, created_at,
       updated_at, last_synced_at, currency
  FROM {customers}
 WHERE tenant_id = :tenant_id
   AND is_active
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: customers_of(tenant_id, customer_ids) -> Customer*
SELECT id, vendure_customer_id, email, first_name, last_name, full_name, phone_number, phone_verified, total_orders,
       total_spent, last_order_date, marketing_consent, marketing_consent_at, is_active, custom_fields, created_at,
       updated_at, last_synced_at, currency
  FROM {customers}
 WHERE tenant_id = :tenant_id
   AND id = ANY (:customer_ids)
 ORDER BY id DESC;

-- name: customers_consenting(tenant_id, after?, size) -> Customer*
-- Who may be written to, now. Read from the consents, so that whoever takes theirs back is not on the next page.
SELECT c.id, c.vendure_customer_id, c.email, c.first_name, c.last_name, c.full_name, c.phone_number, c.phone_verified,
       c.total_orders, c.total_spent, c.last_order_date, c.marketing_consent, c.marketing_consent_at, c.is_active,
       c.custom_fields, c.created_at, c.updated_at, c.last_synced_at, c.currency
  FROM {user_profiles} g
  JOIN {customers} c ON c.tenant_id = :tenant_id AND c.id = g.user_id
 WHERE g.tenant_id = :tenant_id
   AND g.marketing_consent
   AND c.is_active
   AND g.user_id > :after                            -- if after
 ORDER BY g.user_id
 LIMIT :size;

-- name: customer_addresses(tenant_id, customer_id, size) -> CustomerAddress*
SELECT id, customer_id, vendure_address_id, address_type, is_default, full_name, company, street_line_1, street_line_2,
       city, province, postal_code, country_code, phone_number, created_at, updated_at
  FROM {customer_addresses}
 WHERE tenant_id = :tenant_id
   AND customer_id = :customer_id
 ORDER BY is_default DESC, id DESC
 LIMIT :size;

-- name: status_labels(tenant_id) -> StatusLabel*
SELECT status, label, description
  FROM {order_status_labels}
 WHERE tenant_id = :tenant_id
 ORDER BY status;

-- Changes ---------------------------------------------------------------------------------------------------------------

-- name: hold_order(tenant_id, order_id) -> HeldOrder?
-- Whoever changes an order waits here for whoever changes it now, and then reads what was committed. NO KEY: a payment
-- that is being started for the order refers to its key alone, and need not wait. What is shipped is read from the locked
-- row; its lines, which this statement may see as they were before, tell it of orders that another system keeps.
SELECT o.id, o.order_number, o.status, o.total_amount, o.amount_paid, now() AS now,
       (o.shipped_at IS NOT NULL
        OR EXISTS (SELECT 1
                     FROM {order_items} i
                    WHERE i.tenant_id = :tenant_id AND i.order_id = :order_id AND i.quantity_fulfilled > 0)) AS goods_left,
       o.currency
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id
   FOR NO KEY UPDATE OF o;

-- name: move_order(tenant_id, order_id, from_status, to_status, sources, delivery_stage?, paid_at?, shipped_at?,
--                  delivered_at?, cancelled_at?, cancellation_reason?, history_id, reason?, changed_by?, changed_by_type,
--                  changed_by_name?, request_id?, metadata?) -> count
-- The change and its history row are one statement: neither is ever there without the other. The allowed sources stand in
-- the WHERE clause; from_status is the state that was read under the row's lock. A milestone is set when it is first
-- reached; its instant is the database's, passed in because CASE .. THEN now() cannot be sent to another machine.
WITH moved AS (
    UPDATE {orders}
       SET status = :to_status, status_updated_at = now(), updated_at = now(),
           delivery_stage = coalesce(:delivery_stage, delivery_stage),
           paid_at = coalesce(paid_at, :paid_at),
           shipped_at = coalesce(shipped_at, :shipped_at),
           delivered_at = coalesce(delivered_at, :delivered_at),
           cancelled_at = coalesce(cancelled_at, :cancelled_at),
           cancellation_reason = coalesce(:cancellation_reason, cancellation_reason)
     WHERE tenant_id = :tenant_id
       AND id = :order_id
       AND status = :from_status
       AND status = ANY (:sources)
    RETURNING id)
INSERT INTO {order_status_history} (tenant_id, id, order_id, sequence, from_status, to_status, reason, changed_by,
                                    changed_by_type, changed_by_name, request_id, metadata)
SELECT :tenant_id, :history_id, m.id,
       coalesce((SELECT max(h.sequence) FROM {order_status_history} h
                  WHERE h.tenant_id = :tenant_id AND h.order_id = :order_id), 0) + 1,
       :from_status, :to_status, :reason, :changed_by, :changed_by_type, :changed_by_name, :request_id, :metadata
  FROM moved m;

-- name: release_units(tenant_id, order_id) -> int
-- See flows/functions.sql: stock and lines change together.
SELECT {release_order_units_v2}(:tenant_id, :order_id);

-- name: ship_units(tenant_id, order_id, movement_ids, actor_kind, actor_id?) -> StockShort*
-- No row back: everything that the order held has left the shelf.
SELECT variant_id, sku, needed, on_hand
  FROM {ship_order_units_v1}(:tenant_id, :order_id, :movement_ids, :actor_kind, :actor_id);

-- name: set_line_batch(tenant_id, line_id, batch_id, batch_number) -> count
UPDATE {order_items}
   SET batch_id = :batch_id, batch_number = :batch_number
 WHERE tenant_id = :tenant_id
   AND id = :line_id
   AND batch_id IS NULL;

-- name: set_links_queued(tenant_id, line_ids) -> count
-- Their mail is queued: they are not looked at any more, and not sent either. Whoever queues it holds their rows.
UPDATE {order_items}
   SET download_link_sent = FALSE, download_due_at = 'infinity'
 WHERE tenant_id = :tenant_id
   AND id = ANY (:line_ids)
   AND is_digital;

-- name: set_links_sent(tenant_id, line_ids) -> count
-- The state of delivery of digital lines. Whoever notes it holds their rows.
UPDATE {order_items}
   SET download_link_sent = TRUE
 WHERE tenant_id = :tenant_id
   AND id = ANY (:line_ids)
   AND is_digital
   AND NOT download_link_sent;

-- name: put_links_off(tenant_id, line_ids, until) -> count
UPDATE {order_items} i
   SET download_due_at = t.until
  FROM unnest(:line_ids::uuid[], :until::timestamptz[]) AS t (id, until)
 WHERE i.tenant_id = :tenant_id
   AND i.id = t.id;

-- name: leave_links(tenant_id, line_ids) -> count
-- They are not looked at any more, unless somebody makes them due.
UPDATE {order_items}
   SET download_due_at = 'infinity'
 WHERE tenant_id = :tenant_id
   AND id = ANY (:line_ids);

-- name: make_links_due(tenant_id, order_id) -> count
-- Whoever looks at the lines just now is waited for, since they may have read what was before.
UPDATE {order_items}
   SET download_due_at = '-infinity'
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
   AND is_digital
   AND NOT download_link_sent
   AND download_due_at < 'infinity';

-- name: make_links_of_product_due(tenant_id, product_id, since, rows) -> count
-- The newest of those that nobody has left to staff, locked by key. Whoever looks at them just now is waited for.
UPDATE {order_items} i
   SET download_due_at = '-infinity'
  FROM (SELECT n.id
          FROM {order_items} n
         WHERE n.tenant_id = :tenant_id
           AND n.id IN (SELECT l.id
                          FROM {order_items} l
                         WHERE l.tenant_id = :tenant_id
                           AND l.product_id = :product_id
                           AND l.is_digital
                           AND NOT l.download_link_sent
                           AND l.download_due_at < 'infinity'
                           AND l.created_at > now() - :since::interval
                         ORDER BY l.created_at DESC
                         LIMIT :rows)
         ORDER BY n.id
           FOR UPDATE) locked
 WHERE i.tenant_id = :tenant_id
   AND i.id = locked.id
   AND NOT i.download_link_sent
   AND i.download_due_at < 'infinity';

-- name: order_of_parcel(tenant_id, tracking_number) -> OrderId?
-- Carriers use a number again after some time: the newest order is meant.
SELECT id
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND tracking_number = :tracking_number
 ORDER BY created_at DESC, id DESC
 LIMIT 1;

-- name: set_tracking(tenant_id, order_id, carrier?, tracking_number?, estimated_delivery?) -> count
-- What is not given stays. The status does not change, so neither does its instant.
UPDATE {orders}
   SET shipping_carrier = coalesce(:carrier, shipping_carrier),
       tracking_number = coalesce(:tracking_number, tracking_number),
       estimated_delivery = coalesce(:estimated_delivery, estimated_delivery),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :order_id;

-- name: append_note(tenant_id, order_id, note, length_max) -> count
-- Appended where it lies, so that two who write at once both are kept.
UPDATE {orders}
   SET internal_notes = coalesce(internal_notes || E'\n', '') || :note, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :order_id
   AND length(coalesce(internal_notes, '')) + length(:note::text) < :length_max;

-- name: recompute_paid(tenant_id, order_id) -> count
-- Summed from the payments, not added to: said twice, or after any mistake, it comes out right.
UPDATE {orders}
   SET amount_paid = paid_at_source + (SELECT coalesce(sum(p.received_amount - p.refunded_amount), 0)
                                         FROM {payments} p
                                        WHERE p.tenant_id = :tenant_id
                                          AND p.order_id = :order_id
                                          AND p.status IN ('completed', 'refunded', 'partially_refunded')),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :order_id;

-- name: recount_buyer(tenant_id, order_id) -> bool*
-- See flows/functions.sql. No row where a guest bought.
SELECT {update_customer_statistics}(:tenant_id, o.user_id)
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id
   AND o.user_id IS NOT NULL;

-- name: recount_buyer_refunded(tenant_id, order_id) -> bool*
-- Money that only comes changes nothing: an order counts from its placing. What went back does.
SELECT {update_customer_statistics}(:tenant_id, o.user_id)
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = :order_id
   AND o.user_id IS NOT NULL
   AND EXISTS (SELECT FROM {payments} p
                WHERE p.tenant_id = :tenant_id AND p.order_id = :order_id AND p.refunded_amount > 0);

-- name: recount_customer(tenant_id, customer_id) -> bool
SELECT {update_customer_statistics}(:tenant_id, :customer_id);

-- name: claim_guest_orders(tenant_id, user_id) -> int
-- Only a verified address proves that the orders of a guest with this address are the account's. See flows/functions.sql.
SELECT {claim_guest_orders_v1}(:tenant_id, :user_id);

-- Jobs ------------------------------------------------------------------------------------------------------------------

-- name: tenants_with_unpaid(size) -> str*
-- scope: all tenants
-- Those with an order whose time is up and for which no money is on its way.
SELECT o.tenant_id
  FROM {orders} o
 WHERE o.status = 'pending_payment'
   AND o.payment_due_at <= now()
   AND NOT EXISTS (SELECT FROM {payments} p
                    WHERE p.tenant_id = o.tenant_id
                      AND p.order_id = o.id
                      AND (p.status IN ('awaiting_verification', 'processing')
                           OR (p.status = 'pending' AND (p.expires_at > now()) IS NOT FALSE)))
 GROUP BY o.tenant_id
 LIMIT :size;

-- name: claim_unpaid(tenant_id, size) -> OrderId*
-- Those whose row somebody else holds are left for the next run.
SELECT o.id
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.status = 'pending_payment'
   AND o.payment_due_at <= now()
   AND NOT EXISTS (SELECT FROM {payments} p
                    WHERE p.tenant_id = :tenant_id
                      AND p.order_id = o.id
                      AND (p.status IN ('awaiting_verification', 'processing')
                           OR (p.status = 'pending' AND (p.expires_at > now()) IS NOT FALSE)))
 ORDER BY o.payment_due_at, o.id
 LIMIT :size
   FOR NO KEY UPDATE SKIP LOCKED;

-- name: money_on_its_way(tenant_id, order_id) -> bool
-- Asked again under the order's lock: a proof may have come in between.
SELECT EXISTS (SELECT FROM {payments} p
                WHERE p.tenant_id = :tenant_id
                  AND p.order_id = :order_id
                  AND (p.status IN ('awaiting_verification', 'processing')
                       OR (p.status = 'pending' AND (p.expires_at > now()) IS NOT FALSE)));

-- name: pays_on_delivery(tenant_id, order_id) -> bool
-- Whether the customer was asked to pay at the door, and has not been let off it.
SELECT EXISTS (SELECT FROM {payments} p
                 JOIN {payment_methods} m ON m.tenant_id = :tenant_id AND m.id = p.payment_method_id
                WHERE p.tenant_id = :tenant_id
                  AND p.order_id = :order_id
                  AND p.status IN ('pending', 'awaiting_verification')
                  AND m.method_type = 'cod');

-- name: tenants_to_index(size) -> str*
-- scope: all tenants
SELECT tenant_id
  FROM {order_search}
 WHERE document IS NULL
 GROUP BY tenant_id
 LIMIT :size;

-- name: fill_documents(tenant_id, size) -> count
-- Two workers take different rows; what one of them does not finish is still empty and is taken again.
UPDATE {order_search} s
   SET document = lower(o.order_number || ' ' || o.customer_email || ' ' || o.customer_name || ' '
                        || coalesce(o.customer_phone, '') || ' ' || coalesce(o.purchase_id, '') || ' ' || o.id::text)
  FROM {orders} o
 WHERE s.tenant_id = :tenant_id
   AND o.tenant_id = :tenant_id
   AND o.id = s.order_id
   AND s.order_id = ANY (ARRAY(SELECT e.order_id
                                 FROM {order_search} e
                                WHERE e.tenant_id = :tenant_id
                                  AND e.document IS NULL
                                ORDER BY e.order_id
                                LIMIT :size
                                  FOR UPDATE SKIP LOCKED));

-- Shipping rates --------------------------------------------------------------------------------------------------------

-- name: shipping_rates(tenant_id, is_active?, size) -> ShippingRate*
-- In the order in which a checkout tries them.
SELECT id, code, name, amount, countries, free_from_amount, is_active, position, currency
  FROM {shipping_rates}
 WHERE tenant_id = :tenant_id
   AND is_active = :is_active                        -- if is_active
 ORDER BY position, code
 LIMIT :size;

-- name: shipping_rate(tenant_id, rate_id) -> ShippingRate?
SELECT id, code, name, amount, countries, free_from_amount, is_active, position, currency
  FROM {shipping_rates}
 WHERE tenant_id = :tenant_id
   AND id = :rate_id;

-- name: insert_shipping_rate(tenant_id, rate_id, code, name, amount, currency, countries?, free_from_amount?, is_active,
--                            position) -> ShippingRate
INSERT INTO {shipping_rates} (tenant_id, id, code, name, amount, currency, countries, free_from_amount, is_active, position)
VALUES (:tenant_id, :rate_id, :code, :name, :amount, :currency, :countries, :free_from_amount, :is_active, :position)
RETURNING id, code, name, amount, countries, free_from_amount, is_active, position, currency;

-- name: update_shipping_rate(tenant_id, rate_id, code, name, amount, currency, countries?, free_from_amount?, is_active,
--                            position) -> ShippingRate?
UPDATE {shipping_rates}
   SET code = :code, name = :name, amount = :amount, currency = :currency, countries = :countries,
       free_from_amount = :free_from_amount, is_active = :is_active, position = :position, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :rate_id
RETURNING id, code, name, amount, countries, free_from_amount, is_active, position, currency;

-- name: delete_shipping_rate(tenant_id, rate_id) -> count
-- Orders name the method by its code and keep what they paid for it.
DELETE FROM {shipping_rates}
 WHERE tenant_id = :tenant_id
   AND id = :rate_id;

-- Orders of another system ----------------------------------------------------------------------------------------------

-- name: synced_order(tenant_id, order_id) -> SyncedState?
SELECT id, order_number, user_id, status, now() AS now
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND id = :order_id
   FOR NO KEY UPDATE;

-- name: insert_synced(tenant_id, order_id, order_number, source, vendure_order_id, user_id?, customer_email, customer_name,
--                     customer_phone?, status, delivery_stage, shipping_address?, billing_address?, currency,
--                     subtotal_amount, discount_amount, shipping_amount, tax_amount, total_amount, paid_at_source,
--                     payment_at_source?, shipping_method?, shipping_carrier?, tracking_number?, discount_code?,
--                     customer_notes?, metadata, payment_due_at, placed_at, paid_at?, shipped_at?, delivered_at?,
--                     cancelled_at?)
-- Nothing is reserved and nothing asked for: both were done where the order comes from.
INSERT INTO {orders} (tenant_id, id, order_number, source, purchase_id, vendure_order_id, user_id, customer_email,
                      customer_name, customer_phone, status, delivery_stage, shipping_address, billing_address, currency,
                      subtotal_amount, discount_amount, shipping_amount, tax_amount, total_amount, amount_paid,
                      paid_at_source, payment_at_source, shipping_method, shipping_carrier, tracking_number, discount_code,
                      customer_notes, metadata, payment_due_at, created_at, paid_at, shipped_at, delivered_at,
                      cancelled_at)
VALUES (:tenant_id, :order_id, :order_number, :source, :vendure_order_id, :vendure_order_id, :user_id, :customer_email,
        :customer_name, :customer_phone, :status, :delivery_stage, :shipping_address, :billing_address, :currency,
        :subtotal_amount, :discount_amount, :shipping_amount, :tax_amount, :total_amount, :paid_at_source,
        :paid_at_source, :payment_at_source, :shipping_method, :shipping_carrier, :tracking_number, :discount_code,
        :customer_notes, :metadata, :payment_due_at, :placed_at, :paid_at, :shipped_at, :delivered_at, :cancelled_at);

-- name: update_synced(tenant_id, order_id, user_id?, customer_email, customer_name, customer_phone?, status,
--                     status_updated_at?, delivery_stage, shipping_address?, billing_address?, currency,
--                     subtotal_amount, discount_amount, shipping_amount, tax_amount, total_amount, paid_at_source,
--                     payment_at_source?, shipping_method?, shipping_carrier?, tracking_number?, discount_code?,
--                     customer_notes?, metadata, placed_at, paid_at?, shipped_at?, delivered_at?, cancelled_at?) -> count
-- All that the source says, as it says it now; what our own payments brought stays counted. Its number stays.
UPDATE {orders}
   SET user_id = :user_id, customer_email = :customer_email, customer_name = :customer_name,
       customer_phone = :customer_phone,
       status = :status, status_updated_at = coalesce(:status_updated_at, status_updated_at),
       delivery_stage = :delivery_stage, shipping_address = :shipping_address, billing_address = :billing_address,
       currency = :currency, subtotal_amount = :subtotal_amount,
       discount_amount = :discount_amount, shipping_amount = :shipping_amount, tax_amount = :tax_amount,
       total_amount = :total_amount, amount_paid = amount_paid - paid_at_source + :paid_at_source,
       paid_at_source = :paid_at_source, payment_at_source = :payment_at_source, shipping_method = :shipping_method,
       shipping_carrier = :shipping_carrier, tracking_number = :tracking_number, discount_code = :discount_code,
       customer_notes = :customer_notes, metadata = :metadata, created_at = :placed_at, paid_at = :paid_at,
       shipped_at = :shipped_at, delivered_at = :delivered_at, cancelled_at = :cancelled_at, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :order_id;

-- name: synced_lines(tenant_id, order_id) -> SyncedLine*
SELECT id, position, product_id, variant_id, product_sku, product_name, variant_title, is_digital, quantity, unit_price,
       discount_amount, tax_amount, quantity_fulfilled, quantity_cancelled, patch_enabled, patch_type, print_name,
       print_number
  FROM {order_items}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
 ORDER BY position;

-- name: refunds_forbid_lines(tenant_id, order_id, line_ids, quantities) -> bool
-- Whether money went, or is to go, back for more units than these lines have: one that is not among them has none.
SELECT EXISTS (SELECT
                 FROM {order_items} i
                 JOIN {refund_items} x ON x.tenant_id = :tenant_id AND x.order_item_id = i.id
                 JOIN {refunds} r ON r.tenant_id = :tenant_id AND r.id = x.refund_id
                 LEFT JOIN unnest(:line_ids::uuid[], :quantities::int[]) AS n (id, quantity) ON n.id = i.id
                WHERE i.tenant_id = :tenant_id
                  AND i.order_id = :order_id
                GROUP BY i.id, n.quantity
               HAVING n.quantity IS NULL
                   OR n.quantity < sum(x.quantity) FILTER (WHERE r.status IN ('pending', 'completed')));

-- name: delete_synced_lines(tenant_id, order_id, line_ids) -> count
-- All but these.
DELETE FROM {order_items}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
   AND id <> ALL (:line_ids);

-- name: put_synced_lines(tenant_id, order_id, currency, placed_at, lines)
-- A line that is there stays the same row, with its link and with what went or came back of it.
INSERT INTO {order_items} AS i (tenant_id, id, order_id, position, product_id, variant_id, product_sku, product_name,
                                variant_title, is_digital, quantity, unit_price, currency, price_source, discount_amount,
                                tax_amount, quantity_fulfilled, quantity_cancelled, patch_enabled, patch_type, print_name,
                                print_number, created_at)
SELECT :tenant_id, l.id, :order_id, l.position, l.product_id, l.variant_id, l.product_sku, l.product_name, l.variant_title,
       l.is_digital, l.quantity, l.unit_price, :currency, 'source', l.discount_amount, l.tax_amount, l.quantity_fulfilled,
       l.quantity_cancelled, l.patch_enabled, l.patch_type, l.print_name, l.print_number, :placed_at
  FROM jsonb_to_recordset(:lines::jsonb) AS l (
           id uuid, position int, product_id uuid, variant_id uuid, product_sku text, product_name text,
           variant_title text, is_digital boolean, quantity int, unit_price bigint, discount_amount bigint,
           tax_amount bigint, quantity_fulfilled int, quantity_cancelled int, patch_enabled boolean, patch_type text,
           print_name text, print_number text)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET position = EXCLUDED.position, product_sku = EXCLUDED.product_sku, product_name = EXCLUDED.product_name,
       variant_title = EXCLUDED.variant_title, is_digital = EXCLUDED.is_digital, quantity = EXCLUDED.quantity,
       unit_price = EXCLUDED.unit_price, currency = EXCLUDED.currency, discount_amount = EXCLUDED.discount_amount,
       tax_amount = EXCLUDED.tax_amount,
       quantity_fulfilled = greatest(EXCLUDED.quantity_fulfilled, i.quantity_returned),
       quantity_cancelled = least(EXCLUDED.quantity_cancelled, EXCLUDED.quantity - i.quantity_returned),
       patch_enabled = EXCLUDED.patch_enabled, patch_type = EXCLUDED.patch_type, print_name = EXCLUDED.print_name,
       print_number = EXCLUDED.print_number, created_at = EXCLUDED.created_at;

-- name: open_search(tenant_id, order_id)
-- Empty: the worker fills it anew.
INSERT INTO {order_search} (tenant_id, order_id)
VALUES (:tenant_id, :order_id)
    ON CONFLICT (tenant_id, order_id) DO UPDATE SET document = NULL;

-- name: add_history(tenant_id, history_id, order_id, from_status?, to_status, reason?, changed_by?, changed_by_type,
--                   changed_by_name?, request_id?)
-- The order's row is locked, so the next number is free.
INSERT INTO {order_status_history} (tenant_id, id, order_id, sequence, from_status, to_status, reason, changed_by,
                                    changed_by_type, changed_by_name, request_id)
SELECT :tenant_id, :history_id, :order_id,
       coalesce((SELECT max(h.sequence) FROM {order_status_history} h
                  WHERE h.tenant_id = :tenant_id AND h.order_id = :order_id), 0) + 1,
       :from_status, :to_status, :reason, :changed_by, :changed_by_type, :changed_by_name, :request_id;

-- The ERP -------------------------------------------------------------------------------------------------------------

-- name: mark_synced(tenant_id, id, erp_id) -> count
-- One that the ERP knows under another id is left alone: it would be there twice.
UPDATE {orders}
   SET erp_order_id = :erp_id, erp_synced_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND (erp_order_id IS NULL OR erp_order_id = :erp_id);

-- name: reset_synced(tenant_id, id) -> count
UPDATE {orders}
   SET erp_synced_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: reset_some_synced(tenant_id, size) -> count
UPDATE {orders} r
   SET erp_synced_at = NULL, updated_at = now()
  FROM (SELECT id
          FROM {orders}
         WHERE tenant_id = :tenant_id
           AND erp_order_id IS NOT NULL
           AND erp_synced_at IS NOT NULL
         ORDER BY erp_synced_at
         LIMIT :size
           FOR NO KEY UPDATE SKIP LOCKED) d
 WHERE r.tenant_id = :tenant_id
   AND r.id = d.id;

-- name: mark_lines_synced(tenant_id, order_id, line_ids, erp_ids) -> count
UPDATE {order_items} i
   SET erp_line_id = t.erp_id
  FROM unnest(:line_ids::uuid[], :erp_ids::text[]) AS t (id, erp_id)
 WHERE i.tenant_id = :tenant_id
   AND i.order_id = :order_id
   AND i.id = t.id;
