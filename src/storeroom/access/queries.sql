-- Keys ----------------------------------------------------------------------------------------------------------------

-- name: insert_key(tenant_id, id, name, key_hash, hint, permissions, calls_per_minute?, created_by?, created_by_name?, expires_at?)
INSERT INTO {api_keys} (tenant_id, id, name, key_hash, hint, permissions, calls_per_minute, created_by, created_by_name,
                        expires_at)
VALUES (:tenant_id, :id, :name, :key_hash, :hint, :permissions, :calls_per_minute, :created_by, :created_by_name,
        :expires_at);

-- name: key(tenant_id, key_id) -> ApiKey?
SELECT id, name, hint, permissions, calls_per_minute, created_by, created_by_name, expires_at, last_used_at, revoked_at,
       created_at
  FROM {api_keys}
 WHERE tenant_id = :tenant_id
   AND id = :key_id;

-- name: keys_newest(tenant_id, before?, rows) -> ApiKey*
-- Ids grow with time, so this is newest first. Revoked ones too: somebody asks what that key was.
SELECT id, name, hint, permissions, calls_per_minute, created_by, created_by_name, expires_at, last_used_at, revoked_at,
       created_at
  FROM {api_keys}
 WHERE tenant_id = :tenant_id
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :rows;

-- name: keys_open(tenant_id) -> int
SELECT count(*) AS keys
  FROM {api_keys}
 WHERE tenant_id = :tenant_id
   AND revoked_at IS NULL;

-- name: key_in_use(tenant_id, key_hash, touch_every) -> KeyInUse?
-- One look by a unique index. Looking up the hash takes as long whatever the key is, so time tells nothing of it.
SELECT id, name, permissions, calls_per_minute, coalesce(last_used_at < now() - :touch_every::interval, TRUE) AS stale
  FROM {api_keys}
 WHERE tenant_id = :tenant_id
   AND key_hash = :key_hash
   AND revoked_at IS NULL
   AND (expires_at IS NULL OR expires_at > now());

-- name: touch_key(tenant_id, key_id, touch_every)
-- Of many calls in one minute one writes: the others find the row fresh when they get its lock.
UPDATE {api_keys}
   SET last_used_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :key_id
   AND (last_used_at IS NULL OR last_used_at < now() - :touch_every::interval);

-- name: revoke_key(tenant_id, key_id) -> count
UPDATE {api_keys}
   SET revoked_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :key_id
   AND revoked_at IS NULL;

-- Origins -------------------------------------------------------------------------------------------------------------

-- name: origins(tenant_id) -> str*
SELECT origin
  FROM {allowed_origins}
 WHERE tenant_id = :tenant_id
 ORDER BY origin;

-- name: add_origins(tenant_id, origins)
INSERT INTO {allowed_origins} (tenant_id, origin)
SELECT :tenant_id, given.origin
  FROM unnest(:origins::text[]) AS given (origin)
    ON CONFLICT (tenant_id, origin) DO NOTHING;

-- name: remove_other_origins(tenant_id, origins)
DELETE FROM {allowed_origins}
 WHERE tenant_id = :tenant_id
   AND origin <> ALL (:origins);
