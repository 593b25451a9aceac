-- How people prove that an account is theirs, and what they agreed to: one-time tokens, Google and Apple, consents.
-- Lock: none on existing data (new tables). Run before the new code.

CREATE TYPE {account_token_purpose} AS ENUM ('verify_email', 'reset_password', 'sign_in_nonce');
CREATE TYPE {consent_kind} AS ENUM ('marketing', 'sms');

-- How a shop lets people in. A shop without a row has the defaults.
CREATE TABLE {account_settings} (
    tenant_id          TEXT NOT NULL,
    verify_email       BOOLEAN NOT NULL DEFAULT FALSE,  -- a customer signs in only once the mail address is proven
    google_client_ids  TEXT[] NOT NULL DEFAULT '{}',  -- whom an ID token must be for; none: Google is not offered
    apple_client_ids   TEXT[] NOT NULL DEFAULT '{}',
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at         TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {account_settings_pkey} PRIMARY KEY (tenant_id)
);

-- Each works once: whoever uses it deletes it. Kept as a hash, as all tokens are.
CREATE TABLE {account_tokens} (
    tenant_id   TEXT NOT NULL,
    id          UUID NOT NULL,
    purpose     {account_token_purpose} NOT NULL,
    token_hash  TEXT NOT NULL,
    user_id     UUID,                                   -- NULL: a nonce, of whoever is about to sign in
    email       TEXT COLLATE "C",                       -- where it was sent; worthless once the account has another
    expires_at  TIMESTAMPTZ NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {account_tokens_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {account_tokens_hash_unique} UNIQUE (tenant_id, token_hash),
    CONSTRAINT account_tokens_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT account_tokens_owned CHECK ((purpose = 'sign_in_nonce') = (user_id IS NULL)
                                           AND (user_id IS NULL) = (email IS NULL))
);
CREATE INDEX {idx_account_tokens_user} ON {account_tokens} (tenant_id, user_id);
CREATE INDEX {idx_account_tokens_expires} ON {account_tokens} (expires_at);

-- By what name Google or Apple knows whose account. Found by their `sub`, which stays when a mail address changes.
CREATE TABLE {account_identities} (
    tenant_id   TEXT NOT NULL,
    provider    {auth_provider} NOT NULL,
    subject     TEXT NOT NULL,
    user_id     UUID NOT NULL,
    email       TEXT COLLATE "C" NOT NULL,              -- as the provider said when it was linked
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {account_identities_pkey} PRIMARY KEY (tenant_id, provider, subject),
    CONSTRAINT account_identities_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT account_identities_subject_length CHECK (length(subject) BETWEEN 1 AND 255 AND provider <> 'email')
);
CREATE INDEX {idx_account_identities_user} ON {account_identities} (tenant_id, user_id);

-- What somebody agreed to and took back, when, and from where: the proof behind the two flags of a profile. Append-only.
CREATE TABLE {consent_changes} (
    tenant_id   TEXT NOT NULL,
    id          UUID NOT NULL,
    user_id     UUID NOT NULL,
    kind        {consent_kind} NOT NULL,
    given       BOOLEAN NOT NULL,
    actor_kind  {actor_kind} NOT NULL,                  -- the person, or somebody in their name
    ip_address  INET,
    user_agent  TEXT,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {consent_changes_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT consent_changes_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX {idx_consent_changes_user} ON {consent_changes} (tenant_id, user_id, id DESC);
