-- What was there before an action and what is there after it: the rows of other rooms, read as they are. Where an action
-- locks this row first, so does the look before it, and nothing can change between the two. Where it locks another row
-- first, the look does not lock at all: an order of locks that is nobody else's would make circles.

-- name: address(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {user_addresses} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id;

-- name: batch(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {product_batches} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id;

-- name: category(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {product_categories} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id;

-- name: order(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {orders} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id
   FOR NO KEY UPDATE;

-- name: payment_method(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {payment_methods} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id
   FOR NO KEY UPDATE;

-- name: product(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {products} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id
   FOR NO KEY UPDATE;

-- name: shipping_rate(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {shipping_rates} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id
   FOR NO KEY UPDATE;

-- name: user(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {users} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id
   FOR NO KEY UPDATE;

-- name: variant(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {product_variants} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id;

-- name: profile(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {user_profiles} r
 WHERE r.tenant_id = :tenant_id
   AND r.user_id = :id;

-- name: stock(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {stock_levels} r
 WHERE r.tenant_id = :tenant_id
   AND r.variant_id = :id
   FOR UPDATE;

-- name: lock_order_of(tenant_id, payment_id) -> UUID?
-- Payments lock their order first; asked before `payment`, in a statement of its own, which then sees the last commit.
SELECT o.id
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.id = (SELECT p.order_id FROM {payments} p WHERE p.tenant_id = :tenant_id AND p.id = :payment_id)
   FOR NO KEY UPDATE;

-- name: payment(tenant_id, id) -> dict?
SELECT to_jsonb(r) AS row
  FROM {payments} r
 WHERE r.tenant_id = :tenant_id
   AND r.id = :id;

-- name: record(tenant_id, id, actor_kind, user_id?, user_email?, user_role?, action, resource_type, resource_id?, old_values?, new_values?, ip_address?, user_agent?, request_id?, error_message?) -> count
-- The entry, and the note that no seal holds it yet, in one round trip. Nothing is looked up and no row is shared, so
-- writers never wait for each other here.
WITH entry AS (
    INSERT INTO {audit_logs} (tenant_id, id, actor_kind, user_id, user_email, user_role, action, resource_type, resource_id,
                              old_values, new_values, ip_address, user_agent, request_id, success, error_message)
    VALUES (:tenant_id, :id, :actor_kind, :user_id, :user_email, :user_role, :action, :resource_type, :resource_id,
            :old_values, :new_values, :ip_address, :user_agent, :request_id, :error_message::text IS NULL, :error_message)
    RETURNING tenant_id, id, created_at
)
INSERT INTO {audit_unsealed} (tenant_id, audit_id, row_created_at)
SELECT e.tenant_id, e.id, e.created_at
  FROM entry e
 WHERE e.tenant_id = :tenant_id;

-- name: entries(tenant_id, user_id?, resource_type?, resource_id?, action?, since?, until?, before_at?, before_id?, size) -> Entry*
SELECT id, actor_kind, user_id, user_email, user_role, action, resource_type, resource_id, old_values, new_values,
       host(ip_address) AS ip_address, user_agent, request_id, success, error_message, created_at
  FROM {audit_logs}
 WHERE tenant_id = :tenant_id
   AND created_at >= :since                          -- if since
   AND created_at < :until                           -- if until
   AND user_id = :user_id                            -- if user_id
   AND (resource_type, resource_id) = (:resource_type, :resource_id)  -- if resource_id
   AND action = :action                              -- if action
   AND (created_at, id) < (:before_at, :before_id)   -- if before_id
 ORDER BY created_at DESC, id DESC
 LIMIT :size;

-- name: tenants_with_unsealed(size) -> str*
-- scope: all tenants
SELECT DISTINCT tenant_id
  FROM {audit_unsealed}
 ORDER BY tenant_id
 LIMIT :size;

-- name: alone(key) -> bool
-- A chain has one end, so one worker at a time adds to it. Another does not wait: it has other tenants to seal.
SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0)) AS alone;

-- name: last_seal(tenant_id) -> Link?
SELECT number, hash
  FROM {audit_seals}
 WHERE tenant_id = :tenant_id
 ORDER BY number DESC
 LIMIT 1;

-- name: take_unsealed(tenant_id, size) -> Unsealed*
-- What commits while this runs is taken by the next seal.
DELETE FROM {audit_unsealed}
 WHERE tenant_id = :tenant_id
   AND audit_id = ANY (ARRAY(SELECT u.audit_id
                               FROM {audit_unsealed} u
                              WHERE u.tenant_id = :tenant_id
                              ORDER BY u.audit_id
                              LIMIT :size
                                FOR UPDATE SKIP LOCKED))
RETURNING audit_id, row_created_at;

-- name: row_hashes(tenant_id, ids, first_at, last_at) -> Hashed*
SELECT h.id, h.row_hash
  FROM {audit_row_hashes} h
 WHERE h.tenant_id = :tenant_id
   AND h.id = ANY (:ids)
   AND h.created_at BETWEEN :first_at AND :last_at;

-- name: seal(tenant_id, number, previous_hash, audit_ids, rows_created_at, row_hashes, hash) -> count
INSERT INTO {audit_seals} (tenant_id, number, previous_hash, audit_ids, rows_created_at, row_hashes, hash)
VALUES (:tenant_id, :number, :previous_hash, :audit_ids, :rows_created_at, :row_hashes, :hash);
