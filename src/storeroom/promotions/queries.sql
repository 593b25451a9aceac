-- Coupons and their uses.
--
-- What a buyer is told of a coupon is read here; whether the buyer gets it is decided by the UPDATE that counts the use,
-- under the lock of the coupon's row. A percentage is read without the zeros that its column adds.

-- name: insert_coupon(tenant_id, id, code, name, discount_type, percentage?, amount?, currency?, scope, product_ids?,
--                     user_ids?, payment_method?, auto_apply, applies_at, minimum_order_amount?,
--                     maximum_discount_amount?, usage_limit?, usage_limit_per_user?, first_order_only, position,
--                     starts_at?, expires_at?, metadata) -> Coupon?
-- No row: the code is taken. Without a start it begins now, by the database's clock.
INSERT INTO {coupons} (tenant_id, id, code, name, discount_type, percentage, amount, currency, scope, product_ids, user_ids,
                       payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount, usage_limit,
                       usage_limit_per_user, first_order_only, position, starts_at, expires_at, metadata)
VALUES (:tenant_id, :id, :code, :name, :discount_type, :percentage, :amount, :currency, :scope, :product_ids, :user_ids,
        :payment_method, :auto_apply, :applies_at, :minimum_order_amount, :maximum_discount_amount, :usage_limit,
        :usage_limit_per_user, :first_order_only, :position, coalesce(:starts_at, now()), :expires_at, :metadata)
    ON CONFLICT (tenant_id, code) DO NOTHING
RETURNING id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
          user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
          usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
          is_active, metadata, created_at, updated_at;

-- name: update_coupon(tenant_id, id, name, discount_type, percentage?, amount?, currency?, scope, product_ids?, user_ids?,
--                     payment_method?, auto_apply, applies_at, minimum_order_amount?, maximum_discount_amount?,
--                     usage_limit?, usage_limit_per_user?, first_order_only, position, starts_at, expires_at?, is_active,
--                     metadata) -> Coupon
-- The code stays, since customers know it, and so does the count of its uses.
UPDATE {coupons}
   SET name = :name,
       discount_type = :discount_type,
       percentage = :percentage,
       amount = :amount,
       currency = :currency,
       scope = :scope,
       product_ids = :product_ids,
       user_ids = :user_ids,
       payment_method = :payment_method,
       auto_apply = :auto_apply,
       applies_at = :applies_at,
       minimum_order_amount = :minimum_order_amount,
       maximum_discount_amount = :maximum_discount_amount,
       usage_limit = :usage_limit,
       usage_limit_per_user = :usage_limit_per_user,
       first_order_only = :first_order_only,
       position = :position,
       starts_at = :starts_at,
       expires_at = :expires_at,
       is_active = :is_active,
       metadata = :metadata,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
RETURNING id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
          user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
          usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
          is_active, metadata, created_at, updated_at;

-- name: deactivate_coupon(tenant_id, code) -> Coupon?
-- The row stays, with its uses: orders name it.
UPDATE {coupons}
   SET is_active = FALSE,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code
RETURNING id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
          user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
          usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
          is_active, metadata, created_at, updated_at;

-- name: coupon(tenant_id, code) -> Coupon?
-- Active or not.
SELECT id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
       user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
       usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
       is_active, metadata, created_at, updated_at
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND code = :code;

-- name: coupon_to_change(tenant_id, code) -> Coupon?
-- Locked, so that two changes of different fields do not undo each other.
SELECT id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
       user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
       usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
       is_active, metadata, created_at, updated_at
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND code = :code
   FOR NO KEY UPDATE;

-- name: typed_coupons(tenant_id, codes) -> Coupon*
-- Those that are active, by idx_coupons_code.
SELECT id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
       user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
       usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
       is_active, metadata, created_at, updated_at
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND code = ANY (:codes)
   AND is_active;

-- name: coupons_page(tenant_id, before?, size) -> Coupon*
-- Newest first, the inactive ones too.
SELECT id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
       user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
       usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
       is_active, metadata, created_at, updated_at
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: active_coupons(tenant_id, valid_now?, before_at?, before_id?, size) -> Coupon*
-- Those that began last first, by idx_coupons_active. With `valid_now` those alone that apply at this instant.
SELECT id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
       user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
       usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
       is_active, metadata, created_at, updated_at
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND is_active = TRUE
   AND :valid_now AND starts_at <= now() AND (expires_at IS NULL OR expires_at > now())     -- if valid_now
   AND starts_at <= :before_at                       -- if before_at
   AND (starts_at, id) < (:before_at, :before_id)    -- if before_id
 ORDER BY starts_at DESC, id DESC
 LIMIT :size;

-- name: expiring_coupons(tenant_id, expires_before, after_at?, after_id?, size) -> Coupon*
-- The next to end first, by idx_coupons_expires. What has ended is no news.
SELECT id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
       user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
       usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
       is_active, metadata, created_at, updated_at
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND is_active
   AND expires_at > now()
   AND expires_at <= :expires_before
   AND expires_at >= :after_at                       -- if after_at
   AND (expires_at, id) > (:after_at, :after_id)     -- if after_id
 ORDER BY expires_at, id
 LIMIT :size;

-- name: coupons_of_product(tenant_id, product_id, before?, size) -> Coupon*
-- Those that list it, whatever became of them, by the GIN index.
SELECT id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
       user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
       usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
       is_active, metadata, created_at, updated_at
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND product_ids @> ARRAY[:product_id::UUID]
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: automatic_coupons(tenant_id, ways, product_id?, size) -> Coupon*
-- What applies now without being typed, in the order in which it takes its part. A coupon that asks for no way to pay
-- goes with each, one that lists no products with each.
SELECT id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
       user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
       usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
       is_active, metadata, created_at, updated_at
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND auto_apply
   AND is_active
   AND starts_at <= now()
   AND (expires_at IS NULL OR expires_at > now())
   AND (usage_limit IS NULL OR usage_count < usage_limit)
   AND (payment_method IS NULL OR payment_method = ANY (:ways::{coupon_payment}[]))
   AND (product_ids IS NULL OR product_ids @> ARRAY[:product_id::UUID])      -- if product_id
 ORDER BY position, code
 LIMIT :size;

-- name: automatic_count(tenant_id) -> int
-- Whenever they apply: there is a limit to how many a checkout has to look at.
SELECT count(*)
  FROM {coupons}
 WHERE tenant_id = :tenant_id
   AND auto_apply
   AND is_active;

-- name: now() -> datetime
-- The clock that starts and ends are compared with.
-- scope: all tenants
SELECT now();

-- name: products_there(tenant_id, product_ids) -> int
SELECT count(*)
  FROM {products}
 WHERE tenant_id = :tenant_id
   AND id = ANY (:product_ids);

-- name: users_there(tenant_id, user_ids) -> int
SELECT count(*)
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = ANY (:user_ids)
   AND deleted_at IS NULL;

-- name: count_use(tenant_id, code) -> Coupon?
-- The WHERE clause is the check: a rival waits here for the row and then tests the committed count again.
UPDATE {coupons}
   SET usage_count = usage_count + 1,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code
   AND is_active
   AND (usage_limit IS NULL OR usage_count < usage_limit)
RETURNING id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
          user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
          usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
          is_active, metadata, created_at, updated_at;

-- name: give_use_back(tenant_id, code) -> Coupon?
-- Of an inactive one too; never below nothing.
UPDATE {coupons}
   SET usage_count = greatest(usage_count - 1, 0),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND code = :code
RETURNING id, code, name, discount_type, trim_scale(percentage) AS percentage, amount, currency, scope, product_ids,
          user_ids, payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount,
          usage_limit, usage_count, usage_limit_per_user, first_order_only, position, starts_at, expires_at,
          is_active, metadata, created_at, updated_at;

-- name: redemptions_page(tenant_id, coupon_id, before?, size) -> Redemption*
-- Newest first, with what each took off its order.
SELECT r.id, r.coupon_id, c.code, r.order_id, o.order_number, r.user_id, r.customer_email,
       coalesce(d.amount, 0) AS amount, r.created_at, r.released_at, o.currency
  FROM {coupon_redemptions} r
  JOIN {coupons} c
    ON c.tenant_id = :tenant_id
   AND c.id = r.coupon_id
  JOIN {orders} o
    ON o.tenant_id = :tenant_id
   AND o.id = r.order_id
  LEFT JOIN {order_discounts} d
    ON d.tenant_id = :tenant_id
   AND d.order_id = r.order_id
   AND d.coupon_id = r.coupon_id
 WHERE r.tenant_id = :tenant_id
   AND r.coupon_id = :coupon_id
   AND r.id < :before                                -- if before
 ORDER BY r.id DESC
 LIMIT :size;

-- name: discounts_of_order(tenant_id, order_id) -> OrderDiscount*
-- In the order in which they took their part.
SELECT code, applies_at, auto_apply, amount, currency
  FROM {order_discounts}
 WHERE tenant_id = :tenant_id
   AND order_id = :order_id
 ORDER BY position;

-- name: orders_before(tenant_id, email) -> int
-- With a guest's e-mail; those that were cancelled do not count.
SELECT count(*)
  FROM {orders}
 WHERE tenant_id = :tenant_id
   AND customer_email = :email
   AND cancelled_at IS NULL;

-- name: orders_of_account(tenant_id, user_id) -> int
-- Its own, and a guest's with the address that it has proved.
SELECT count(*)
  FROM {orders} o
 WHERE o.tenant_id = :tenant_id
   AND o.cancelled_at IS NULL
   AND (o.user_id = :user_id
        OR (o.user_id IS NULL
            AND o.customer_email = (SELECT u.email
                                      FROM {users} u
                                     WHERE u.tenant_id = :tenant_id
                                       AND u.id = :user_id
                                       AND u.email_verified)));

-- name: uses_before(tenant_id, coupon_ids, email) -> UsesBefore*
-- As above; a use that was given back does not count.
SELECT coupon_id, count(*)::INTEGER AS uses
  FROM {coupon_redemptions}
 WHERE tenant_id = :tenant_id
   AND coupon_id = ANY (:coupon_ids)
   AND released_at IS NULL
   AND customer_email = :email
 GROUP BY coupon_id;

-- name: uses_of_account(tenant_id, coupon_ids, user_id) -> UsesBefore*
SELECT r.coupon_id, count(*)::INTEGER AS uses
  FROM {coupon_redemptions} r
 WHERE r.tenant_id = :tenant_id
   AND r.coupon_id = ANY (:coupon_ids)
   AND r.released_at IS NULL
   AND (r.user_id = :user_id
        OR (r.user_id IS NULL
            AND r.customer_email = (SELECT u.email
                                      FROM {users} u
                                     WHERE u.tenant_id = :tenant_id
                                       AND u.id = :user_id
                                       AND u.email_verified)))
 GROUP BY r.coupon_id;
