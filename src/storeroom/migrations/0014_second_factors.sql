-- Proving who one is beside a password: codes sent to a phone, and a second factor for staff.
-- Lock: none on existing data (new tables). Run before the new code.

-- A code that was sent to a phone, and later that it was right. A phone has one at most: a new code replaces it.
CREATE TABLE {otp_sessions} (
    tenant_id    TEXT NOT NULL,
    id           UUID NOT NULL,
    session_id   UUID NOT NULL,                     -- random: who asked for the code knows it, and nobody else
    phone        TEXT NOT NULL,                     -- E.164 digits, no plus sign
    otp_hash     TEXT NOT NULL,                     -- bcrypt
    attempts     INTEGER NOT NULL DEFAULT 0,        -- tries that were wrong; one that is being tested counts as one
    verified     BOOLEAN NOT NULL DEFAULT FALSE,
    verified_at  TIMESTAMPTZ,
    expires_at   TIMESTAMPTZ NOT NULL,              -- of the code; once it was right, of the proof that it gives
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {otp_sessions_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {otp_sessions_phone_unique} UNIQUE (tenant_id, phone),
    CONSTRAINT {otp_sessions_session_unique} UNIQUE (tenant_id, session_id),
    CONSTRAINT otp_sessions_phone_digits CHECK (phone ~ '^[1-9][0-9]{5,14}$'),
    CONSTRAINT otp_sessions_hash_bcrypt CHECK (otp_hash ~ '^\$2[aby]\$[0-9]{2}\$.{53}$'),
    CONSTRAINT otp_sessions_attempts_counted CHECK (attempts >= 0),
    CONSTRAINT otp_sessions_verified_dated CHECK (verified = (verified_at IS NOT NULL))
);
CREATE INDEX {idx_otp_sessions_expires} ON {otp_sessions} (expires_at);

-- How often a phone was sent a code. Its row is the lock under which codes of one phone replace each other.
CREATE TABLE {otp_requests} (
    tenant_id       TEXT NOT NULL,
    phone           TEXT NOT NULL,
    requests        INTEGER NOT NULL,               -- since the window began
    window_ends_at  TIMESTAMPTZ NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {otp_requests_pkey} PRIMARY KEY (tenant_id, phone),
    CONSTRAINT otp_requests_counted CHECK (requests >= 1)
);
CREATE INDEX {idx_otp_requests_window} ON {otp_requests} (window_ends_at);

-- The second thing that staff sign in with: an authenticator app (TOTP, RFC 6238).
CREATE TABLE {second_factors} (
    tenant_id       TEXT NOT NULL,
    id              UUID NOT NULL,
    user_id         UUID NOT NULL,
    secret          TEXT NOT NULL,                  -- sealed: AES-256-GCM with a key of the installation
    confirmed_at    TIMESTAMPTZ,                    -- NULL: shown to its owner, who has not said a code of it yet
    last_step       BIGINT NOT NULL DEFAULT 0,      -- of the code used last: a code counts once
    failures        INTEGER NOT NULL DEFAULT 0,     -- tries that were wrong since the window began
    window_ends_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {second_factors_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {second_factors_user_unique} UNIQUE (tenant_id, user_id),
    CONSTRAINT second_factors_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT second_factors_failures_counted CHECK (failures >= 0)
);

-- What opens instead when the phone is lost: each code once.
CREATE TABLE {recovery_codes} (
    tenant_id   TEXT NOT NULL,
    id          UUID NOT NULL,
    user_id     UUID NOT NULL,
    code_hash   TEXT NOT NULL,                      -- SHA-256 of 78 random bits
    used_at     TIMESTAMPTZ,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {recovery_codes_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {recovery_codes_code_unique} UNIQUE (tenant_id, user_id, code_hash),
    CONSTRAINT recovery_codes_user_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES {users} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT recovery_codes_hash_length CHECK (length(code_hash) = 64)
);
