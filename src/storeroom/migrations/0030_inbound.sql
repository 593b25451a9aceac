-- transaction: none
-- What other systems tell of their records: the ERP of stock, receipts and customers, a Vendure shop of its customers, their
-- addresses and orders. Of each record, what was said last of each field and when, so that messages may come in any order,
-- twice, or in parts.
-- Lock: ACCESS EXCLUSIVE on users and orders for an instant each (columns without a rewrite); the indexes are made while the
-- shop goes on. Run before the new code.

-- A row is locked by whoever takes a message about its record: a customer's before those of its addresses and orders.
CREATE TABLE IF NOT EXISTS {source_records} (
    tenant_id       TEXT NOT NULL,
    source          TEXT NOT NULL,                 -- vendure, epicor_propello
    kind            TEXT NOT NULL,
    external_id     TEXT NOT NULL,                 -- its id there
    parent_id       TEXT,                          -- of an address or order: its customer's id there
    local_id        UUID,                          -- the row here; NULL: not synced
    fields          JSONB NOT NULL DEFAULT '{}',   -- name -> {"at": instant, "value": what was said last}
    waits_for       TEXT,                          -- what must come before the row here can be as it is said; NULL: nothing
    changed_at      TIMESTAMPTZ,                   -- the newest instant of the source; NULL: named by another record alone
    last_synced_at  TIMESTAMPTZ,                   -- when the row here was last made to agree
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {source_records_pkey} PRIMARY KEY (tenant_id, source, kind, external_id),
    CONSTRAINT source_records_id_length CHECK (length(external_id) BETWEEN 1 AND 100 AND length(parent_id) BETWEEN 1 AND 100),
    CONSTRAINT source_records_kind_known CHECK (kind IN ('customer', 'address', 'order', 'item', 'payment'))
) WITH (fillfactor = 70);
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_source_records_parent} ON {source_records} (tenant_id, source, parent_id, kind, external_id);
-- What is not here as it is said there: for staff, and for the worker that tries again with those tried longest ago.
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_source_records_waiting} ON {source_records} (tenant_id, source, kind, external_id)
    WHERE waits_for IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_source_records_tried} ON {source_records} (source, updated_at) WHERE waits_for IS NOT NULL;

-- How the ERP names what it speaks of.
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_products_erp_item} ON {products} (tenant_id, erp_item_id) WHERE erp_item_id IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_users_erp_customer} ON {users} (tenant_id, erp_customer_id) WHERE erp_customer_id IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_payments_erp_payment} ON {payments} (tenant_id, erp_payment_id) WHERE erp_payment_id IS NOT NULL;

ALTER TABLE {users} ADD COLUMN IF NOT EXISTS vendure_synced_at TIMESTAMPTZ;
-- Money of an order that was taken where the order comes from, and how the way to pay is called there. No payment of ours
-- has it: amount_paid is this and what our payments brought.
ALTER TABLE {orders} ADD COLUMN IF NOT EXISTS paid_at_source BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {orders} ADD COLUMN IF NOT EXISTS payment_at_source TEXT;

CREATE OR REPLACE VIEW {customers} WITH (security_invoker = true) AS
SELECT u.tenant_id,
       u.id,
       u.vendure_customer_id,
       u.email,
       p.first_name,
       p.last_name,
       u.full_name,
       u.phone AS phone_number,
       u.phone_verified,
       coalesce(s.total_orders, 0) AS total_orders,
       coalesce(s.total_spent, 0) AS total_spent,
       coalesce(s.currency, t.currency) AS currency,
       s.last_order_at AS last_order_date,
       coalesce(p.marketing_consent, FALSE) AS marketing_consent,
       p.marketing_consent_at,
       u.status IN ('active', 'pending_verification') AS is_active,
       u.metadata AS custom_fields,
       u.created_at,
       u.updated_at,
       u.vendure_synced_at AS last_synced_at
  FROM {users} u
  JOIN {tenants} t ON t.tenant_id = u.tenant_id
  LEFT JOIN {user_profiles} p ON p.tenant_id = u.tenant_id AND p.user_id = u.id
  LEFT JOIN {customer_statistics} s ON s.tenant_id = u.tenant_id AND s.user_id = u.id
 WHERE u.deleted_at IS NULL;

CREATE OR REPLACE VIEW {customer_orders_summary} WITH (security_invoker = true) AS
SELECT o.tenant_id,
       o.id,
       o.user_id AS customer_id,
       o.vendure_order_id,
       o.order_number AS order_code,
       o.created_at AS order_date,
       o.status,
       o.delivery_stage,
       coalesce((SELECT m.name
                   FROM {payments} p
                   JOIN {payment_methods} m ON m.tenant_id = p.tenant_id AND m.id = p.payment_method_id
                  WHERE p.tenant_id = o.tenant_id AND p.order_id = o.id
                  ORDER BY p.status = 'completed' DESC, p.id DESC
                  LIMIT 1), o.payment_at_source) AS payment_method,
       o.total_amount AS total_with_tax,
       o.amount_paid >= o.total_amount AS is_paid,
       o.currency,
       o.import_batch_id AS batch_id,
       o.tracking_number
  FROM {orders} o;

CREATE OR REPLACE VIEW {order_ledger} WITH (security_invoker = true) AS
SELECT o.tenant_id,
       o.id AS order_id,
       o.order_number,
       o.user_id,
       o.status,
       o.currency,
       o.total_amount AS total,
       (o.paid_at_source + coalesce(p.amount, 0))::bigint AS came_in,
       coalesce(r.completed, 0)::bigint AS went_back,
       (o.paid_at_source + coalesce(p.amount, 0) - coalesce(r.completed, 0))::bigint AS kept,
       coalesce(r.pending, 0)::bigint AS promised,
       CASE WHEN o.status IN ('cancelled', 'refunded', 'partially_refunded') THEN 0
            ELSE greatest(o.total_amount - o.paid_at_source - coalesce(p.amount, 0) + coalesce(r.completed, 0), 0)
       END::bigint AS due,
       CASE WHEN o.status = 'cancelled' THEN o.paid_at_source + coalesce(p.amount, 0) - coalesce(r.completed, 0)
            ELSE greatest(o.paid_at_source + coalesce(p.amount, 0) - coalesce(r.completed, 0) - o.total_amount, 0)
       END::bigint AS due_back
  FROM {orders} o
  LEFT JOIN (SELECT tenant_id, order_id, currency, sum(received_amount) AS amount
               FROM {payments}
              WHERE received_amount IS NOT NULL
              GROUP BY tenant_id, order_id, currency) p
    ON p.tenant_id = o.tenant_id AND p.order_id = o.id AND p.currency = o.currency
  LEFT JOIN (SELECT tenant_id, order_id, currency, sum(amount) FILTER (WHERE status = 'completed') AS completed,
                    sum(amount) FILTER (WHERE status = 'pending') AS pending
               FROM {refunds}
              GROUP BY tenant_id, order_id, currency) r
    ON r.tenant_id = o.tenant_id AND r.order_id = o.id AND r.currency = o.currency;
