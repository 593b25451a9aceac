-- name: enqueue(tenant_id, webhook_id, destination, event_type, payload, entity_type, entity_id, next_attempt_at?) -> count
-- Due at once unless a time is given, and queued once under one id; the worker sends it when the transaction has committed, and
-- never if it did not.
INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id, next_attempt_at)
VALUES (:tenant_id, :webhook_id, :destination, :event_type, :payload, :entity_type, :entity_id,
        coalesce(:next_attempt_at, now()))
    ON CONFLICT DO NOTHING;

-- name: enqueue_many(tenant_id, entity_type, rows) -> count
INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id)
SELECT :tenant_id, r.id, 'webhooks', r.event_type, r.payload, :entity_type, r.entity_id
  FROM jsonb_to_recordset(:rows) AS r (id uuid, event_type text, entity_id uuid, payload jsonb);

-- name: enqueue_missing(tenant_id, destination, event_type, entity_type, ids, entity_ids) -> count
-- Asked anew for each, in a statement that began after the caller held their rows.
INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id)
SELECT :tenant_id, t.id, :destination, :event_type, '{}', :entity_type, t.entity_id
  FROM unnest(:ids::uuid[], :entity_ids::uuid[]) AS t (id, entity_id)
 WHERE NOT EXISTS (SELECT FROM {webhook_queue} q
                    WHERE q.tenant_id = :tenant_id
                      AND q.entity_type = :entity_type
                      AND q.entity_id = t.entity_id
                      AND q.destination = :destination
                      AND q.status IN ('pending', 'processing'));
