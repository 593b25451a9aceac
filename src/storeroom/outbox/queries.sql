-- name: enqueue(tenant_id, webhook_id, destination, event_type, payload, entity_type, entity_id, next_attempt_at?) -> count
-- Due at once unless a time is given, and queued once under one id; the worker sends it when the transaction has committed, and
-- never if it did not.
INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id, next_attempt_at)
VALUES (:tenant_id, :webhook_id, :destination, :event_type, :payload, :entity_type, :entity_id,
        coalesce(:next_attempt_at, now()))
    ON CONFLICT DO NOTHING;
