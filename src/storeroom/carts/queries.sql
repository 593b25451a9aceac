-- Locks are taken in one order, here and at checkout: the account, carts by id, then stock (see inventory). A cart's lines
-- and totals change only under the lock of the cart's row.

-- name: cart(tenant_id, id) -> Cart?
SELECT id, user_id, session_id, status, expires_at <= now() AS expired, currency, subtotal_amount AS subtotal,
       discount_amount AS discount, shipping_amount AS shipping, tax_amount AS tax, total_amount AS total, discount_code,
       shipping_address_id, shipping_method, converted_to_order_id, converted_at, merged_into_cart_id, utm_source,
       utm_medium, utm_campaign, referrer_url, created_at, updated_at, expires_at
  FROM {carts}
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: active_of_user(tenant_id, user_id) -> Cart?
SELECT id, user_id, session_id, status, expires_at <= now() AS expired, currency, subtotal_amount AS subtotal,
       discount_amount AS discount, shipping_amount AS shipping, tax_amount AS tax, total_amount AS total, discount_code,
       shipping_address_id, shipping_method, converted_to_order_id, converted_at, merged_into_cart_id, utm_source,
       utm_medium, utm_campaign, referrer_url, created_at, updated_at, expires_at
  FROM {carts}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND status = 'active';

-- name: active_of_session(tenant_id, session_id) -> Cart?
SELECT id, user_id, session_id, status, expires_at <= now() AS expired, currency, subtotal_amount AS subtotal,
       discount_amount AS discount, shipping_amount AS shipping, tax_amount AS tax, total_amount AS total, discount_code,
       shipping_address_id, shipping_method, converted_to_order_id, converted_at, merged_into_cart_id, utm_source,
       utm_medium, utm_campaign, referrer_url, created_at, updated_at, expires_at
  FROM {carts}
 WHERE tenant_id = :tenant_id
   AND session_id = :session_id
   AND status = 'active';

-- name: active_of_anonymous(tenant_id, anonymous_id) -> Cart?
-- By what analytics and other programs know of a visitor. The newest, should a visitor have come back with a new session.
SELECT id, user_id, session_id, status, expires_at <= now() AS expired, currency, subtotal_amount AS subtotal,
       discount_amount AS discount, shipping_amount AS shipping, tax_amount AS tax, total_amount AS total, discount_code,
       shipping_address_id, shipping_method, converted_to_order_id, converted_at, merged_into_cart_id, utm_source,
       utm_medium, utm_campaign, referrer_url, created_at, updated_at, expires_at
  FROM {carts}
 WHERE tenant_id = :tenant_id
   AND anonymous_id = :anonymous_id
   AND anonymous_id IS NOT NULL
   AND status = 'active'
 ORDER BY id DESC
 LIMIT 1;

-- name: abandoned(tenant_id, before_at?, before_id?, rows) -> Cart*
-- The latest first.
SELECT id, user_id, session_id, status, expires_at <= now() AS expired, currency, subtotal_amount AS subtotal,
       discount_amount AS discount, shipping_amount AS shipping, tax_amount AS tax, total_amount AS total, discount_code,
       shipping_address_id, shipping_method, converted_to_order_id, converted_at, merged_into_cart_id, utm_source,
       utm_medium, utm_campaign, referrer_url, created_at, updated_at, expires_at
  FROM {carts}
 WHERE tenant_id = :tenant_id
   AND status = 'abandoned'
   AND (updated_at, id) < (:before_at, :before_id)   -- if before_at
 ORDER BY updated_at DESC, id DESC
 LIMIT :rows;

-- name: lock_user(tenant_id, user_id) -> UUID?
-- Whoever makes a cart for an account, or merges one into it, does so alone: the unique index of active carts is then the
-- second guard and not the first. Foreign keys do not wait for this lock.
SELECT id
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND deleted_at IS NULL
   FOR NO KEY UPDATE;

-- name: lock_carts(tenant_id, ids) -> LockedCart*
SELECT id, user_id, session_id, status, expires_at <= now() AS expired, currency, discount_code
  FROM {carts}
 WHERE tenant_id = :tenant_id
   AND id = ANY (:ids)
 ORDER BY id
   FOR UPDATE;

-- name: add_user_cart(tenant_id, id, user_id, utm_source?, utm_medium?, utm_campaign?, referrer_url?, domain?) -> UUID?
-- No row: the account has an active cart, or there is no such account.
INSERT INTO {carts} (tenant_id, id, user_id, currency, utm_source, utm_medium, utm_campaign, referrer_url, domain,
                     expires_at)
SELECT :tenant_id, :id::uuid, u.id, t.currency, :utm_source::text, :utm_medium::text, :utm_campaign::text,
       :referrer_url::text, :domain::text, now() + t.cart_lifetime
  FROM {users} u
  JOIN {tenants} t ON t.tenant_id = :tenant_id
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
    ON CONFLICT (tenant_id, user_id) WHERE user_id IS NOT NULL AND status = 'active' DO NOTHING
RETURNING id;

-- name: add_guest_cart(tenant_id, id, session_id, utm_source?, utm_medium?, utm_campaign?, referrer_url?, domain?) -> UUID?
-- No row: the session has an active cart, or there is no such session.
INSERT INTO {carts} (tenant_id, id, session_id, anonymous_id, currency, utm_source, utm_medium, utm_campaign, referrer_url,
                     domain, expires_at)
SELECT :tenant_id, :id::uuid, s.id, s.anonymous_id, t.currency, :utm_source::text, :utm_medium::text, :utm_campaign::text,
       :referrer_url::text, :domain::text, now() + t.cart_lifetime
  FROM {auth_sessions} s
  JOIN {tenants} t ON t.tenant_id = :tenant_id
 WHERE s.tenant_id = :tenant_id
   AND s.id = :session_id
    ON CONFLICT (tenant_id, session_id) WHERE session_id IS NOT NULL AND status = 'active' DO NOTHING
RETURNING id;

-- name: session_exists(tenant_id, session_id) -> bool
SELECT EXISTS (SELECT FROM {auth_sessions} WHERE tenant_id = :tenant_id AND id = :session_id);

-- name: offer(tenant_id, variant_id?, sku?) -> Offer?
-- By the one or the other; the caller names exactly one.
SELECT v.product_id, v.id AS variant_id, v.sku, v.price, v.currency,
       v.is_active AND p.status = 'active' AND p.deleted_at IS NULL AS sellable
  FROM {product_variants} v
  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = v.product_id
 WHERE v.tenant_id = :tenant_id
   AND v.id = :variant_id                     -- if variant_id
   AND v.sku = :sku                           -- if sku
;

-- name: place(tenant_id, cart_id, variant_id, patch_type?, print_name?, print_number?) -> Place
-- What the bounds are tested against, under the cart's lock. At most LINES_MAX rows.
SELECT count(*)::integer AS lines,
       coalesce(sum(quantity) FILTER (WHERE variant_id = :variant_id
                                        AND patch_type IS NOT DISTINCT FROM :patch_type
                                        AND print_name IS NOT DISTINCT FROM :print_name
                                        AND print_number IS NOT DISTINCT FROM :print_number), 0)::integer AS quantity
  FROM {cart_items}
 WHERE tenant_id = :tenant_id
   AND cart_id = :cart_id;

-- name: add_line(tenant_id, id, cart_id, product_id, variant_id, quantity, unit_price, patch_enabled, patch_type?,
--                print_name?, print_number?) -> UUID
-- A second add of the same thing sums the quantities and keeps the price of the first.
INSERT INTO {cart_items} AS i (tenant_id, id, cart_id, product_id, variant_id, quantity, unit_price, patch_enabled, patch_type,
                               print_name, print_number)
VALUES (:tenant_id, :id, :cart_id, :product_id, :variant_id, :quantity, :unit_price, :patch_enabled, :patch_type,
        :print_name, :print_number)
    ON CONFLICT (tenant_id, cart_id, variant_id, patch_type, print_name, print_number) DO UPDATE
   SET quantity = i.quantity + EXCLUDED.quantity, updated_at = EXCLUDED.updated_at
RETURNING id;

-- name: set_line(tenant_id, cart_id, id, quantity) -> count
UPDATE {cart_items}
   SET quantity = :quantity, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND cart_id = :cart_id
   AND id = :id;

-- name: remove_line(tenant_id, cart_id, id) -> count
DELETE FROM {cart_items}
 WHERE tenant_id = :tenant_id
   AND cart_id = :cart_id
   AND id = :id;

-- name: lines(tenant_id, cart_id, id?) -> CartLine*
-- In the order in which they were added, with what the catalogue says today.
SELECT i.id, i.product_id, i.variant_id, v.sku, p.name AS product_name, v.title AS variant_title, i.quantity, i.unit_price,
       i.quantity * i.unit_price AS total, CASE WHEN v.currency = c.currency THEN v.price END AS current_price,
       v.is_active AND p.status = 'active' AND p.deleted_at IS NULL AND v.currency = c.currency AS sellable, i.patch_type,
       i.print_name, i.print_number, i.created_at, c.currency
  FROM {cart_items} i
  JOIN {carts} c ON c.tenant_id = :tenant_id AND c.id = i.cart_id
  JOIN {product_variants} v ON v.tenant_id = :tenant_id AND v.id = i.variant_id
  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = v.product_id
 WHERE i.tenant_id = :tenant_id
   AND i.cart_id = :cart_id
   AND i.id = :id                             -- if id
 ORDER BY i.created_at, i.id;

-- name: discountable(tenant_id, cart_id) -> Discountable
-- What coupons look at; whether there is any that applies by itself, before they are all read.
SELECT c.currency, c.user_id, c.discount_code,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('product_id', i.product_id, 'amount', i.quantity * i.unit_price)
                                  ORDER BY i.id), '[]')
          FROM {cart_items} i
         WHERE i.tenant_id = :tenant_id
           AND i.cart_id = c.id) AS lines,
       EXISTS (SELECT FROM {coupons} k
                WHERE k.tenant_id = :tenant_id
                  AND k.auto_apply
                  AND k.is_active) AS automatic
  FROM {carts} c
 WHERE c.tenant_id = :tenant_id
   AND c.id = :cart_id;

-- name: set_coupon(tenant_id, id, code?)
-- The one that was typed, or none.
UPDATE {carts}
   SET discount_code = :code,
       discount_id = (SELECT k.id FROM {coupons} k WHERE k.tenant_id = :tenant_id AND k.code = :code),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: retotal(tenant_id, id, discount)
-- Derive the totals from the lines, in the transaction that changed them and under the cart's lock. Shipping is the first
-- rate that reaches the address by the method, as at checkout; while neither is chosen it is not known, and 0.
UPDATE {carts} c
   SET subtotal_amount = s.subtotal, discount_amount = :discount, shipping_amount = s.shipping, updated_at = now()
  FROM (SELECT t.subtotal, coalesce(r.amount, 0) AS shipping
          FROM (SELECT coalesce(sum(i.quantity * i.unit_price), 0)::bigint AS subtotal,
                       coalesce(bool_or(v.requires_shipping AND NOT p.is_digital), FALSE) AS ships
                  FROM {cart_items} i
                  JOIN {product_variants} v ON v.tenant_id = :tenant_id AND v.id = i.variant_id
                  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = v.product_id
                 WHERE i.tenant_id = :tenant_id
                   AND i.cart_id = :id) t
          LEFT JOIN LATERAL (
                SELECT CASE WHEN t.subtotal >= q.free_from_amount THEN 0 ELSE q.amount END AS amount
                  FROM {carts} k
                  LEFT JOIN {user_addresses} a ON a.tenant_id = :tenant_id AND a.id = k.shipping_address_id
                  JOIN {shipping_rates} q ON q.tenant_id = :tenant_id AND q.currency = k.currency AND q.is_active
                 WHERE k.tenant_id = :tenant_id
                   AND k.id = :id
                   AND t.ships
                   AND (k.shipping_method IS NOT NULL OR k.shipping_address_id IS NOT NULL)
                   AND q.code = coalesce(k.shipping_method, q.code)
                   AND (a.country_code IS NULL OR q.countries IS NULL OR a.country_code = ANY (q.countries))
                 ORDER BY q.position, q.code
                 LIMIT 1) r ON TRUE) s
 WHERE c.tenant_id = :tenant_id
   AND c.id = :id;

-- name: reprice(tenant_id, cart_id, ids, prices)
-- To the prices that were read and are told, not to those that the catalogue may have got since.
UPDATE {cart_items} i
   SET unit_price = n.price, updated_at = now()
  FROM unnest(:ids::uuid[], :prices::bigint[]) AS n (id, price)
 WHERE i.tenant_id = :tenant_id
   AND i.cart_id = :cart_id
   AND i.id = n.id;

-- name: set_shipping(tenant_id, id, address_id?, method?)
UPDATE {carts}
   SET shipping_address_id = :address_id, shipping_method = :method, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: country_of(tenant_id, id, user_id) -> str?
-- Only an address of the cart's own account.
SELECT country_code
  FROM {user_addresses}
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND user_id = :user_id
   AND deleted_at IS NULL;

-- name: rate_for(tenant_id, currency, method?, country?) -> str?
SELECT code
  FROM {shipping_rates}
 WHERE tenant_id = :tenant_id
   AND currency = :currency
   AND is_active
   AND code = :method                                         -- if method
   AND (countries IS NULL OR :country = ANY (countries))      -- if country
 ORDER BY position, code
 LIMIT 1;

-- name: adopt(tenant_id, id, user_id)
-- A guest's cart becomes the account's: from now on it outlives the session.
UPDATE {carts}
   SET user_id = :user_id, session_id = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: add_up_lines(tenant_id, guest_id, into_id, quantity_max)
-- Of a merge, the first step: what both carts have.
UPDATE {cart_items} i
   SET quantity = least(i.quantity + g.quantity, :quantity_max), updated_at = now()
  FROM {cart_items} g
 WHERE i.tenant_id = :tenant_id
   AND i.cart_id = :into_id
   AND g.tenant_id = :tenant_id
   AND g.cart_id = :guest_id
   AND g.variant_id = i.variant_id
   AND g.patch_type IS NOT DISTINCT FROM i.patch_type
   AND g.print_name IS NOT DISTINCT FROM i.print_name
   AND g.print_number IS NOT DISTINCT FROM i.print_number;

-- name: drop_added_lines(tenant_id, guest_id, into_id)
-- The second: their units are counted in the other cart now.
DELETE FROM {cart_items} g
 USING {cart_items} i
 WHERE g.tenant_id = :tenant_id
   AND g.cart_id = :guest_id
   AND i.tenant_id = :tenant_id
   AND i.cart_id = :into_id
   AND i.variant_id = g.variant_id
   AND i.patch_type IS NOT DISTINCT FROM g.patch_type
   AND i.print_name IS NOT DISTINCT FROM g.print_name
   AND i.print_number IS NOT DISTINCT FROM g.print_number;

-- name: move_lines(tenant_id, guest_id, into_id, lines_max)
-- The third: the rest changes carts, as far as there is room.
UPDATE {cart_items}
   SET cart_id = :into_id, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = ANY (ARRAY(SELECT g.id
                         FROM {cart_items} g
                        WHERE g.tenant_id = :tenant_id
                          AND g.cart_id = :guest_id
                        ORDER BY g.id
                        LIMIT greatest(0, :lines_max - (SELECT count(*)
                                                          FROM {cart_items} i
                                                         WHERE i.tenant_id = :tenant_id
                                                           AND i.cart_id = :into_id))));

-- name: mark_merged(tenant_id, id, into_id, sources) -> count
UPDATE {carts}
   SET status = 'merged', merged_into_cart_id = :into_id, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND status = ANY (:sources);

-- name: mark_abandoned(tenant_id, ids, sources) -> count
UPDATE {carts}
   SET status = 'abandoned', updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = ANY (:ids)
   AND status = ANY (:sources);

-- name: idle(tenant_id, rows) -> UUID*
-- Two short walks along two indexes, instead of one past every active cart.
SELECT id
  FROM ((SELECT c.id
           FROM {carts} c
           JOIN {tenants} t ON t.tenant_id = :tenant_id
          WHERE c.tenant_id = :tenant_id
            AND c.status = 'active'
            AND c.updated_at < now() - t.cart_idle
          ORDER BY c.updated_at
          LIMIT :rows)
         UNION
        (SELECT c.id
           FROM {carts} c
          WHERE c.tenant_id = :tenant_id
            AND c.status = 'active'
            AND c.expires_at <= now()
          ORDER BY c.expires_at
          LIMIT :rows)) AS due
 ORDER BY id
 LIMIT :rows;

-- name: lock_idle(tenant_id, ids) -> UUID*
-- Looked at again under the lock: a cart that somebody has touched meanwhile is not idle, and one that somebody is
-- touching now is left for the next time.
SELECT c.id
  FROM {carts} c
  JOIN {tenants} t ON t.tenant_id = :tenant_id
 WHERE c.tenant_id = :tenant_id
   AND c.id = ANY (:ids)
   AND c.status = 'active'
   AND (c.updated_at < now() - t.cart_idle OR c.expires_at <= now())
 ORDER BY c.id
   FOR UPDATE OF c SKIP LOCKED;

-- name: tenants_with_idle(rows) -> str*
-- scope: all tenants
-- Two walks along two indexes, the longest overdue first; the shortest patience of all tenants ends the first.
SELECT DISTINCT due.tenant_id
  FROM ((SELECT c.tenant_id
           FROM {carts} c
           JOIN {tenants} t ON t.tenant_id = c.tenant_id
          WHERE c.status = 'active'
            AND c.updated_at < now() - (SELECT min(x.cart_idle) FROM {tenants} x)
            AND c.updated_at < now() - t.cart_idle
          ORDER BY c.updated_at
          LIMIT :rows)
         UNION ALL
        (SELECT c.tenant_id
           FROM {carts} c
          WHERE c.status = 'active'
            AND c.expires_at <= now()
          ORDER BY c.expires_at
          LIMIT :rows)) AS due
 ORDER BY due.tenant_id
 LIMIT :rows;
