-- The gateways of a tenant. What is secret in `config` is sealed before it comes here and opened after it left.

-- name: gateway(tenant_id, gateway_id) -> GatewayRow?
SELECT id, kind, name, config, is_test_mode, is_active, position, created_at, updated_at
  FROM {payment_gateways}
 WHERE tenant_id = :tenant_id
   AND id = :gateway_id;

-- name: lock_gateway(tenant_id, gateway_id) -> GatewayRow?
-- Two changes of different settings do not undo each other.
SELECT id, kind, name, config, is_test_mode, is_active, position, created_at, updated_at
  FROM {payment_gateways}
 WHERE tenant_id = :tenant_id
   AND id = :gateway_id
   FOR NO KEY UPDATE;

-- name: gateways(tenant_id, size) -> GatewayRow*
SELECT id, kind, name, config, is_test_mode, is_active, position, created_at, updated_at
  FROM {payment_gateways}
 WHERE tenant_id = :tenant_id
 ORDER BY position, id
 LIMIT :size;

-- name: active_gateways(tenant_id, size) -> OfferedGateway*
SELECT id, kind, name, is_test_mode, position
  FROM {payment_gateways}
 WHERE tenant_id = :tenant_id
   AND is_active
 ORDER BY position, id
 LIMIT :size;

-- name: lock_gateways(tenant_id, size) -> str*
-- All of them as they stand, locked in the order of their keys.
SELECT id
  FROM (SELECT id, position
          FROM {payment_gateways}
         WHERE tenant_id = :tenant_id
         ORDER BY id
         LIMIT :size
           FOR NO KEY UPDATE) g
 ORDER BY position, id;

-- name: insert_gateway(tenant_id, id, kind, name, config, is_test_mode, position) -> GatewayRow?
-- Inactive, whatever is asked for. No row: the id is taken.
INSERT INTO {payment_gateways} (tenant_id, id, kind, name, config, is_test_mode, position)
VALUES (:tenant_id, :id, :kind, :name, :config, :is_test_mode, :position)
    ON CONFLICT (tenant_id, id) DO NOTHING
RETURNING id, kind, name, config, is_test_mode, is_active, position, created_at, updated_at;

-- name: update_gateway(tenant_id, gateway_id, name, config, is_test_mode, is_active, position) -> GatewayRow?
UPDATE {payment_gateways}
   SET name = :name,
       config = :config,
       is_test_mode = :is_test_mode,
       is_active = :is_active,
       position = :position,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :gateway_id
RETURNING id, kind, name, config, is_test_mode, is_active, position, created_at, updated_at;

-- name: place_gateways(tenant_id, gateway_ids, places) -> count
-- The n-th gateway of the list gets the n-th place.
UPDATE {payment_gateways} g
   SET position = p.place,
       updated_at = now()
  FROM unnest(:gateway_ids::text[], :places::int[]) AS p (id, place)
 WHERE g.tenant_id = :tenant_id
   AND g.id = p.id;

-- name: delete_gateway(tenant_id, gateway_id) -> count
-- Refused by the foreign key of what refers to it.
DELETE FROM {payment_gateways}
 WHERE tenant_id = :tenant_id
   AND id = :gateway_id;

-- Keys ------------------------------------------------------------------------------------------------------------------

-- name: sealed_gateways(after_tenant, after_id, size) -> SealedGateway*
-- scope: all tenants
-- The next rows with secrets, by key.
SELECT tenant_id, id, config
  FROM {payment_gateways}
 WHERE (tenant_id, id) > (:after_tenant, :after_id)
   AND jsonb_path_exists(config, '$.*."$sealed"')
 ORDER BY tenant_id, id
 LIMIT :size;

-- name: replace_seals(tenant_id, gateway_id, known, seals) -> count
-- None where somebody has replaced one of them meanwhile, whose secret is the newer one; all other fields stay.
UPDATE {payment_gateways}
   SET config = config || :seals::jsonb
 WHERE tenant_id = :tenant_id
   AND id = :gateway_id
   AND config @> :known::jsonb;

-- name: gateway_seals() -> SealedCount*
-- scope: all tenants
-- How many rows hold a secret that each key has sealed.
SELECT split_part(s.sealed #>> '{}', '.', 2) AS key_id, count(DISTINCT (g.tenant_id, g.id))::int AS rows
  FROM {payment_gateways} g
 CROSS JOIN jsonb_path_query(g.config, '$.*."$sealed"') AS s (sealed)
 GROUP BY 1
 ORDER BY 1;
