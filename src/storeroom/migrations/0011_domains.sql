-- The host names a shop sells at, and who tried to prove something there without an account.
-- Lock: none on existing data (new tables). Run before the new code.

-- A scope inside a tenant: prices, rules and enquiries of one site name their domain. Which tenant answers at a host is
-- another question ({tenant_hosts}), asked before any tenant is known; two tenants may each have a domain of one name.
CREATE TABLE {domains} (
    tenant_id     TEXT NOT NULL,
    id            UUID NOT NULL,
    legacy_id     BIGINT,                           -- the row's number in the system it came from
    domain_name   TEXT NOT NULL,                    -- a host name, without port
    display_name  TEXT,
    company_code  TEXT,
    country_code  TEXT,                             -- ISO 3166-1
    currency      TEXT,
    is_active     BOOLEAN NOT NULL DEFAULT TRUE,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {domains_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT domains_name_length CHECK (length(domain_name) BETWEEN 1 AND 253),
    CONSTRAINT domains_display_name_length CHECK (length(display_name) BETWEEN 1 AND 255),
    CONSTRAINT domains_company_code_length CHECK (length(company_code) BETWEEN 1 AND 50),
    CONSTRAINT domains_country_shape CHECK (country_code ~ '^[A-Z]{2}$'),
    CONSTRAINT domains_currency_shape CHECK (currency ~ '^[A-Z]{3}$')
);
CREATE UNIQUE INDEX {domains_name_unique} ON {domains} (tenant_id, lower(domain_name));
CREATE UNIQUE INDEX {domains_legacy_unique} ON {domains} (tenant_id, legacy_id) WHERE legacy_id IS NOT NULL;

-- One row for each attempt, right or wrong, in a transaction of its own. Rows are added and read, never changed, but for
-- the domain: it is cleared when the domain goes (remove_domain_v1). The three indexes also count recent failures.
CREATE TABLE {guest_user_audits} (
    tenant_id            TEXT NOT NULL,
    id                   UUID NOT NULL,
    email                TEXT,                      -- lower case
    phone                TEXT,                      -- E.164 digits
    order_reference      TEXT,                      -- as it was said, whether or not there is such an order
    verification_method  TEXT NOT NULL,             -- as in 'order_lookup'
    success              BOOLEAN NOT NULL DEFAULT FALSE,
    message              TEXT,
    failure_code         TEXT,
    metadata             JSONB NOT NULL DEFAULT '{}',
    ip_address           INET,
    user_agent           TEXT,
    domain_id            UUID,
    created_at           TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {guest_user_audits_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT guest_user_audits_domain_fkey FOREIGN KEY (tenant_id, domain_id) REFERENCES {domains} (tenant_id, id),
    CONSTRAINT guest_user_audits_email_tidy CHECK (email = lower(btrim(email)) AND length(email) <= 255),
    CONSTRAINT guest_user_audits_method_length CHECK (length(verification_method) BETWEEN 1 AND 50),
    CONSTRAINT guest_user_audits_reference_length CHECK (length(order_reference) <= 100),
    CONSTRAINT guest_user_audits_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT guest_user_audits_success_has_no_failure CHECK (NOT (success AND failure_code IS NOT NULL))
);
CREATE INDEX {idx_guest_user_audits_email} ON {guest_user_audits} (tenant_id, email, created_at DESC);
CREATE INDEX {idx_guest_user_audits_phone} ON {guest_user_audits} (tenant_id, phone, created_at DESC);
CREATE INDEX {idx_guest_user_audits_order} ON {guest_user_audits} (tenant_id, order_reference, created_at DESC);
CREATE INDEX {idx_guest_user_audits_created} ON {guest_user_audits} (tenant_id, created_at DESC, id DESC);
CREATE INDEX {idx_guest_user_audits_domain} ON {guest_user_audits} (tenant_id, domain_id)
 WHERE domain_id IS NOT NULL;                       -- the foreign key
