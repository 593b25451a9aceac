-- Domains of a tenant. Rows come as objects, for the one mapper in model.py.

-- name: domain(tenant_id, domain_id) -> dict?
SELECT to_jsonb(d) AS row
  FROM {domains} d
 WHERE d.tenant_id = :tenant_id
   AND d.id = :domain_id;

-- name: active_domain(tenant_id, host) -> dict?
-- By its lower-case name, as the unique index has it.
SELECT to_jsonb(d) AS row
  FROM {domains} d
 WHERE d.tenant_id = :tenant_id
   AND lower(d.domain_name) = :host
   AND d.is_active;

-- name: domains_after(tenant_id, after, rows) -> dict*
SELECT to_jsonb(d) AS row
  FROM {domains} d
 WHERE d.tenant_id = :tenant_id
   AND lower(d.domain_name) > :after
 ORDER BY lower(d.domain_name)
 LIMIT :rows;

-- name: insert_domain(tenant_id, id, legacy_id?, domain_name, display_name?, company_code?, country_code?, currency?, is_active) -> count
INSERT INTO {domains} (tenant_id, id, legacy_id, domain_name, display_name, company_code, country_code, currency, is_active)
VALUES (:tenant_id, :id, :legacy_id, :domain_name, :display_name, :company_code, :country_code, :currency, :is_active);

-- name: lock_domain(tenant_id, domain_id) -> dict?
-- What an update leaves out stays as it is here.
SELECT to_jsonb(d) AS row
  FROM {domains} d
 WHERE d.tenant_id = :tenant_id
   AND d.id = :domain_id
   FOR NO KEY UPDATE;

-- name: update_domain(tenant_id, id, legacy_id?, domain_name, display_name?, company_code?, country_code?, currency?, is_active) -> count
UPDATE {domains}
   SET legacy_id = :legacy_id, domain_name = :domain_name, display_name = :display_name, company_code = :company_code,
       country_code = :country_code, currency = :currency, is_active = :is_active, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: remove_domain(tenant_id, domain_id) -> bool
-- See functions.sql.
SELECT {remove_domain_v2}(:tenant_id, :domain_id);
