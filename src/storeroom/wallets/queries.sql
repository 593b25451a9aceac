-- Payments from wallets, the accounts where they count, and the offers that they pay.

-- The replay ledger ---------------------------------------------------------------------------------------------------

-- name: record_payment(tenant_id, signature, resource_id, wallet, amount, asset, account, metadata) -> Recording
-- One round trip tells the first from a replay. A rival with the same signature waits at the key of payment_signatures
-- for our commit and then claims nothing; so does whoever comes when the payment has long been archived, since that row
-- stays. What was not claimed is not recorded.
WITH ours AS (
    SELECT a.id
      FROM {receiving_accounts} a
     WHERE a.tenant_id = :tenant_id
       AND a.asset = :asset
       AND a.address = :account
       AND a.is_active),
claimed AS (
    INSERT INTO {payment_signatures} (tenant_id, signature)
    SELECT :tenant_id, :signature
      FROM ours
        ON CONFLICT (tenant_id, signature) DO NOTHING
    RETURNING signature),
recorded AS (
    INSERT INTO {payment_transactions} (tenant_id, signature, resource_id, wallet, amount, amount_asset, account, metadata)
    SELECT :tenant_id, c.signature, :resource_id, :wallet, :amount, :asset, :account, :metadata
      FROM claimed c
    RETURNING signature)
SELECT EXISTS (SELECT FROM recorded) AS first, EXISTS (SELECT FROM ours) AS counts;

-- name: record_vouched(tenant_id, signature, resource_id, wallet, amount, asset, metadata) -> Recording
-- The same for money that came by a provider, who vouches that it is the shop's.
WITH claimed AS (
    INSERT INTO {payment_signatures} (tenant_id, signature)
    VALUES (:tenant_id, :signature)
        ON CONFLICT (tenant_id, signature) DO NOTHING
    RETURNING signature),
recorded AS (
    INSERT INTO {payment_transactions} (tenant_id, signature, resource_id, wallet, amount, amount_asset, metadata)
    SELECT :tenant_id, c.signature, :resource_id, :wallet, :amount, :asset, :metadata
      FROM claimed c
    RETURNING signature)
SELECT EXISTS (SELECT FROM recorded) AS first, TRUE AS counts;

-- name: record_payments(tenant_id, payments) -> Obstacle*
-- No row: all of them were recorded. See functions.sql.
SELECT signature, reason
  FROM {record_payments_v1}(:tenant_id, :payments);

-- name: signature_known(tenant_id, signature) -> bool
SELECT EXISTS (SELECT FROM {payment_signatures} WHERE tenant_id = :tenant_id AND signature = :signature) AS known;

-- name: transaction_of(tenant_id, signature) -> PaymentTransaction?
-- In the ledger or, once it is old, in the archive: at any moment in one of the two.
SELECT signature, resource_id, wallet, amount, account, payment_id, metadata, created_at, FALSE AS archived,
       amount_asset AS currency
  FROM {payment_transactions}
 WHERE tenant_id = :tenant_id
   AND signature = :signature
 UNION ALL
SELECT signature, resource_id, wallet, amount, account, payment_id, metadata, created_at, TRUE AS archived,
       amount_asset AS currency
  FROM {payment_transactions_archive}
 WHERE tenant_id = :tenant_id
   AND signature = :signature;

-- name: transactions_listed(tenant_id, wallet?, resource_id?, before_at?, before_signature?, size) -> PaymentTransaction*
-- Newest first; what was archived is not among them.
SELECT signature, resource_id, wallet, amount, account, payment_id, metadata, created_at, FALSE AS archived,
       amount_asset AS currency
  FROM {payment_transactions}
 WHERE tenant_id = :tenant_id
   AND wallet = :wallet                                                -- if wallet
   AND resource_id = :resource_id                                      -- if resource_id
   AND (created_at, signature) < (:before_at, :before_signature)       -- if before_at
 ORDER BY created_at DESC, signature DESC
 LIMIT :size;

-- name: archive_transactions(tenant_id, before, size) -> int
-- See functions.sql.
SELECT {archive_transactions_v1}(:tenant_id, :before, :size);

-- name: tenants_to_archive(before, due, size) -> str*
-- scope: all tenants
-- Who has payments that are old enough, and no run since `due`. Takes no lock.
SELECT t.tenant_id
  FROM {tenants} t
  LEFT JOIN {archival_runs} r ON r.tenant_id = t.tenant_id
 WHERE (r.started_at IS NULL OR r.started_at <= :due)
   AND EXISTS (SELECT FROM {payment_transactions} p WHERE p.tenant_id = t.tenant_id AND p.created_at < :before)
 ORDER BY t.tenant_id
 LIMIT :size;

-- name: claim_archival(tenant_id, started_at, due) -> count
-- Of two processes one moves the row on; the other waits for it, tests the new instant and does nothing.
INSERT INTO {archival_runs} AS r (tenant_id, started_at)
VALUES (:tenant_id, :started_at)
    ON CONFLICT (tenant_id) DO UPDATE
   SET started_at = EXCLUDED.started_at
 WHERE r.started_at <= :due;

-- Receiving accounts --------------------------------------------------------------------------------------------------

-- name: accounts(tenant_id, asset?, is_active?, size) -> ReceivingAccount*
SELECT id, asset, address, label, is_active, created_at, updated_at
  FROM {receiving_accounts}
 WHERE tenant_id = :tenant_id
   AND asset = :asset                          -- if asset
   AND is_active = :is_active                  -- if is_active
 ORDER BY asset, address
 LIMIT :size;

-- name: account(tenant_id, account_id) -> ReceivingAccount?
SELECT id, asset, address, label, is_active, created_at, updated_at
  FROM {receiving_accounts}
 WHERE tenant_id = :tenant_id
   AND id = :account_id;

-- name: insert_account(tenant_id, account_id, asset, address, label) -> ReceivingAccount?
-- No row: the shop has it.
INSERT INTO {receiving_accounts} (tenant_id, id, asset, address, label)
VALUES (:tenant_id, :account_id, :asset, :address, :label)
    ON CONFLICT (tenant_id, asset, address) DO NOTHING
RETURNING id, asset, address, label, is_active, created_at, updated_at;

-- name: update_account(tenant_id, account_id, label, is_active) -> ReceivingAccount?
UPDATE {receiving_accounts}
   SET label = :label, is_active = :is_active, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :account_id
RETURNING id, asset, address, label, is_active, created_at, updated_at;

-- Quotes --------------------------------------------------------------------------------------------------------------

-- name: save_quote(tenant_id, quote_id, items, total_amount, total_asset, metadata, cart_id?, expires_at?, life) -> CartQuote?
-- The same id again replaces the offer, as long as nobody paid it: no row where somebody did.
WITH saved AS (
    INSERT INTO {cart_quotes} AS q (tenant_id, id, items, total_amount, total_asset, metadata, cart_id, expires_at, updated_at)
    VALUES (:tenant_id, :quote_id, :items, :total_amount, :total_asset, :metadata, :cart_id,
            coalesce(:expires_at, now() + :life::interval), now())
        ON CONFLICT (tenant_id, id) DO UPDATE
       SET items = EXCLUDED.items, total_amount = EXCLUDED.total_amount, total_asset = EXCLUDED.total_asset,
           metadata = EXCLUDED.metadata, cart_id = EXCLUDED.cart_id, expires_at = EXCLUDED.expires_at,
           updated_at = EXCLUDED.updated_at
     WHERE q.wallet_paid_by IS NULL
    RETURNING id, items, total_amount, total_asset, metadata, cart_id, expires_at, wallet_paid_by, paid_at, created_at,
              updated_at)
SELECT s.id, s.items, s.total_amount AS total, s.metadata, s.cart_id, s.expires_at, s.expires_at <= now() AS expired,
       s.wallet_paid_by, s.paid_at, s.created_at, s.updated_at, s.total_asset AS currency
  FROM saved s;

-- name: save_quotes(tenant_id, quotes, life) -> count
-- In the order of their ids, so that two batches do not wait for each other. Fewer rows than quotes: some were paid, and
-- the caller takes all of it back.
INSERT INTO {cart_quotes} AS q (tenant_id, id, items, total_amount, total_asset, metadata, cart_id, expires_at, updated_at)
SELECT :tenant_id, n.id, n.items, n.total_amount, n.total_asset, n.metadata, n.cart_id,
       coalesce(n.expires_at, now() + :life::interval), now()
  FROM jsonb_to_recordset(:quotes::jsonb) AS n (id TEXT, items JSONB, total_amount BIGINT, total_asset TEXT, metadata JSONB,
                                                cart_id UUID, expires_at TIMESTAMPTZ)
 ORDER BY n.id
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET items = EXCLUDED.items, total_amount = EXCLUDED.total_amount, total_asset = EXCLUDED.total_asset,
       metadata = EXCLUDED.metadata, cart_id = EXCLUDED.cart_id, expires_at = EXCLUDED.expires_at,
       updated_at = EXCLUDED.updated_at
 WHERE q.wallet_paid_by IS NULL;

-- name: paid_quotes(tenant_id, quote_ids) -> str*
SELECT id
  FROM {cart_quotes}
 WHERE tenant_id = :tenant_id
   AND id = ANY (:quote_ids)
   AND wallet_paid_by IS NOT NULL
 ORDER BY id;

-- name: quotes(tenant_id, quote_ids) -> CartQuote*
-- Those that there are. One call may ask for a single quote.
SELECT id, items, total_amount AS total, metadata, cart_id, expires_at, expires_at <= now() AS expired, wallet_paid_by,
       paid_at, created_at, updated_at, total_asset AS currency
  FROM {cart_quotes}
 WHERE tenant_id = :tenant_id
   AND id = ANY (:quote_ids);

-- name: quotes_listed(tenant_id, before_at?, before_id?, size) -> CartQuote*
-- Newest first.
SELECT id, items, total_amount AS total, metadata, cart_id, expires_at, expires_at <= now() AS expired, wallet_paid_by,
       paid_at, created_at, updated_at, total_asset AS currency
  FROM {cart_quotes}
 WHERE tenant_id = :tenant_id
   AND (created_at, id) < (:before_at, :before_id)    -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :size;

-- name: quotes_lapsed(tenant_id, after_at?, after_id?, size) -> CartQuote*
-- Offers that nobody took, the one that lapsed first comes first.
SELECT id, items, total_amount AS total, metadata, cart_id, expires_at, TRUE AS expired, wallet_paid_by,
       paid_at, created_at, updated_at, total_asset AS currency
  FROM {cart_quotes}
 WHERE tenant_id = :tenant_id
   AND wallet_paid_by IS NULL
   AND expires_at <= now()
   AND (expires_at, id) > (:after_at, :after_id)      -- if after_at
 ORDER BY expires_at, id
 LIMIT :size;

-- name: mark_quote_paid(tenant_id, quote_id, wallet) -> QuoteOutcome
-- The lock comes first and is what makes the answer true: of two wallets the second waits here, and then reads what the
-- first has committed. A plain UPDATE would give no row to the second, and why would be a guess.
WITH found AS MATERIALIZED (
    SELECT id, wallet_paid_by, expires_at > now() AS open
      FROM {cart_quotes}
     WHERE tenant_id = :tenant_id
       AND id = :quote_id
       FOR NO KEY UPDATE),
paid AS (
    UPDATE {cart_quotes} q
       SET wallet_paid_by = :wallet, paid_at = now(), updated_at = now()
      FROM found f
     WHERE q.tenant_id = :tenant_id
       AND q.id = f.id
       AND f.wallet_paid_by IS NULL
       AND f.open)
SELECT coalesce((SELECT CASE WHEN f.wallet_paid_by = :wallet THEN 'already_paid_by_this_wallet'
                             WHEN f.wallet_paid_by IS NOT NULL THEN 'paid_by_another'
                             WHEN f.open THEN 'paid_now'
                             ELSE 'expired' END
                   FROM found f), 'unknown') AS outcome;

-- name: wallet_paid(tenant_id, quote_id, wallet) -> bool
SELECT EXISTS (SELECT
                 FROM {cart_quotes}
                WHERE tenant_id = :tenant_id
                  AND id = :quote_id
                  AND wallet_paid_by = :wallet) AS paid;

-- name: tenants_with_lapsed(kept, size) -> str*
-- scope: all tenants
-- Who has unpaid quotes to remove. Takes no lock; by idx_cart_quotes_tenant_expires.
SELECT t.tenant_id
  FROM {tenants} t
 WHERE EXISTS (SELECT
                 FROM {cart_quotes} q
                WHERE q.tenant_id = t.tenant_id
                  AND q.wallet_paid_by IS NULL
                  AND q.expires_at <= now() - :kept::interval)
 LIMIT :size;

-- name: remove_lapsed(tenant_id, kept, size) -> count
-- One that a rival holds is left to the rival: somebody may be saving it anew.
DELETE FROM {cart_quotes}
 WHERE tenant_id = :tenant_id
   AND wallet_paid_by IS NULL
   AND id = ANY (ARRAY(SELECT q.id
                         FROM {cart_quotes} q
                        WHERE q.tenant_id = :tenant_id
                          AND q.wallet_paid_by IS NULL
                          AND q.expires_at <= now() - :kept::interval
                        ORDER BY q.expires_at
                        LIMIT :size
                          FOR UPDATE SKIP LOCKED));
