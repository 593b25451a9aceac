-- Whoever takes a message locks the record it is about first: of a customer before those of its addresses and orders, then
-- what `flows` locks for the rows here. So two messages about one record follow each other.

-- name: open_record(tenant_id, source, kind, external_id) -> count
-- There is always a row to lock; of two who open it the second waits for the first.
INSERT INTO {source_records} (tenant_id, source, kind, external_id)
VALUES (:tenant_id, :source, :kind, :external_id)
    ON CONFLICT (tenant_id, source, kind, external_id) DO NOTHING;

-- name: lock_record(tenant_id, source, kind, external_id) -> SourceRecord?
SELECT source, kind, external_id, parent_id, local_id, fields, waits_for, changed_at, last_synced_at, created_at, updated_at
  FROM {source_records}
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND kind = :kind
   AND external_id = :external_id
   FOR NO KEY UPDATE;

-- name: record(tenant_id, source, kind, external_id) -> SourceRecord?
SELECT source, kind, external_id, parent_id, local_id, fields, waits_for, changed_at, last_synced_at, created_at, updated_at
  FROM {source_records}
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND kind = :kind
   AND external_id = :external_id;

-- name: keep_record(tenant_id, source, kind, external_id, parent_id?, local_id?, fields, waits_for?, changed_at?) -> count
-- The row is locked.
UPDATE {source_records}
   SET parent_id = :parent_id, local_id = :local_id, fields = :fields, waits_for = :waits_for, changed_at = :changed_at,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND kind = :kind
   AND external_id = :external_id;

-- name: keep_synced(tenant_id, source, kind, external_id, parent_id?, local_id?, fields, waits_for?, changed_at?) -> count
-- The same where the row here agrees with it now.
UPDATE {source_records}
   SET parent_id = :parent_id, local_id = :local_id, fields = :fields, waits_for = :waits_for, changed_at = :changed_at,
       last_synced_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND kind = :kind
   AND external_id = :external_id;

-- name: lock_children(tenant_id, source, parent_id, kind, rows) -> SourceRecord*
-- What belongs to a customer, in key order. Whoever asks holds the customer's record.
SELECT source, kind, external_id, parent_id, local_id, fields, waits_for, changed_at, last_synced_at, created_at, updated_at
  FROM {source_records}
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND parent_id = :parent_id
   AND kind = :kind
 ORDER BY external_id
 LIMIT :rows
   FOR NO KEY UPDATE;

-- name: waiting_children(tenant_id, source, parent_id, rows) -> SourceRecord*
-- Of those, what waits.
SELECT source, kind, external_id, parent_id, local_id, fields, waits_for, changed_at, last_synced_at, created_at, updated_at
  FROM {source_records}
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND parent_id = :parent_id
   AND waits_for IS NOT NULL
 ORDER BY kind, external_id
 LIMIT :rows;

-- name: waiting(tenant_id, source, after_kind?, after_id?, rows) -> SourceRecord*
-- In the order of the key. The condition is that of the index.
SELECT source, kind, external_id, parent_id, local_id, fields, waits_for, changed_at, last_synced_at, created_at, updated_at
  FROM {source_records}
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND waits_for IS NOT NULL
   AND (kind, external_id) > (:after_kind, :after_id)                     -- if after_kind
 ORDER BY kind, external_id
 LIMIT :rows;

-- name: touch_record(tenant_id, source, kind, external_id) -> count
-- It was tried again, in vain.
UPDATE {source_records}
   SET updated_at = now()
 WHERE tenant_id = :tenant_id
   AND source = :source
   AND kind = :kind
   AND external_id = :external_id;

-- name: records_to_try(source, every, rows) -> WaitingRecord*
-- scope: all tenants
-- Those that were tried longest ago. Nothing is claimed: to try twice is no harm, and whoever tries locks the record.
SELECT tenant_id, kind, external_id
  FROM {source_records}
 WHERE source = :source
   AND waits_for IS NOT NULL
   AND updated_at < now() - :every::interval
 ORDER BY updated_at, tenant_id, kind, external_id
 LIMIT :rows;
