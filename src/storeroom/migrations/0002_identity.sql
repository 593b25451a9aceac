-- People: accounts, their profile and addresses, and the login sessions of accounts and guests.
-- Lock: none on existing data (new tables). Run before the new code. Needs the extension pg_trgm.

CREATE TYPE {user_role} AS ENUM ('customer', 'wholesale', 'staff', 'admin', 'super_admin');
CREATE TYPE {user_status} AS ENUM ('pending_verification', 'active', 'suspended', 'banned', 'deleted');
CREATE TYPE {auth_provider} AS ENUM ('email', 'google', 'apple');
CREATE TYPE {kyc_status} AS ENUM ('not_required', 'pending', 'approved', 'rejected');
CREATE TYPE {session_status} AS ENUM ('active', 'expired', 'revoked');
CREATE TYPE {address_type} AS ENUM ('shipping', 'billing', 'both');

-- What signing in and token validation need, and nothing else: the rest of a person is in user_profiles.
CREATE TABLE {users} (
    tenant_id          TEXT NOT NULL,
    id                 UUID NOT NULL,
    email              TEXT COLLATE "C" NOT NULL,       -- lower case
    email_verified     BOOLEAN NOT NULL DEFAULT FALSE,
    email_verified_at  TIMESTAMPTZ,
    full_name          TEXT,
    phone              TEXT,                            -- E.164 digits, no plus sign
    phone_verified     BOOLEAN NOT NULL DEFAULT FALSE,
    password_hash      TEXT,                            -- argon2; NULL for who signs in by a provider only
    auth_provider      {auth_provider} NOT NULL DEFAULT 'email',
    role               {user_role} NOT NULL DEFAULT 'customer',
    permissions        JSONB NOT NULL DEFAULT '[]',     -- counts for role staff only
    rights_changed_at  TIMESTAMPTZ,                     -- of role or permissions: access tokens made before say the old ones
    status             {user_status} NOT NULL DEFAULT 'pending_verification',
    age_verified       BOOLEAN NOT NULL DEFAULT FALSE,
    age_verified_at    TIMESTAMPTZ,
    kyc_status         {kyc_status} NOT NULL DEFAULT 'not_required',
    kyc_verified_at    TIMESTAMPTZ,
    erp_customer_id    TEXT,
    erp_synced_at      TIMESTAMPTZ,
    vendure_customer_id TEXT,
    metadata           JSONB NOT NULL DEFAULT '{}',     -- credit limit and terms from the ERP, custom fields
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    deleted_at         TIMESTAMPTZ,

    CONSTRAINT {users_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {users_email_unique} UNIQUE (tenant_id, email),
    CONSTRAINT users_email_lower_case CHECK (email = lower(email) AND length(email) BETWEEN 3 AND 255),
    CONSTRAINT users_phone_digits CHECK (phone ~ '^[1-9][0-9]{5,14}$'),
    CONSTRAINT users_age_verified_dated CHECK (NOT age_verified OR age_verified_at IS NOT NULL),
    CONSTRAINT users_permissions_list CHECK (jsonb_typeof(permissions) = 'array')
);
CREATE UNIQUE INDEX {users_phone_unique} ON {users} (tenant_id, phone) WHERE phone IS NOT NULL;
CREATE UNIQUE INDEX {users_vendure_unique} ON {users} (tenant_id, vendure_customer_id) WHERE vendure_customer_id IS NOT NULL;
CREATE INDEX {idx_users_email} ON {users} (tenant_id, email) WHERE deleted_at IS NULL;
CREATE INDEX {idx_users_status} ON {users} (tenant_id, status, id) WHERE deleted_at IS NULL;
CREATE INDEX {idx_users_erp_sync} ON {users} (tenant_id, erp_synced_at) WHERE erp_customer_id IS NULL;
CREATE INDEX {idx_users_created} ON {users} (tenant_id, created_at DESC, id DESC);
-- The condition is that of `is_active` in the view customers, word by word.
CREATE INDEX {idx_users_active} ON {users} (tenant_id, id DESC)
    WHERE deleted_at IS NULL AND status IN ('active', 'pending_verification');
CREATE INDEX {idx_users_rights_changed} ON {users} (rights_changed_at) WHERE rights_changed_at IS NOT NULL;
-- Part of a name, a mail address or a number. The statement that searches repeats the expression word by word.
CREATE INDEX {idx_users_search} ON {users}
    USING gin ((coalesce(full_name, '') || ' ' || (email COLLATE "default") || ' ' || coalesce(phone, '')) gin_trgm_ops)
    WHERE deleted_at IS NULL;

CREATE TABLE {user_profiles} (
    tenant_id             TEXT NOT NULL,
    id                    UUID NOT NULL,
    user_id               UUID NOT NULL,
    first_name            TEXT,
    last_name             TEXT,
    display_name          TEXT,
    date_of_birth         DATE,
    preferred_currency    TEXT NOT NULL DEFAULT 'USD',
    timezone              TEXT NOT NULL DEFAULT 'America/New_York',
    locale                TEXT NOT NULL DEFAULT 'en-US',
    marketing_consent     BOOLEAN NOT NULL DEFAULT FALSE,
    marketing_consent_at  TIMESTAMPTZ,
    sms_consent           BOOLEAN NOT NULL DEFAULT FALSE,
    sms_consent_at        TIMESTAMPTZ,
    utm_source            TEXT,                        -- attribution: written at registration, never again
    utm_medium            TEXT,
    utm_campaign          TEXT,
    utm_term              TEXT,
    utm_content           TEXT,
    referrer_url          TEXT,
    landing_page          TEXT,
    created_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at            TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {user_profiles_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {user_profiles_user_unique} UNIQUE (tenant_id, user_id),
    CONSTRAINT user_profiles_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT user_profiles_name_length CHECK (length(first_name) <= 100 AND length(last_name) <= 100
                                                AND length(display_name) <= 100)
);
CREATE INDEX {idx_user_profiles_marketing} ON {user_profiles} (tenant_id, user_id) WHERE marketing_consent;

CREATE TABLE {user_addresses} (
    tenant_id          TEXT NOT NULL,
    id                 UUID NOT NULL,
    user_id            UUID NOT NULL,
    address_type       {address_type} NOT NULL DEFAULT 'shipping',
    is_default         BOOLEAN NOT NULL DEFAULT FALSE,
    label              TEXT,
    recipient_name     TEXT NOT NULL,
    company            TEXT,
    street_line_1      TEXT NOT NULL,
    street_line_2      TEXT,
    city               TEXT NOT NULL,
    state_province     TEXT NOT NULL,
    postal_code        TEXT NOT NULL,
    country_code       TEXT NOT NULL DEFAULT 'US',
    phone              TEXT,
    validated          BOOLEAN NOT NULL DEFAULT FALSE,
    validated_at       TIMESTAMPTZ,
    validation_source  TEXT,
    vendure_address_id TEXT,
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    deleted_at         TIMESTAMPTZ,

    CONSTRAINT {user_addresses_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT user_addresses_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT user_addresses_country_shape CHECK (country_code ~ '^[A-Z]{2}$' AND country_code <> 'UK'),
    CONSTRAINT user_addresses_validated_dated CHECK (NOT validated OR validated_at IS NOT NULL)
);
CREATE INDEX {idx_user_addresses_user} ON {user_addresses} (tenant_id, user_id) WHERE deleted_at IS NULL;
CREATE INDEX {idx_user_addresses_owner} ON {user_addresses} (tenant_id, user_id);  -- the foreign key, deleted rows too
CREATE UNIQUE INDEX {idx_user_addresses_default} ON {user_addresses} (tenant_id, user_id, address_type)
    WHERE deleted_at IS NULL AND is_default;

-- One table for guests (user_id NULL) and accounts. Tokens are kept as hashes: a leaked table opens no door.
CREATE TABLE {auth_sessions} (
    tenant_id           TEXT NOT NULL,
    id                  UUID NOT NULL,
    user_id             UUID,                          -- NULL: a guest
    anonymous_id        TEXT NOT NULL,                 -- the visitor, before and after signing in
    refresh_token_hash  TEXT NOT NULL,                 -- of the token handed out last
    previous_token_hash TEXT,                          -- of the one before, known for a moment to two tabs that race
    token_family_hash   TEXT,                          -- of what all tokens of an account's session share; NULL: a guest
    status              {session_status} NOT NULL DEFAULT 'active',
    ip_address          INET,
    user_agent          TEXT,
    device_fingerprint  TEXT,
    expires_at          TIMESTAMPTZ NOT NULL,
    last_used_at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    signed_in_at        TIMESTAMPTZ,                   -- later than created_at where a guest signed in
    rotated_at          TIMESTAMPTZ,                   -- when the refresh token was last replaced
    revoked_at          TIMESTAMPTZ,
    revoked_reason      TEXT,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {auth_sessions_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {auth_sessions_token_unique} UNIQUE (tenant_id, refresh_token_hash),
    CONSTRAINT {auth_sessions_family_unique} UNIQUE (tenant_id, token_family_hash),
    CONSTRAINT auth_sessions_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT auth_sessions_anonymous_length CHECK (length(anonymous_id) BETWEEN 1 AND 100),
    CONSTRAINT auth_sessions_revoked_dated CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE INDEX {idx_auth_sessions_user} ON {auth_sessions} (tenant_id, user_id) WHERE status = 'active';
CREATE INDEX {idx_auth_sessions_owner} ON {auth_sessions} (tenant_id, user_id);    -- the foreign key, ended rows too
CREATE INDEX {idx_auth_sessions_expires} ON {auth_sessions} (expires_at) WHERE status = 'active';
CREATE INDEX {idx_auth_sessions_cleanup} ON {auth_sessions} (status, expires_at);
CREATE INDEX {idx_auth_sessions_revoked} ON {auth_sessions} (revoked_at) WHERE status = 'revoked';
