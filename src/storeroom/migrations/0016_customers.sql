-- Customers: what each of them has bought so far, kept beside the account, and the views that name accounts customers.
-- Lock: none on existing data (a new table and views). Run before the new code.

-- Written by the checkout and by update_customer_statistics, each as the last thing its transaction locks.
CREATE TABLE {customer_statistics} (
    tenant_id      TEXT NOT NULL,
    user_id        UUID NOT NULL,
    currency       TEXT NOT NULL,                 -- the shop's, which never changes
    total_orders   INTEGER NOT NULL DEFAULT 0,    -- all that were not cancelled
    total_spent    BIGINT NOT NULL DEFAULT 0,     -- what they came to, less what went back
    last_order_at  TIMESTAMPTZ,
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at     TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {customer_statistics_pkey} PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT customer_statistics_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT customer_statistics_positive CHECK (total_orders >= 0 AND total_spent >= 0),
    CONSTRAINT customer_statistics_dated CHECK ((total_orders = 0) = (last_order_at IS NULL))
) WITH (fillfactor = 70);

CREATE VIEW {customers} WITH (security_invoker = true) AS
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
       u.updated_at
  FROM {users} u
  JOIN {tenants} t ON t.tenant_id = u.tenant_id
  LEFT JOIN {user_profiles} p ON p.tenant_id = u.tenant_id AND p.user_id = u.id
  LEFT JOIN {customer_statistics} s ON s.tenant_id = u.tenant_id AND s.user_id = u.id
 WHERE u.deleted_at IS NULL;

CREATE VIEW {customer_addresses} WITH (security_invoker = true) AS
SELECT a.tenant_id,
       a.id,
       a.user_id AS customer_id,
       a.vendure_address_id,
       a.address_type,
       a.is_default,
       a.recipient_name AS full_name,
       a.company,
       a.street_line_1,
       a.street_line_2,
       a.city,
       a.state_province AS province,
       a.postal_code,
       a.country_code,
       a.phone AS phone_number,
       a.created_at,
       a.updated_at
  FROM {user_addresses} a
 WHERE a.deleted_at IS NULL;
