-- Subscriptions of a tenant, what was paid for them, and what became of each.

-- name: insert_subscription(tenant_id, id, product_id, user_id?, wallet?, stripe_customer_id?, stripe_subscription_id?, payment_method, billing_period, billing_interval, status, anchor_at, period_start, period_end, trial_end?, grace_hours, cancelled_at?, cancel_at_period_end, metadata) -> Subscription
-- The unique constraint decides between two that bring one Stripe id.
INSERT INTO {subscriptions} (tenant_id, id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id,
                             payment_method, billing_period, billing_interval, status, anchor_at, current_period_start,
                             current_period_end, trial_end, grace_hours, cancelled_at, cancel_at_period_end, metadata)
VALUES (:tenant_id, :id, :product_id, :user_id, :wallet, :stripe_customer_id, :stripe_subscription_id, :payment_method,
        :billing_period, :billing_interval, :status, :anchor_at, :period_start, :period_end, :trial_end, :grace_hours,
        :cancelled_at, :cancel_at_period_end, :metadata)
RETURNING id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at;

-- name: product_offer(tenant_id, product_id) -> dict?
-- What a product says of its subscriptions; no row where there is no such product.
SELECT coalesce(p.subscription_config, '{}') AS offer
  FROM {products} p
 WHERE p.tenant_id = :tenant_id
   AND p.id = :product_id
   AND p.deleted_at IS NULL;

-- name: held_before_by_wallet(tenant_id, wallet, product_id) -> bool
-- A trial is given once.
SELECT EXISTS (SELECT
                 FROM {subscriptions} s
                WHERE s.tenant_id = :tenant_id
                  AND s.wallet = :wallet
                  AND s.product_id = :product_id);

-- name: held_before_by_user(tenant_id, user_id, product_id) -> bool
SELECT EXISTS (SELECT
                 FROM {subscriptions} s
                WHERE s.tenant_id = :tenant_id
                  AND s.user_id = :user_id
                  AND s.product_id = :product_id);

-- name: held_before_by_stripe_customer(tenant_id, stripe_customer_id, product_id) -> bool
SELECT EXISTS (SELECT
                 FROM {subscriptions} s
                WHERE s.tenant_id = :tenant_id
                  AND s.stripe_customer_id = :stripe_customer_id
                  AND s.product_id = :product_id);

-- name: lock_holder(key) -> bool
-- Who asks for a trial waits for a rival of the same holder: where there is no row yet, there is none to lock.
SELECT pg_advisory_xact_lock(hashtextextended(:key, 0)) IS NOT NULL AS locked;

-- name: instant() -> datetime
-- The database's clock, which also decides what is over.
SELECT now();

-- name: subscription(tenant_id, id) -> Subscription?
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: lock_subscription(tenant_id, id) -> Subscription?
-- Whoever changes one reads it under its lock; a rival waits here and then sees what was done.
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND id = :id
   FOR NO KEY UPDATE;

-- name: subscription_by_stripe_id(tenant_id, stripe_subscription_id) -> Subscription?
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND stripe_subscription_id = :stripe_subscription_id;

-- name: subscription_of_wallet(tenant_id, wallet, product_id) -> Subscription?
-- The one that gives access now; of several the one that lasts longest. A period that is paid ahead has begun when the
-- last one ended, even before the job has written it down.
SELECT s.id, s.product_id, s.user_id, s.wallet, s.stripe_customer_id, s.stripe_subscription_id, s.payment_method,
       s.billing_period, s.billing_interval, s.status, s.anchor_at, s.current_period_start, s.current_period_end,
       s.trial_end, s.grace_hours, s.cancelled_at, s.cancel_at_period_end, s.metadata, s.created_at, s.updated_at
  FROM {subscriptions} s
 WHERE s.tenant_id = :tenant_id
   AND s.wallet = :wallet
   AND s.product_id = :product_id
   AND s.status IN ('trialing', 'active', 'past_due')
   AND s.current_period_start <= now()
   AND (s.current_period_end > now()
        OR EXISTS (SELECT
                     FROM {subscription_payments} p
                    WHERE p.tenant_id = :tenant_id
                      AND p.subscription_id = s.id
                      AND p.period_start IS NULL))
 ORDER BY s.current_period_end DESC, s.id DESC
 LIMIT 1;

-- name: subscription_of_user(tenant_id, user_id, product_id) -> Subscription?
-- As of a wallet.
SELECT s.id, s.product_id, s.user_id, s.wallet, s.stripe_customer_id, s.stripe_subscription_id, s.payment_method,
       s.billing_period, s.billing_interval, s.status, s.anchor_at, s.current_period_start, s.current_period_end,
       s.trial_end, s.grace_hours, s.cancelled_at, s.cancel_at_period_end, s.metadata, s.created_at, s.updated_at
  FROM {subscriptions} s
 WHERE s.tenant_id = :tenant_id
   AND s.user_id = :user_id
   AND s.product_id = :product_id
   AND s.status IN ('trialing', 'active', 'past_due')
   AND s.current_period_start <= now()
   AND (s.current_period_end > now()
        OR EXISTS (SELECT
                     FROM {subscription_payments} p
                    WHERE p.tenant_id = :tenant_id
                      AND p.subscription_id = s.id
                      AND p.period_start IS NULL))
 ORDER BY s.current_period_end DESC, s.id DESC
 LIMIT 1;

-- name: subscriptions_of_stripe_customer(tenant_id, stripe_customer_id, before?, size) -> Subscription*
-- In whatever state, newest first.
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND stripe_customer_id = :stripe_customer_id
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: subscriptions_of_product(tenant_id, product_id, before?, size) -> Subscription*
-- In whatever state, newest first.
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: subscriptions_of_user(tenant_id, user_id, before?, size) -> Subscription*
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: subscriptions_live(tenant_id, product_id?, before?, size) -> Subscription*
-- What gives access now, newest first.
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND status = ANY(ARRAY['trialing', 'active', 'past_due']::{subscription_status}[])
   AND current_period_start <= now()
   AND current_period_end > now()
   AND product_id = :product_id             -- if product_id
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: subscriptions_of_status(tenant_id, status, before?, size) -> Subscription*
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND status = :status
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;

-- name: subscriptions_expiring(tenant_id, until, after_end, after_id, size) -> Subscription*
-- What ends before an instant, the first to end first; what ends at the instant itself is not among them.
SELECT id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at
  FROM {subscriptions}
 WHERE tenant_id = :tenant_id
   AND status IN ('trialing', 'active', 'past_due')
   AND current_period_end < :until
   AND (current_period_end, id) > (:after_end, :after_id)
 ORDER BY current_period_end, id
 LIMIT :size;

-- name: update_subscription(tenant_id, id, user_id?, wallet?, stripe_customer_id?, stripe_subscription_id?, payment_method, billing_period, billing_interval, anchor_at, trial_end?, grace_hours, metadata) -> Subscription
-- Its row is locked. State and period have statements of their own.
UPDATE {subscriptions}
   SET user_id = :user_id, wallet = :wallet, stripe_customer_id = :stripe_customer_id,
       stripe_subscription_id = :stripe_subscription_id, payment_method = :payment_method, billing_period = :billing_period,
       billing_interval = :billing_interval, anchor_at = :anchor_at, trial_end = :trial_end, grace_hours = :grace_hours,
       metadata = :metadata, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
RETURNING id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at;

-- name: set_status(tenant_id, id, status, sources) -> Subscription?
-- The states it may come from stand in the WHERE clause; no row means it is in none of them.
UPDATE {subscriptions}
   SET status = :status, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND status = ANY(:sources)
RETURNING id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at;

-- name: end_subscription(tenant_id, id) -> Subscription?
-- Cancelled for good, at once. No row where it is already.
UPDATE {subscriptions}
   SET status = 'cancelled', cancelled_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND status <> 'cancelled'
RETURNING id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at;

-- name: set_period(tenant_id, id, period_start, period_end, anchor_at) -> Subscription
-- Its row is locked. Both dates at once, and what was late is no longer.
UPDATE {subscriptions}
   SET status = 'active', current_period_start = :period_start, current_period_end = :period_end, anchor_at = :anchor_at,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
RETURNING id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at;

-- name: set_ending(tenant_id, id, ending) -> Subscription
-- Its row is locked.
UPDATE {subscriptions}
   SET cancel_at_period_end = :ending, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
RETURNING id, product_id, user_id, wallet, stripe_customer_id, stripe_subscription_id, payment_method, billing_period,
       billing_interval, status, anchor_at, current_period_start, current_period_end, trial_end, grace_hours, cancelled_at,
       cancel_at_period_end, metadata, created_at, updated_at;

-- name: renewed_to(tenant_id, subscription_id, period_start, period_end) -> bool
-- Whether it was renewed to this period before: a renewal that is told twice, or late, changes nothing.
SELECT EXISTS (SELECT
                 FROM {subscription_history} h
                WHERE h.tenant_id = :tenant_id
                  AND h.subscription_id = :subscription_id
                  AND h.event = 'renewed'
                  AND h.period_start = :period_start
                  AND h.period_end = :period_end);

-- name: payment_holders(tenant_id, names) -> UUID*
-- The subscriptions that a payment counts for; what was taken before orders were names went by any name of its payment.
SELECT p.subscription_id
  FROM {subscription_payments} p
 WHERE p.tenant_id = :tenant_id
   AND p.payment_reference = ANY(:names);

-- name: order_of_payment(tenant_id, name) -> UUID?
-- The order that a payment belongs to, by its reference or by the signature of the wallet's transaction.
SELECT p.order_id
  FROM {payments} p
 WHERE p.tenant_id = :tenant_id
   AND p.payment_reference = :name
 UNION ALL
SELECT p.order_id
  FROM {payment_transactions} t
  JOIN {payments} p ON p.tenant_id = :tenant_id AND p.id = t.payment_id
 WHERE t.tenant_id = :tenant_id
   AND t.signature = :name
 UNION ALL
SELECT p.order_id
  FROM {payment_transactions_archive} a
  JOIN {payments} p ON p.tenant_id = :tenant_id AND p.id = a.payment_id
 WHERE a.tenant_id = :tenant_id
   AND a.signature = :name
 LIMIT 1;

-- name: payment_names(tenant_id, order_id) -> str*
-- Every name by which a payment of the order goes.
SELECT p.payment_reference
  FROM {payments} p
 WHERE p.tenant_id = :tenant_id
   AND p.order_id = :order_id
 UNION ALL
SELECT p.metadata->>'signature'
  FROM {payments} p
 WHERE p.tenant_id = :tenant_id
   AND p.order_id = :order_id
   AND p.metadata->>'signature' IS NOT NULL;

-- name: order_pays(tenant_id, order_id, product_id, user_id?, wallet?) -> bool
-- Whether the holder's order of the product is paid, all of it, and the money still here. A wallet's order is one that it
-- paid for: its payment says so, and only a verified payment from a wallet writes that.
SELECT EXISTS (SELECT
                 FROM {orders} o
                WHERE o.tenant_id = :tenant_id
                  AND o.id = :order_id
                  AND o.status NOT IN ('cancelled', 'refunded')
                  AND o.amount_paid >= o.total_amount
                  AND EXISTS (SELECT
                                FROM {order_items} i
                               WHERE i.tenant_id = :tenant_id
                                 AND i.order_id = :order_id
                                 AND i.product_id = :product_id)
                  AND (o.user_id = :user_id
                       OR EXISTS (SELECT
                                    FROM {payments} p
                                   WHERE p.tenant_id = :tenant_id
                                     AND p.order_id = :order_id
                                     AND p.metadata->>'wallet' = :wallet)));

-- name: wallet_pays(tenant_id, signature, wallet, resources, product_id) -> bool
-- Whether the wallet's transaction was honoured, lately or long ago, for the product or for the subscription itself, and
-- what has not gone back of it is a price of the product. Where the product has none in that asset it is no price.
SELECT EXISTS (SELECT
                 FROM (SELECT h.wallet, h.resource_id, h.amount, h.amount_asset
                         FROM {payment_transactions} h
                        WHERE h.tenant_id = :tenant_id
                          AND h.signature = :signature
                        UNION ALL
                       SELECT a.wallet, a.resource_id, a.amount, a.amount_asset
                         FROM {payment_transactions_archive} a
                        WHERE a.tenant_id = :tenant_id
                          AND a.signature = :signature) t
                WHERE t.wallet = :wallet
                  AND t.resource_id = ANY(:resources)
                  AND t.amount - (SELECT coalesce(sum(q.amount), 0)
                                    FROM {refund_quotes} q
                                   WHERE q.tenant_id = :tenant_id
                                     AND q.original_purchase_id = :signature
                                     AND q.status IN ('approved', 'processed'))
                      >= (SELECT min(v.crypto_amount)
                            FROM {product_variants} v
                           WHERE v.tenant_id = :tenant_id
                             AND v.product_id = :product_id
                             AND v.is_active
                             AND v.crypto_token = t.amount_asset));

-- name: take_payment(tenant_id, payment_reference, subscription_id, period_start?, period_end?) -> UUID?
-- The first that brings a payment has it; nothing comes back to a second.
INSERT INTO {subscription_payments} (tenant_id, payment_reference, subscription_id, period_start, period_end)
VALUES (:tenant_id, :payment_reference, :subscription_id, :period_start, :period_end)
    ON CONFLICT (tenant_id, payment_reference) DO NOTHING
RETURNING subscription_id;

-- name: waiting_payments(tenant_id, subscription_id) -> int
SELECT count(*)
  FROM {subscription_payments} p
 WHERE p.tenant_id = :tenant_id
   AND p.subscription_id = :subscription_id
   AND p.period_start IS NULL;

-- name: use_payment(tenant_id, subscription_id, period_start, period_end) -> str?
-- The payment that has waited longest pays this period; the subscription's row is locked.
UPDATE {subscription_payments}
   SET period_start = :period_start, period_end = :period_end
 WHERE tenant_id = :tenant_id
   AND payment_reference = (SELECT p.payment_reference
                              FROM {subscription_payments} p
                             WHERE p.tenant_id = :tenant_id
                               AND p.subscription_id = :subscription_id
                               AND p.period_start IS NULL
                             ORDER BY p.created_at, p.payment_reference
                             LIMIT 1)
RETURNING payment_reference;

-- name: add_history(tenant_id, id, subscription_id, event, from_status?, to_status, period_start, period_end, actor_kind, actor_id?) -> count
INSERT INTO {subscription_history} (tenant_id, id, subscription_id, event, from_status, to_status, period_start, period_end,
                                    actor_kind, actor_id)
VALUES (:tenant_id, :id, :subscription_id, :event, :from_status, :to_status, :period_start, :period_end, :actor_kind,
        :actor_id);

-- name: history(tenant_id, subscription_id, size) -> HistoryEntry*
-- The newest first.
SELECT event, from_status, to_status, period_start, period_end, actor_kind, actor_id, created_at
  FROM {subscription_history}
 WHERE tenant_id = :tenant_id
   AND subscription_id = :subscription_id
 ORDER BY id DESC
 LIMIT :size;

-- name: tenants_with_due(size) -> str*
-- scope: all tenants
-- Whose subscriptions have ended their period and await a step. Takes no lock. A provider renews its own; one that shall
-- end is ended whoever collects.
SELECT s.tenant_id
  FROM {subscriptions} s
 WHERE s.status IN ('trialing', 'active', 'past_due')
   AND s.current_period_end <= now()
   AND (s.payment_method <> 'stripe' OR s.cancel_at_period_end)
   AND (s.status <> 'past_due'
        OR s.cancel_at_period_end
        OR s.current_period_end + make_interval(hours => s.grace_hours) <= now())
 GROUP BY s.tenant_id
 LIMIT :size;

-- name: claim_due(tenant_id, size) -> Subscription*
-- One that a rival holds is left to the rival.
SELECT s.id, s.product_id, s.user_id, s.wallet, s.stripe_customer_id, s.stripe_subscription_id, s.payment_method,
       s.billing_period, s.billing_interval, s.status, s.anchor_at, s.current_period_start, s.current_period_end,
       s.trial_end, s.grace_hours, s.cancelled_at, s.cancel_at_period_end, s.metadata, s.created_at, s.updated_at
  FROM {subscriptions} s
 WHERE s.tenant_id = :tenant_id
   AND s.status IN ('trialing', 'active', 'past_due')
   AND s.current_period_end <= now()
   AND (s.payment_method <> 'stripe' OR s.cancel_at_period_end)
   AND (s.status <> 'past_due'
        OR s.cancel_at_period_end
        OR s.current_period_end + make_interval(hours => s.grace_hours) <= now())
 ORDER BY s.current_period_end, s.id
 LIMIT :size
   FOR NO KEY UPDATE SKIP LOCKED;
