-- What waits to be sent, for a rotation of keys. Sent notices are not opened again, so they are left as they are.

-- name: sealed_notices(after_tenant, after_id, size) -> SealedNotice*
-- scope: all tenants
-- The next rows by key.
SELECT tenant_id, id, payload->>'sealed' AS sealed
  FROM {webhook_queue}
 WHERE (tenant_id, id) > (:after_tenant, :after_id::uuid)
   AND destination IN ('mail', 'sms')
   AND status <> 'success'
 ORDER BY tenant_id, id
 LIMIT :size;

-- name: reseal_notice(tenant_id, id, known, sealed) -> count
-- None where it is no longer what it was. Whoever holds it opens either.
UPDATE {webhook_queue}
   SET payload = jsonb_build_object('sealed', :sealed::text)
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND payload->>'sealed' = :known;

-- name: notice_seals() -> SealedCount*
-- scope: all tenants
-- How many rows each key has sealed.
SELECT split_part(payload->>'sealed', '.', 2) AS key_id, count(*)::int AS rows
  FROM {webhook_queue}
 WHERE destination IN ('mail', 'sms')
   AND status <> 'success'
 GROUP BY 1
 ORDER BY 1;
