-- The configuration of a tenant. Read through a cache, so these run when a key was changed or long not read.

-- name: config(tenant_id, key) -> ConfigRow?
SELECT key, value, is_encrypted, group_name, updated_at
  FROM {store_configs}
 WHERE tenant_id = :tenant_id
   AND key = :key;

-- name: lock_config(tenant_id, key) -> ConfigRow?
-- Two who write one key follow each other, and each sees what the other has left.
SELECT key, value, is_encrypted, group_name, updated_at
  FROM {store_configs}
 WHERE tenant_id = :tenant_id
   AND key = :key
   FOR NO KEY UPDATE;

-- name: configs_after(tenant_id, after, size, group_name?) -> ConfigRow*
SELECT key, value, is_encrypted, group_name, updated_at
  FROM {store_configs}
 WHERE tenant_id = :tenant_id
   AND key > :after
   AND group_name = :group_name                        -- if group_name
 ORDER BY key
 LIMIT :size;

-- name: count_configs(tenant_id) -> int
SELECT count(*)::int
  FROM {store_configs}
 WHERE tenant_id = :tenant_id;

-- name: put_config(tenant_id, key, value, is_encrypted, group_name) -> ConfigRow
-- The clock of the statement and not of its transaction: of two that waited for each other the second is later.
INSERT INTO {store_configs} AS c (tenant_id, key, value, is_encrypted, group_name, updated_at)
VALUES (:tenant_id, :key, :value, :is_encrypted, :group_name, clock_timestamp())
    ON CONFLICT (tenant_id, key) DO UPDATE
   SET value = EXCLUDED.value,
       is_encrypted = EXCLUDED.is_encrypted,
       group_name = EXCLUDED.group_name,
       updated_at = greatest(c.updated_at, EXCLUDED.updated_at)
RETURNING key, value, is_encrypted, group_name, updated_at;

-- name: delete_config(tenant_id, key) -> count
DELETE FROM {store_configs}
 WHERE tenant_id = :tenant_id
   AND key = :key;

-- name: tell(channel, changed)
-- Heard by every process when this transaction commits. A statement of its own: inside one that writes rows it would be
-- sent where nobody listens, once tenants are spread over servers.
SELECT pg_notify(:channel, :changed);

-- Keys ------------------------------------------------------------------------------------------------------------------

-- name: sealed_configs(after_tenant, after_key, size) -> SealedConfig*
-- scope: all tenants
-- The next sealed rows by key.
SELECT tenant_id, key, value
  FROM {store_configs}
 WHERE (tenant_id, key) > (:after_tenant, :after_key)
   AND is_encrypted
 ORDER BY tenant_id, key
 LIMIT :size;

-- name: reseal_config(tenant_id, key, known, value) -> count
-- None where somebody has set it meanwhile. What it says stays, so updated_at does, and no cache has to hear of it.
UPDATE {store_configs}
   SET value = :value
 WHERE tenant_id = :tenant_id
   AND key = :key
   AND value = :known;

-- name: config_seals() -> SealedCount*
-- scope: all tenants
-- How many rows each key has sealed.
SELECT split_part(value, '.', 2) AS key_id, count(*)::int AS rows
  FROM {store_configs}
 WHERE is_encrypted
 GROUP BY 1
 ORDER BY 1;
