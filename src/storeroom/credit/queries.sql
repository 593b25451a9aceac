-- Store credit. Whoever changes a balance holds the account's row first, as the checkout does; so a balance is never
-- waited for by somebody whom its holder waits for.

-- name: lock_account(tenant_id, user_id) -> bool?
-- Whether it is closed. What such an account had coming, it gets all the same.
SELECT deleted_at IS NOT NULL AS closed
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   FOR NO KEY UPDATE;

-- name: balance(tenant_id, user_id, currency) -> int?
SELECT balance
  FROM {store_credits}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND currency = :currency;

-- name: add(tenant_id, user_id, currency, amount, balance_max) -> int?
-- No row: the sum would not fit. Compared so that nothing overflows.
INSERT INTO {store_credits} AS s (tenant_id, user_id, currency, balance)
VALUES (:tenant_id, :user_id, :currency, :amount)
    ON CONFLICT (tenant_id, user_id, currency) DO UPDATE
   SET balance = s.balance + EXCLUDED.balance, updated_at = EXCLUDED.updated_at
 WHERE s.balance <= :balance_max - EXCLUDED.balance
RETURNING balance;

-- name: take(tenant_id, user_id, currency, amount) -> int?
-- The WHERE clause is the check: a rival's taking is waited for, and then what it left is compared.
UPDATE {store_credits}
   SET balance = balance - :amount, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND currency = :currency
   AND balance >= :amount
RETURNING balance;

-- name: insert_entry(tenant_id, id, user_id, currency, amount, reason, order_id?, payment_id?, refund_id?, actor_kind,
--                    actor_id?, note?) -> CreditEntry
INSERT INTO {store_credit_entries} (tenant_id, id, user_id, currency, amount, reason, order_id, payment_id, refund_id,
                                    actor_kind, actor_id, note)
VALUES (:tenant_id, :id, :user_id, :currency, :amount, :reason, :order_id, :payment_id, :refund_id, :actor_kind,
        :actor_id, :note)
RETURNING id, amount, reason, order_id, payment_id, refund_id, actor_kind, actor_id, note, created_at, currency;

-- name: entries(tenant_id, user_id, currency, before?, size) -> CreditEntry*
-- Newest first.
SELECT id, amount, reason, order_id, payment_id, refund_id, actor_kind, actor_id, note, created_at, currency
  FROM {store_credit_entries}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND currency = :currency
   AND id < :before                         -- if before
 ORDER BY id DESC
 LIMIT :size;
