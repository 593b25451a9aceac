-- name: tenant(tenant_id) -> Tenant?
-- Read once in a few seconds by each process; never inside a checkout.
SELECT tenant_id, name, status, currency, time_zone, country_code, order_window, reservation_hold, cart_lifetime, cart_idle,
       open_orders_max, compliance_required, lookup_code_required, staff_second_factor_required, created_at, updated_at
  FROM {tenants}
 WHERE tenant_id = :tenant_id;

-- name: lock_tenant(tenant_id) -> Tenant?
-- Before a change: what is told of it is what it was at that moment.
SELECT tenant_id, name, status, currency, time_zone, country_code, order_window, reservation_hold, cart_lifetime, cart_idle,
       open_orders_max, compliance_required, lookup_code_required, staff_second_factor_required, created_at, updated_at
  FROM {tenants}
 WHERE tenant_id = :tenant_id
   FOR NO KEY UPDATE;

-- name: tenants_after(after, size) -> Tenant*
-- scope: all tenants
-- By id, for the operator's list and for jobs that visit every tenant.
SELECT tenant_id, name, status, currency, time_zone, country_code, order_window, reservation_hold, cart_lifetime, cart_idle,
       open_orders_max, compliance_required, lookup_code_required, staff_second_factor_required, created_at, updated_at
  FROM {tenants}
 WHERE tenant_id > :after
 ORDER BY tenant_id
 LIMIT :size;

-- name: insert_tenant(tenant_id, name, currency, time_zone, country_code, order_window, reservation_hold, cart_lifetime, cart_idle, open_orders_max, compliance_required, lookup_code_required, staff_second_factor_required) -> count
INSERT INTO {tenants} (tenant_id, name, currency, time_zone, country_code, order_window, reservation_hold, cart_lifetime,
                       cart_idle, open_orders_max, compliance_required, lookup_code_required,
                       staff_second_factor_required)
VALUES (:tenant_id, :name, :currency, :time_zone, :country_code, :order_window, :reservation_hold, :cart_lifetime,
        :cart_idle, :open_orders_max, :compliance_required, :lookup_code_required, :staff_second_factor_required)
    ON CONFLICT (tenant_id) DO NOTHING;

-- name: update_tenant(tenant_id, name, time_zone, country_code, order_window, reservation_hold, cart_lifetime, cart_idle, open_orders_max, compliance_required, lookup_code_required, staff_second_factor_required) -> Tenant?
-- The currency stays: prices and orders are in it.
UPDATE {tenants}
   SET name = :name, time_zone = :time_zone, country_code = :country_code, order_window = :order_window,
       reservation_hold = :reservation_hold, cart_lifetime = :cart_lifetime, cart_idle = :cart_idle,
       open_orders_max = :open_orders_max, compliance_required = :compliance_required,
       lookup_code_required = :lookup_code_required, staff_second_factor_required = :staff_second_factor_required,
       updated_at = now()
 WHERE tenant_id = :tenant_id
RETURNING tenant_id, name, status, currency, time_zone, country_code, order_window, reservation_hold, cart_lifetime,
          cart_idle, open_orders_max, compliance_required, lookup_code_required, staff_second_factor_required, created_at,
          updated_at;

-- name: set_status(tenant_id, status) -> Tenant?
UPDATE {tenants}
   SET status = :status, updated_at = now()
 WHERE tenant_id = :tenant_id
RETURNING tenant_id, name, status, currency, time_zone, country_code, order_window, reservation_hold, cart_lifetime,
          cart_idle, open_orders_max, compliance_required, lookup_code_required, staff_second_factor_required, created_at,
          updated_at;

-- name: insert_host(host, tenant_id) -> count
-- A second tenant finds the name taken; the same tenant may say it again.
INSERT INTO {tenant_hosts} (host, tenant)
VALUES (:host, :tenant_id)
    ON CONFLICT (host) DO NOTHING;

-- name: tenant_of_host(host) -> str?
SELECT tenant
  FROM {tenant_hosts}
 WHERE host = :host;

-- name: hosts_of(tenant_id) -> str*
SELECT host
  FROM {tenant_hosts}
 WHERE tenant = :tenant_id
 ORDER BY host;

-- name: delete_host(host, tenant_id) -> count
DELETE FROM {tenant_hosts}
 WHERE host = :host
   AND tenant = :tenant_id;
