-- Locks are taken in one order, here and at checkout: the cart, then stock rows by variant_id, then reservations.
-- Whoever changes a reservation holds the lock of its stock row, so two of them never meet at the reservation itself.

-- name: level(tenant_id, variant_id) -> StockLevel?
-- A variant that nobody ever counted has no row yet: none on hand, none reserved.
SELECT v.id AS variant_id, v.product_id, v.sku, v.stock_policy, v.backorder_limit, v.low_stock_threshold,
       coalesce(s.on_hand, 0) AS on_hand, coalesce(s.reserved, 0) AS reserved,
       coalesce(s.on_hand - s.reserved, 0) AS available
  FROM {product_variants} v
  LEFT JOIN {stock_levels} s ON s.tenant_id = :tenant_id AND s.variant_id = v.id
 WHERE v.tenant_id = :tenant_id
   AND v.id = :variant_id;

-- name: levels(tenant_id, after?, variant_ids?, rows) -> StockLevel*
-- In the order of the key; of all variants, or of those that are named.
SELECT v.id AS variant_id, v.product_id, v.sku, v.stock_policy, v.backorder_limit, v.low_stock_threshold,
       coalesce(s.on_hand, 0) AS on_hand, coalesce(s.reserved, 0) AS reserved,
       coalesce(s.on_hand - s.reserved, 0) AS available
  FROM {product_variants} v
  LEFT JOIN {stock_levels} s ON s.tenant_id = :tenant_id AND s.variant_id = v.id
 WHERE v.tenant_id = :tenant_id
   AND v.id > :after                          -- if after
   AND v.id = ANY (:variant_ids)              -- if variant_ids
 ORDER BY v.id
 LIMIT :rows;

-- name: low_stock(tenant_id, after?, rows) -> StockLevel*
-- At or below the threshold, of what is tracked and could be sold.
SELECT v.id AS variant_id, v.product_id, v.sku, v.stock_policy, v.backorder_limit, v.low_stock_threshold,
       coalesce(s.on_hand, 0) AS on_hand, coalesce(s.reserved, 0) AS reserved,
       coalesce(s.on_hand - s.reserved, 0) AS available
  FROM {product_variants} v
  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = v.product_id
  LEFT JOIN {stock_levels} s ON s.tenant_id = :tenant_id AND s.variant_id = v.id
 WHERE v.tenant_id = :tenant_id
   AND v.id > :after                          -- if after
   AND v.is_active
   AND v.stock_policy <> 'untracked'
   AND p.deleted_at IS NULL
   AND coalesce(s.on_hand - s.reserved, 0) <= v.low_stock_threshold
 ORDER BY v.id
 LIMIT :rows;

-- name: oversold(tenant_id, after?, rows) -> StockLevel*
-- More is promised than the policy allows: somebody counted fewer, or units broke. Units on backorder are not oversold.
SELECT v.id AS variant_id, v.product_id, v.sku, v.stock_policy, v.backorder_limit, v.low_stock_threshold,
       s.on_hand, s.reserved, s.on_hand - s.reserved AS available
  FROM {stock_levels} s
  JOIN {product_variants} v ON v.tenant_id = :tenant_id AND v.id = s.variant_id
 WHERE s.tenant_id = :tenant_id
   AND s.variant_id > :after                  -- if after
   AND s.reserved > s.on_hand
   AND (v.stock_policy = 'deny' OR (v.stock_policy = 'backorder' AND s.reserved > s.on_hand + v.backorder_limit))
 ORDER BY s.variant_id
 LIMIT :rows;

-- name: lock_cart(tenant_id, cart_id) -> str?
-- The first lock of everything that concerns a cart's reservations; says what the cart is now.
SELECT CASE WHEN status = 'active' AND expires_at <= now() THEN 'expired' ELSE status::text END
  FROM {carts}
 WHERE tenant_id = :tenant_id
   AND id = :cart_id
   FOR UPDATE;

-- name: lock_levels(tenant_id, variant_ids) -> LockedLevel*
-- In key order, so that two who want the same rows queue up instead of deadlocking.
SELECT s.variant_id, v.sku, v.stock_policy, v.backorder_limit, s.on_hand, s.reserved
  FROM {stock_levels} s
  JOIN {product_variants} v ON v.tenant_id = :tenant_id AND v.id = s.variant_id
 WHERE s.tenant_id = :tenant_id
   AND s.variant_id = ANY (:variant_ids)
 ORDER BY s.variant_id
   FOR UPDATE OF s;

-- name: open_levels(tenant_id, variant_ids)
-- The stock rows of variants that have none yet.
INSERT INTO {stock_levels} (tenant_id, variant_id)
SELECT :tenant_id, v.id
  FROM {product_variants} v
 WHERE v.tenant_id = :tenant_id
   AND v.id = ANY (:variant_ids)
 ORDER BY v.id
    ON CONFLICT (tenant_id, variant_id) DO NOTHING;

-- name: hold(tenant_id, id, variant_id, cart_id?, quantity, hold_for?) -> Reservation?
-- Set units aside if the policy allows it; no row means too few, untracked, or no stock row.
-- The WHERE clause is the check: a rival waits here for the row lock and then tests the committed row again, so one unit
-- cannot be promised twice. The reservation is written from the row that was taken, never without it.
WITH taken AS (
    UPDATE {stock_levels} s
       SET reserved = s.reserved + :quantity
      FROM {product_variants} v
     WHERE s.tenant_id = :tenant_id
       AND s.variant_id = :variant_id
       AND v.tenant_id = :tenant_id
       AND v.id = s.variant_id
       AND ((v.stock_policy = 'deny' AND s.on_hand - s.reserved >= :quantity)
            OR (v.stock_policy = 'backorder' AND v.backorder_limit IS NULL)
            OR (v.stock_policy = 'backorder' AND s.on_hand - s.reserved + v.backorder_limit >= :quantity))
    RETURNING s.variant_id)
INSERT INTO {inventory_reservations} (tenant_id, id, variant_id, cart_id, quantity, expires_at)
SELECT :tenant_id, :id::uuid, taken.variant_id, :cart_id::uuid, :quantity,
       now() + coalesce(:hold_for::interval, t.reservation_hold)
  FROM taken
  JOIN {tenants} t ON t.tenant_id = :tenant_id
RETURNING id, variant_id, cart_id, quantity, status, expires_at, order_id, created_at;

-- name: reservation(tenant_id, id) -> Reservation?
SELECT id, variant_id, cart_id, quantity, status, expires_at, order_id, created_at
  FROM {inventory_reservations}
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: active_for_cart(tenant_id, cart_id, rows) -> Reservation*
-- What still holds: not given back, not converted, and not past its time.
SELECT id, variant_id, cart_id, quantity, status, expires_at, order_id, created_at
  FROM {inventory_reservations}
 WHERE tenant_id = :tenant_id
   AND cart_id = :cart_id
   AND status = 'active'
   AND expires_at > now()
 ORDER BY created_at DESC, id DESC
 LIMIT :rows;

-- name: held_by_carts(tenant_id, cart_ids) -> Held*
-- Every reservation whose units still count in `reserved`, whether or not its time is up.
SELECT id, variant_id, quantity
  FROM {inventory_reservations}
 WHERE tenant_id = :tenant_id
   AND cart_id = ANY (:cart_ids)
   AND status = 'active';

-- name: expired(tenant_id, variant_ids?, rows) -> Held*
-- Half open: at its very instant a reservation has expired.
SELECT id, variant_id, quantity
  FROM {inventory_reservations}
 WHERE tenant_id = :tenant_id
   AND status = 'active'
   AND expires_at <= now()
   AND variant_id = ANY (:variant_ids)        -- if variant_ids
 ORDER BY expires_at, id
 LIMIT :rows;

-- name: tenants_with_expired(rows) -> str*
-- scope: all tenants
SELECT tenant_id
  FROM {inventory_reservations}
 WHERE status = 'active'
   AND expires_at <= now()
 GROUP BY tenant_id
 ORDER BY tenant_id
 LIMIT :rows;

-- name: demand_of_cart(tenant_id, cart_id) -> Demand*
-- Two lines of one variant (a printed name makes another line) are one demand.
SELECT i.variant_id, sum(i.quantity)::integer AS quantity
  FROM {cart_items} i
  JOIN {product_variants} v ON v.tenant_id = :tenant_id AND v.id = i.variant_id
 WHERE i.tenant_id = :tenant_id
   AND i.cart_id = :cart_id
   AND v.stock_policy <> 'untracked'
 GROUP BY i.variant_id
 ORDER BY i.variant_id;

-- name: release(tenant_id, ids, sources) -> int
-- Give units back once: only what the status test moves is subtracted. The caller holds the locks of the stock rows.
WITH released AS (
    UPDATE {inventory_reservations}
       SET status = 'released', updated_at = now()
     WHERE tenant_id = :tenant_id
       AND id = ANY (:ids)
       AND status = ANY (:sources)
    RETURNING variant_id, quantity),
given AS (
    UPDATE {stock_levels} s
       SET reserved = s.reserved - r.quantity
      FROM (SELECT variant_id, sum(quantity)::integer AS quantity FROM released GROUP BY variant_id) r
     WHERE s.tenant_id = :tenant_id
       AND s.variant_id = r.variant_id
    RETURNING s.variant_id)
SELECT count(*)::integer FROM released;

-- name: convert(tenant_id, ids, order_id?, sources) -> count
-- The units stay in `reserved`: they pass from the buyer's hold to the order.
UPDATE {inventory_reservations}
   SET status = 'converted', order_id = :order_id, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = ANY (:ids)
   AND status = ANY (:sources);

-- name: move(tenant_id, id, variant_id, kind, by, units_max, reason?, order_id?, actor_kind, actor_id?) -> StockMovement?
-- Change what is on the shelf and say why, in one statement; no row means that it would leave the range.
-- Dated by the clock and not by now(): a transaction that waited here for the row began earlier than the one before it.
WITH changed AS (
    UPDATE {stock_levels}
       SET on_hand = on_hand + :by
     WHERE tenant_id = :tenant_id
       AND variant_id = :variant_id
       AND on_hand + :by BETWEEN 0 AND :units_max
    RETURNING variant_id, on_hand)
INSERT INTO {stock_movements} (tenant_id, id, variant_id, kind, quantity, on_hand_after, reason, order_id, actor_kind, actor_id,
                               created_at)
SELECT :tenant_id, :id::uuid, variant_id, :kind::{movement_kind}, :by, on_hand, :reason::text, :order_id::uuid, :actor_kind::text,
       :actor_id::uuid, clock_timestamp()
  FROM changed
RETURNING id, variant_id, kind, quantity, on_hand_after, reason, order_id, actor_kind, actor_id, created_at;

-- name: movements(tenant_id, variant_id, before_at?, before_id?, rows) -> StockMovement*
-- Newest first.
SELECT id, variant_id, kind, quantity, on_hand_after, reason, order_id, actor_kind, actor_id, created_at
  FROM {stock_movements}
 WHERE tenant_id = :tenant_id
   AND variant_id = :variant_id
   AND (created_at, id) < (:before_at, :before_id)   -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :rows;

-- name: set_policy(tenant_id, variant_id, policy, backorder_limit?) -> count
-- The two columns of a variant that say how its stock is sold; the rest of the row is the catalogue's.
UPDATE {product_variants}
   SET stock_policy = :policy, backorder_limit = :backorder_limit, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :variant_id;
