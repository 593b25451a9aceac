-- Customers as SAP knows them, and every invoice that it was asked for.
--
-- New tables only: no lock on what is there. Before the new code.

-- One row for each mail address. Who is not in SAP yet waits here: whoever sends them claims rows under a token, and
-- next_attempt_at is then the end of the lease.
CREATE TABLE {customer_syncs} (
    tenant_id          TEXT NOT NULL,
    id                 UUID NOT NULL,
    customer_email     TEXT NOT NULL,                       -- lower case
    customer_id        UUID,                                -- of the account, where there is one
    sap_sync           BOOLEAN NOT NULL DEFAULT FALSE,      -- whether SAP was told; later changes are not sent by themselves
    sap_customer_code  TEXT,                                -- the number there
    sap_synced_at      TIMESTAMPTZ,
    company_code       TEXT,
    last_error         TEXT,
    attempts           INTEGER NOT NULL DEFAULT 0,          -- counted when they begin
    claim              UUID,
    next_attempt_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at         TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {customer_syncs_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {customer_syncs_email_unique} UNIQUE (tenant_id, customer_email),
    CONSTRAINT {customer_syncs_code_unique} UNIQUE (tenant_id, sap_customer_code),
    CONSTRAINT customer_syncs_customer_fkey FOREIGN KEY (tenant_id, customer_id) REFERENCES {users} (tenant_id, id),
    CONSTRAINT customer_syncs_email_lower CHECK (customer_email = lower(btrim(customer_email)) AND customer_email <> ''),
    CONSTRAINT customer_syncs_code_length CHECK (length(sap_customer_code) BETWEEN 1 AND 50),
    CONSTRAINT customer_syncs_company_length CHECK (length(company_code) BETWEEN 1 AND 50),
    CONSTRAINT customer_syncs_error_length CHECK (length(last_error) <= 500),
    CONSTRAINT customer_syncs_attempts_counted CHECK (attempts >= 0),
    CONSTRAINT customer_syncs_synced_has_code CHECK (NOT sap_sync OR (sap_customer_code IS NOT NULL AND sap_synced_at IS NOT NULL))
);
CREATE INDEX {idx_customer_syncs_customer} ON {customer_syncs} (tenant_id, customer_id)
 WHERE customer_id IS NOT NULL;                             -- the foreign key
CREATE INDEX {idx_customer_syncs_waiting} ON {customer_syncs} (tenant_id, created_at, id)
 WHERE NOT sap_sync;                                        -- staff's list
CREATE INDEX {idx_customer_syncs_due} ON {customer_syncs} (tenant_id, next_attempt_at, id)
 WHERE NOT sap_sync AND attempts < 16;                      -- ATTEMPTS_MAX: who has used them is not read past

-- One row for each time that SAP was asked for an invoice, whatever came of it. Rows are added and read, never changed,
-- but for the domain: it is cleared when the domain goes (remove_domain_v2).
CREATE TABLE {invoice_audits} (
    tenant_id           TEXT NOT NULL,
    id                  UUID NOT NULL,
    order_id            UUID NOT NULL,
    order_increment_id  TEXT NOT NULL,                      -- the order's number
    invoice_number      TEXT,                               -- as it was asked for, or as the answer has it
    company_code        TEXT,
    customer_id         UUID,                               -- whose order it was, then
    requested_by        TEXT NOT NULL,                      -- an account's id, or the name of a job
    source              TEXT NOT NULL,                      -- admin, system, customer, webhook
    success             BOOLEAN NOT NULL DEFAULT FALSE,
    status_code         INTEGER,                            -- of HTTP; NULL: no answer
    message             TEXT,
    payload             JSONB NOT NULL DEFAULT '{}',        -- what was asked, and what the answer said
    duration_ms         INTEGER NOT NULL,
    domain_id           UUID,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {invoice_audits_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT invoice_audits_order_fkey FOREIGN KEY (tenant_id, order_id) REFERENCES {orders} (tenant_id, id),
    CONSTRAINT invoice_audits_customer_fkey FOREIGN KEY (tenant_id, customer_id) REFERENCES {users} (tenant_id, id),
    CONSTRAINT invoice_audits_domain_fkey FOREIGN KEY (tenant_id, domain_id) REFERENCES {domains} (tenant_id, id),
    CONSTRAINT invoice_audits_number_length CHECK (length(invoice_number) BETWEEN 1 AND 100),
    CONSTRAINT invoice_audits_company_length CHECK (length(company_code) BETWEEN 1 AND 50),
    CONSTRAINT invoice_audits_message_length CHECK (length(message) <= 500),
    CONSTRAINT invoice_audits_payload_object CHECK (jsonb_typeof(payload) = 'object'),
    CONSTRAINT invoice_audits_duration_counted CHECK (duration_ms >= 0)
);
CREATE INDEX {idx_invoice_audits_order} ON {invoice_audits} (tenant_id, order_id, created_at DESC, id DESC);
CREATE INDEX {idx_invoice_audits_number} ON {invoice_audits} (tenant_id, invoice_number, created_at DESC, id DESC);
CREATE INDEX {idx_invoice_audits_created} ON {invoice_audits} (tenant_id, created_at DESC, id DESC);
CREATE INDEX {idx_invoice_audits_customer} ON {invoice_audits} (tenant_id, customer_id)
 WHERE customer_id IS NOT NULL;                             -- the foreign key
CREATE INDEX {idx_invoice_audits_domain} ON {invoice_audits} (tenant_id, domain_id)
 WHERE domain_id IS NOT NULL;                               -- the foreign key
