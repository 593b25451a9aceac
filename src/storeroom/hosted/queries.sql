-- Sessions on a provider's page. Rows come as objects, for the mappers in model.py.
--
-- Who changes what arrived locks the session or the transaction first, then its order, then the payment.

-- name: insert_session(tenant_id, id, resource_id, amount, currency, customer_email?, metadata, gateway_id?, payment_id?,
--                      url?, payment_intent?, expires_at?) -> count
-- 0: the session is known already, or its payment has another one.
INSERT INTO {stripe_sessions} (tenant_id, id, resource_id, amount, currency, customer_email, metadata, gateway_id, payment_id,
                               url, payment_intent, expires_at)
VALUES (:tenant_id, :id, :resource_id, :amount, :currency, :customer_email, :metadata, :gateway_id, :payment_id, :url,
        :payment_intent, :expires_at)
    ON CONFLICT DO NOTHING;

-- name: session(tenant_id, id) -> dict?
SELECT to_jsonb(s) AS row
  FROM {stripe_sessions} s
 WHERE s.tenant_id = :tenant_id
   AND s.id = :id;

-- name: session_of_payment(tenant_id, payment_id) -> dict?
SELECT to_jsonb(s) AS row
  FROM {stripe_sessions} s
 WHERE s.tenant_id = :tenant_id
   AND s.payment_id = :payment_id;

-- name: session_of_intent(tenant_id, payment_intent) -> dict?
-- A refund or a dispute names the payment as Stripe does.
SELECT to_jsonb(s) AS row
  FROM {stripe_sessions} s
 WHERE s.tenant_id = :tenant_id
   AND s.payment_intent = :payment_intent
 LIMIT 1;

-- name: lock_session(tenant_id, id) -> dict?
-- Of two messages about one session the second waits here and finds what the first made of it.
SELECT to_jsonb(s) AS row
  FROM {stripe_sessions} s
 WHERE s.tenant_id = :tenant_id
   AND s.id = :id
   FOR NO KEY UPDATE;

-- name: complete_session(tenant_id, id, sources, received_amount?, received_currency?, payment_intent?,
--                        settled_payment_id?, remark?) -> count
UPDATE {stripe_sessions}
   SET status = 'completed',
       received_amount = :received_amount,
       received_currency = :received_currency,
       payment_intent = coalesce(:payment_intent, payment_intent),
       settled_payment_id = :settled_payment_id,
       remark = :remark,
       completed_at = now(),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND status = ANY(:sources);

-- name: keep_arrival(tenant_id, id, received_amount, received_currency, payment_intent?, settled_payment_id?, remark?) -> count
-- Money of a session that had expired: it stays expired, and what came is not lost.
UPDATE {stripe_sessions}
   SET received_amount = :received_amount,
       received_currency = :received_currency,
       payment_intent = coalesce(:payment_intent, payment_intent),
       settled_payment_id = :settled_payment_id,
       remark = :remark,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND received_amount IS NULL;

-- name: expire_session(tenant_id, id, sources, remark?) -> count
UPDATE {stripe_sessions}
   SET status = 'expired',
       remark = :remark,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND status = ANY(:sources);

-- name: sessions_newest(tenant_id, resource_id?, status?, before_at?, before_id?, rows) -> dict*
SELECT to_jsonb(s) AS row
  FROM {stripe_sessions} s
 WHERE s.tenant_id = :tenant_id
   AND s.resource_id = :resource_id                      -- if resource_id
   AND s.status = :status                                -- if status
   AND (s.created_at, s.id) < (:before_at, :before_id)   -- if before_id
 ORDER BY s.created_at DESC, s.id DESC
 LIMIT :rows;

-- name: tenants_with_open_sessions(older_than, poll_every, size) -> str*
-- scope: all tenants
-- Who has sessions of which Stripe did not tell: once a while after they opened, and when their time is over.
SELECT tenant_id
  FROM {stripe_sessions}
 WHERE status = 'pending'
   AND gateway_id IS NOT NULL
   AND (expires_at <= now() OR (polled_at IS NULL AND created_at <= now() - :older_than::interval))
   AND (polled_at IS NULL OR polled_at <= now() - :poll_every::interval)
 GROUP BY tenant_id
 LIMIT :size;

-- name: claim_open_sessions(tenant_id, older_than, poll_every, size) -> str*
-- Each is asked about once in `poll_every`, by whichever worker comes first.
UPDATE {stripe_sessions}
   SET polled_at = now()
 WHERE tenant_id = :tenant_id
   AND id = ANY(ARRAY(SELECT d.id
                        FROM {stripe_sessions} d
                       WHERE d.tenant_id = :tenant_id
                         AND d.status = 'pending'
                         AND d.gateway_id IS NOT NULL
                         AND (d.expires_at <= now()
                              OR (d.polled_at IS NULL AND d.created_at <= now() - :older_than::interval))
                         AND (d.polled_at IS NULL OR d.polled_at <= now() - :poll_every::interval)
                       ORDER BY d.expires_at
                       LIMIT :size
                         FOR NO KEY UPDATE SKIP LOCKED))
RETURNING id;

-- name: insert_transaction(tenant_id, id, legacy_id?, order_id?, payment_id?, order_ref_id?, order_increment_id?,
--                          transaction_reference?, gateway_id?, merchant_id?, session_id, session_version?,
--                          success_indicator?, amount, currency, retry_of?, return_url?, expires_at?, domain_id?) -> count
INSERT INTO {mpgs_transactions} (tenant_id, id, legacy_id, order_id, payment_id, order_ref_id, order_increment_id,
                                 transaction_reference, gateway_id, merchant_id, session_id, session_version,
                                 success_indicator, amount, currency, retry_of, return_url, expires_at, domain_id)
VALUES (:tenant_id, :id, :legacy_id, :order_id, :payment_id, :order_ref_id, :order_increment_id, :transaction_reference,
        :gateway_id, :merchant_id, :session_id, :session_version, :success_indicator, :amount, :currency, :retry_of,
        :return_url, :expires_at, :domain_id);

-- name: transaction(tenant_id, id) -> dict?
SELECT to_jsonb(t) - 'success_indicator' AS row
  FROM {mpgs_transactions} t
 WHERE t.tenant_id = :tenant_id
   AND t.id = :id;

-- name: transaction_of_session(tenant_id, session_id) -> dict?
SELECT to_jsonb(t) - 'success_indicator' AS row
  FROM {mpgs_transactions} t
 WHERE t.tenant_id = :tenant_id
   AND t.session_id = :session_id;

-- name: transaction_of_payment(tenant_id, payment_id) -> dict?
SELECT to_jsonb(t) - 'success_indicator' AS row
  FROM {mpgs_transactions} t
 WHERE t.tenant_id = :tenant_id
   AND t.payment_id = :payment_id;

-- name: lock_transaction(tenant_id, session_id) -> dict?
-- With what the return must bring. Of five returns at once four wait here and find the transaction captured.
SELECT to_jsonb(t) AS row
  FROM {mpgs_transactions} t
 WHERE t.tenant_id = :tenant_id
   AND t.session_id = :session_id
   FOR NO KEY UPDATE;

-- name: indicator_of(tenant_id, session_id) -> str?
-- What the return must bring; to tell, before anybody is asked, whether it is worth asking.
SELECT t.success_indicator
  FROM {mpgs_transactions} t
 WHERE t.tenant_id = :tenant_id
   AND t.session_id = :session_id;

-- name: update_transaction(tenant_id, id, payment_status, order_status?, gateway_code?, gateway_transaction_id?,
--                          acquirer_code?, authorization_code?, card_brand?, card_last4?, three_ds_status?,
--                          transaction_receipt?, failure_reason?, raw_response?) -> count
-- What the gateway leaves out stays as it was.
UPDATE {mpgs_transactions}
   SET payment_status = :payment_status,
       order_status = coalesce(:order_status, order_status),
       gateway_code = coalesce(:gateway_code, gateway_code),
       gateway_transaction_id = coalesce(:gateway_transaction_id, gateway_transaction_id),
       acquirer_code = coalesce(:acquirer_code, acquirer_code),
       authorization_code = coalesce(:authorization_code, authorization_code),
       card_brand = coalesce(:card_brand, card_brand),
       card_last4 = coalesce(:card_last4, card_last4),
       three_ds_status = coalesce(:three_ds_status, three_ds_status),
       transaction_receipt = coalesce(:transaction_receipt, transaction_receipt),
       failure_reason = coalesce(:failure_reason, failure_reason),
       raw_response = coalesce(:raw_response, raw_response),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: keep_indicator(tenant_id, id, result_indicator) -> count
-- As it first came; the one that fits replaces one that does not, and then stays for good.
UPDATE {mpgs_transactions}
   SET result_indicator = :result_indicator,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND (result_indicator IS NULL OR success_indicator = :result_indicator)
   AND result_indicator IS DISTINCT FROM success_indicator;

-- name: mark_captured(tenant_id, id, received_amount, received_currency, settled_payment_id?) -> count
UPDATE {mpgs_transactions}
   SET received_amount = :received_amount,
       received_currency = :received_currency,
       settled_payment_id = :settled_payment_id,
       paid_at = now(),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND paid_at IS NULL;

-- name: transactions_newest(tenant_id, session_id?, order_id?, transaction_reference?, result_indicator?, status?, before?,
--                           rows) -> dict*
SELECT to_jsonb(t) - 'success_indicator' AS row
  FROM {mpgs_transactions} t
 WHERE t.tenant_id = :tenant_id
   AND t.session_id = :session_id                            -- if session_id
   AND t.order_id = :order_id                                -- if order_id
   AND t.transaction_reference = :transaction_reference      -- if transaction_reference
   AND t.result_indicator = :result_indicator                -- if result_indicator
   AND t.payment_status = :status                            -- if status
   AND t.id < :before                                        -- if before
 ORDER BY t.id DESC
 LIMIT :rows;

-- name: transactions_counted(tenant_id, session_id?, order_id?, transaction_reference?, result_indicator?, status?) -> int
SELECT count(*)
  FROM {mpgs_transactions} t
 WHERE t.tenant_id = :tenant_id
   AND t.session_id = :session_id                            -- if session_id
   AND t.order_id = :order_id                                -- if order_id
   AND t.transaction_reference = :transaction_reference      -- if transaction_reference
   AND t.result_indicator = :result_indicator                -- if result_indicator
   AND t.payment_status = :status                            -- if status
;

-- name: tenants_with_open_transactions(older_than, poll_every, size) -> str*
-- scope: all tenants
-- Who has transactions of which nothing was heard; by idx_mpgs_transactions_open.
SELECT tenant_id
  FROM {mpgs_transactions}
 WHERE payment_status IN ('initiated', 'pending', 'authorized')
   AND gateway_id IS NOT NULL
   AND created_at <= now() - :older_than::interval
   AND (polled_at IS NULL OR polled_at <= now() - :poll_every::interval)
 GROUP BY tenant_id
 LIMIT :size;

-- name: claim_open_transactions(tenant_id, status, older_than, poll_every, size) -> UUID*
-- As claim_open_sessions, one status at a time, the oldest first.
UPDATE {mpgs_transactions}
   SET polled_at = now()
 WHERE tenant_id = :tenant_id
   AND id = ANY(ARRAY(SELECT d.id
                        FROM {mpgs_transactions} d
                       WHERE d.tenant_id = :tenant_id
                         AND d.payment_status = :status
                         AND d.gateway_id IS NOT NULL
                         AND d.created_at <= now() - :older_than::interval
                         AND (d.polled_at IS NULL OR d.polled_at <= now() - :poll_every::interval)
                       ORDER BY d.created_at
                       LIMIT :size
                         FOR NO KEY UPDATE SKIP LOCKED))
RETURNING id;
