-- Tenants: one shop each. Everything else in this schema belongs to exactly one of them.
-- Lock: none on existing data (new tables). Run before the new code.
--
-- Names in braces are resolved by the configuration (a prefix, or a name per table). Conventions that hold in every
-- file: tenant_id first in every key; ids are UUIDv7 from the application; money is BIGINT of the smallest unit beside a
-- `currency`; instants are TIMESTAMPTZ; states are enums; nothing fires by itself.

CREATE TYPE {tenant_status} AS ENUM ('active', 'suspended');

-- Keyed by tenant_id, not id, so that a distributed database can place a tenant's rows beside it.
CREATE TABLE {tenants} (
    tenant_id             TEXT NOT NULL,
    name                  TEXT NOT NULL,
    status                {tenant_status} NOT NULL DEFAULT 'active',
    currency              TEXT NOT NULL,
    time_zone             TEXT NOT NULL DEFAULT 'UTC',
    country_code          TEXT NOT NULL DEFAULT 'US',     -- region in which national phone numbers are read
    order_window          INTERVAL NOT NULL DEFAULT '7 days',    -- an order unpaid this long is cancelled
    reservation_hold      INTERVAL NOT NULL DEFAULT '15 minutes',
    cart_lifetime         INTERVAL NOT NULL DEFAULT '30 days',
    cart_idle             INTERVAL NOT NULL DEFAULT '7 days',    -- an active cart untouched this long is abandoned
    open_orders_max       INTEGER NOT NULL DEFAULT 20,    -- unpaid orders one visitor may hold at a time
    compliance_required   BOOLEAN NOT NULL DEFAULT FALSE, -- every order, not only those of regulated products
    lookup_code_required  BOOLEAN NOT NULL DEFAULT FALSE, -- who looks up an order proves to have its phone
    staff_second_factor_required BOOLEAN NOT NULL DEFAULT FALSE, -- nobody works here with a password alone
    created_at            TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at            TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {tenants_pkey} PRIMARY KEY (tenant_id),
    CONSTRAINT tenants_id_shape CHECK (tenant_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    CONSTRAINT tenants_name_length CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT tenants_currency_shape CHECK (currency ~ '^[A-Z]{3,10}$'),
    CONSTRAINT tenants_durations_positive CHECK (order_window > '0' AND reservation_hold > '0'
                                                 AND cart_lifetime > '0' AND cart_idle > '0'),
    CONSTRAINT tenants_open_orders_positive CHECK (open_orders_max BETWEEN 1 AND 1000)
);

-- Host names are unique over all tenants, so this is a lookup table without a tenant's key (a reference table when
-- distributed); hence the column is called `tenant`.
CREATE TABLE {tenant_hosts} (
    host        TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {tenant_hosts_pkey} PRIMARY KEY (host),
    CONSTRAINT tenant_hosts_lower_case CHECK (host = lower(host) AND length(host) BETWEEN 1 AND 253)
);
CREATE INDEX {idx_tenant_hosts_tenant} ON {tenant_hosts} (tenant);
