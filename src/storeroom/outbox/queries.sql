-- name: enqueue(tenant_id, webhook_id, destination, event_type, payload, entity_type, entity_id) -> count
-- Due at once; the worker sends it when the transaction has committed, and never if it did not.
INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id)
VALUES (:tenant_id, :webhook_id, :destination, :event_type, :payload, :entity_type, :entity_id);
