-- Payments from wallets: the ledger in which no signature counts twice, the accounts at which money counts, and priced
-- offers that one wallet pays.
-- Lock: none on existing data (new tables). Run before the new code.

-- An address that takes money for the shop. What was sent anywhere else is no payment to it, however true the signature.
CREATE TABLE {receiving_accounts} (
    tenant_id   TEXT NOT NULL,
    id          UUID NOT NULL,
    asset       TEXT NOT NULL,
    address     TEXT COLLATE "C" NOT NULL,
    label       TEXT NOT NULL,
    is_active   BOOLEAN NOT NULL DEFAULT TRUE,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {receiving_accounts_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {receiving_accounts_address_unique} UNIQUE (tenant_id, asset, address),
    CONSTRAINT receiving_accounts_lengths CHECK (length(address) BETWEEN 1 AND 128 AND length(label) BETWEEN 1 AND 100)
);

-- Every signature that was ever honoured. Rows are added with the payment and never changed nor removed, by anybody who
-- serves: the primary key is what refuses a replay, whatever becomes of the payment's own row.
--
-- Why not look into the archive while recording: a statement that looks there first has looked too early. It reads what
-- was committed when it began, and then waits for the row that an archival is about to remove; when that commits, the key
-- is free in the ledger, the copy in the archive is not yet seen, and the payment counts again. Here nothing is moved, so
-- there is no such moment: recording is one statement, one more insert into one more index, at any isolation level.
CREATE TABLE {payment_signatures} (
    tenant_id   TEXT NOT NULL,
    signature   TEXT COLLATE "C" NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {payment_signatures_pkey} PRIMARY KEY (tenant_id, signature)
);

-- The ledger. An index on tenant_id alone is the beginning of each of these, so there is none.
CREATE TABLE {payment_transactions} (
    tenant_id     TEXT NOT NULL,
    signature     TEXT COLLATE "C" NOT NULL,
    resource_id   TEXT NOT NULL,               -- what was paid for
    wallet        TEXT COLLATE "C" NOT NULL,   -- who paid
    amount        BIGINT NOT NULL,
    amount_asset  TEXT NOT NULL,
    account       TEXT COLLATE "C",            -- where it arrived; NULL: a provider vouches for it
    payment_id    UUID,                        -- the payment of an order that it led to
    metadata      JSONB NOT NULL DEFAULT '{}',
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {payment_transactions_pkey} PRIMARY KEY (tenant_id, signature),
    CONSTRAINT payment_transactions_payment_fkey FOREIGN KEY (tenant_id, payment_id) REFERENCES {payments} (tenant_id, id),
    CONSTRAINT payment_transactions_amount_positive CHECK (amount > 0),
    CONSTRAINT payment_transactions_lengths CHECK (
        length(signature) BETWEEN 1 AND 255 AND length(resource_id) BETWEEN 1 AND 255 AND length(wallet) BETWEEN 1 AND 128),
    CONSTRAINT payment_transactions_metadata_object CHECK (jsonb_typeof(metadata) = 'object')
);
CREATE INDEX {idx_payment_transactions_tenant_resource}
    ON {payment_transactions} (tenant_id, resource_id, created_at DESC, signature DESC);
CREATE INDEX {idx_payment_transactions_tenant_wallet}
    ON {payment_transactions} (tenant_id, wallet, created_at DESC, signature DESC);
CREATE INDEX {idx_payment_transactions_tenant_created} ON {payment_transactions} (tenant_id, created_at DESC, signature DESC);
CREATE UNIQUE INDEX {payment_transactions_payment_unique} ON {payment_transactions} (tenant_id, payment_id)
    WHERE payment_id IS NOT NULL;

-- The same rows once they are old. Payments are never removed, so payment_id needs no key to stay true.
CREATE TABLE {payment_transactions_archive} (
    tenant_id     TEXT NOT NULL,
    signature     TEXT COLLATE "C" NOT NULL,
    resource_id   TEXT NOT NULL,
    wallet        TEXT COLLATE "C" NOT NULL,
    amount        BIGINT NOT NULL,
    amount_asset  TEXT NOT NULL,
    account       TEXT COLLATE "C",
    payment_id    UUID,
    metadata      JSONB NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    archived_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {payment_transactions_archive_pkey} PRIMARY KEY (tenant_id, signature)
);

-- When the archival of a tenant last began: whoever moves this on does the run, and nobody else does.
CREATE TABLE {archival_runs} (
    tenant_id   TEXT NOT NULL,
    started_at  TIMESTAMPTZ NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {archival_runs_pkey} PRIMARY KEY (tenant_id)
);

-- A priced offer, good until `expires_at`, which one wallet pays. `cart_id` has no foreign key: a guest's cart goes with
-- its session, and the quote stays what was agreed.
CREATE TABLE {cart_quotes} (
    tenant_id       TEXT NOT NULL,
    id              TEXT COLLATE "C" NOT NULL,
    items           JSONB NOT NULL,
    total_amount    BIGINT NOT NULL,
    total_asset     TEXT NOT NULL,
    metadata        JSONB NOT NULL DEFAULT '{}',
    cart_id         UUID,                     -- whose reservations become the order's when it is paid
    expires_at      TIMESTAMPTZ NOT NULL,     -- from this instant on it cannot be paid
    wallet_paid_by  TEXT COLLATE "C",
    paid_at         TIMESTAMPTZ,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {cart_quotes_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT cart_quotes_items_bound CHECK (jsonb_typeof(items) = 'array' AND jsonb_array_length(items) BETWEEN 1 AND 100),
    CONSTRAINT cart_quotes_total_positive CHECK (total_amount > 0),
    CONSTRAINT cart_quotes_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT cart_quotes_lengths CHECK (length(id) BETWEEN 1 AND 255 AND length(wallet_paid_by) BETWEEN 1 AND 128),
    CONSTRAINT cart_quotes_paid_dated CHECK ((wallet_paid_by IS NULL) = (paid_at IS NULL))
);
CREATE INDEX {idx_cart_quotes_tenant} ON {cart_quotes} (tenant_id, created_at DESC, id DESC);
CREATE INDEX {idx_cart_quotes_tenant_expires} ON {cart_quotes} (tenant_id, expires_at, id) WHERE wallet_paid_by IS NULL;
