-- The catalogue: categories, products, their options and variants, images, batches with certificates.
-- Lock: none on existing data (new tables). Run before the new code. Needs the extension pg_trgm.

CREATE TYPE {product_status} AS ENUM ('draft', 'active', 'discontinued', 'out_of_stock');
CREATE TYPE {product_type} AS ENUM ('peptide', 'kit', 'accessory', 'bundle');
CREATE TYPE {stock_policy} AS ENUM ('deny', 'backorder', 'untracked');

CREATE TABLE {product_categories} (
    tenant_id    TEXT NOT NULL,
    id           UUID NOT NULL,
    name         TEXT NOT NULL,
    slug         TEXT COLLATE "C" NOT NULL,
    description  TEXT,
    parent_id    UUID,
    sort_order   INTEGER NOT NULL DEFAULT 0,
    is_active    BOOLEAN NOT NULL DEFAULT TRUE,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {product_categories_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {product_categories_slug_unique} UNIQUE (tenant_id, slug),
    CONSTRAINT product_categories_parent_fkey FOREIGN KEY (tenant_id, parent_id)
        REFERENCES {product_categories} (tenant_id, id),
    CONSTRAINT product_categories_not_own_parent CHECK (parent_id <> id),
    CONSTRAINT product_categories_name_length CHECK (length(name) BETWEEN 1 AND 100 AND length(slug) BETWEEN 1 AND 100)
);
CREATE INDEX {idx_product_categories_parent} ON {product_categories} (tenant_id, parent_id);

-- What is shown; what is sold (sku, price, stock) is the variant, and every product has at least one.
CREATE TABLE {products} (
    tenant_id                  TEXT NOT NULL,
    id                         UUID NOT NULL,
    name                       TEXT NOT NULL,
    slug                       TEXT COLLATE "C" NOT NULL,
    product_type               {product_type} NOT NULL DEFAULT 'peptide',
    status                     {product_status} NOT NULL DEFAULT 'draft',
    short_description          TEXT,
    description                TEXT,
    vendor                     TEXT,
    tags                       TEXT[] NOT NULL DEFAULT '{}',
    base_price                 BIGINT,                 -- shown in lists; NULL: the lowest price of its variants
    currency                   TEXT NOT NULL,
    is_digital                 BOOLEAN NOT NULL DEFAULT FALSE,
    file_path                  TEXT,                   -- of a download; never shown to a customer
    requires_age_verification  BOOLEAN NOT NULL DEFAULT TRUE,
    requires_kyc               BOOLEAN NOT NULL DEFAULT FALSE,
    restricted_states          TEXT[],                 -- 'CA' means a state of the US, 'AU-WA' one of another country
    restricted_countries       TEXT[] DEFAULT ARRAY['CA', 'AU', 'GB'],
    current_batch_number       TEXT,
    current_coa_url            TEXT,
    erp_item_id                TEXT,
    erp_synced_at              TIMESTAMPTZ,
    external_id                TEXT,                   -- the caller's own id of the product
    memo_template              TEXT,
    subscription_config        JSONB,
    brand_id                   TEXT,
    company_code               TEXT,
    legacy_id                  BIGINT,
    metadata                   JSONB NOT NULL DEFAULT '{}',
    created_at                 TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at                 TIMESTAMPTZ NOT NULL DEFAULT now(),
    published_at               TIMESTAMPTZ,
    deleted_at                 TIMESTAMPTZ,

    CONSTRAINT {products_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {products_slug_unique} UNIQUE (tenant_id, slug),
    CONSTRAINT products_name_length CHECK (length(name) BETWEEN 1 AND 255 AND length(slug) BETWEEN 1 AND 255),
    CONSTRAINT products_base_price_range CHECK (base_price BETWEEN 0 AND 1000000000000),
    CONSTRAINT products_published_dated CHECK (status <> 'active' OR published_at IS NOT NULL)
);
CREATE UNIQUE INDEX {products_external_unique} ON {products} (tenant_id, external_id) WHERE external_id IS NOT NULL;
CREATE UNIQUE INDEX {products_legacy_unique} ON {products} (tenant_id, legacy_id) WHERE legacy_id IS NOT NULL;
CREATE INDEX {idx_products_status} ON {products} (tenant_id, status, id) WHERE deleted_at IS NULL;
CREATE INDEX {idx_products_type} ON {products} (tenant_id, product_type, status, id) WHERE deleted_at IS NULL;
CREATE INDEX {idx_products_erp_sync} ON {products} (tenant_id, erp_synced_at) WHERE erp_item_id IS NULL;
CREATE INDEX {idx_products_search} ON {products} USING gin (name gin_trgm_ops);

CREATE TABLE {product_category_assignments} (
    tenant_id    TEXT NOT NULL,
    product_id   UUID NOT NULL,
    category_id  UUID NOT NULL,
    is_primary   BOOLEAN NOT NULL DEFAULT FALSE,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {product_category_assignments_pkey} PRIMARY KEY (tenant_id, product_id, category_id),
    CONSTRAINT pca_product_fkey FOREIGN KEY (tenant_id, product_id) REFERENCES {products} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT pca_category_fkey FOREIGN KEY (tenant_id, category_id)
        REFERENCES {product_categories} (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX {idx_pca_category} ON {product_category_assignments} (tenant_id, category_id, product_id);
CREATE UNIQUE INDEX {pca_primary_unique} ON {product_category_assignments} (tenant_id, product_id) WHERE is_primary;

CREATE TABLE {product_options} (
    tenant_id   TEXT NOT NULL,
    id          UUID NOT NULL,
    product_id  UUID NOT NULL,
    name        TEXT NOT NULL,
    position    INTEGER NOT NULL DEFAULT 0,
    values      TEXT[] NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {product_options_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {product_options_name_unique} UNIQUE (tenant_id, product_id, name),
    CONSTRAINT product_options_product_fkey FOREIGN KEY (tenant_id, product_id)
        REFERENCES {products} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT product_options_name_length CHECK (length(name) BETWEEN 1 AND 50),
    CONSTRAINT product_options_values_some CHECK (cardinality(values) BETWEEN 1 AND 200)
);

-- The price bound keeps 100 lines of 10,000 units inside a BIGINT.
CREATE TABLE {product_variants} (
    tenant_id            TEXT NOT NULL,
    id                   UUID NOT NULL,
    product_id           UUID NOT NULL,
    title                TEXT NOT NULL,                -- the option values in option order, as in 'Red / M'
    options              JSONB NOT NULL DEFAULT '{}',  -- {"Color": "Red", "Size": "M"}
    sku                  TEXT COLLATE "C",
    barcode              TEXT,
    price                BIGINT NOT NULL,
    currency             TEXT NOT NULL,
    compare_at_price     BIGINT,
    cost_price           BIGINT,
    crypto_amount        BIGINT,
    crypto_token         TEXT,
    crypto_account       TEXT,
    stripe_price_id      TEXT,
    stock_policy         {stock_policy} NOT NULL DEFAULT 'deny',
    backorder_limit      INTEGER,                      -- units below zero; NULL: no bound
    low_stock_threshold  INTEGER NOT NULL DEFAULT 10,
    weight_g             INTEGER,
    requires_shipping    BOOLEAN NOT NULL DEFAULT TRUE,
    taxable              BOOLEAN NOT NULL DEFAULT TRUE,
    image_url            TEXT,
    position             INTEGER NOT NULL DEFAULT 0,
    is_active            BOOLEAN NOT NULL DEFAULT TRUE,
    metadata             JSONB NOT NULL DEFAULT '{}',
    created_at           TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at           TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {product_variants_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {products_sku_unique} UNIQUE (tenant_id, sku),
    CONSTRAINT {product_variants_product_unique} UNIQUE (tenant_id, product_id, id),
    CONSTRAINT {product_variants_options_unique} UNIQUE (tenant_id, product_id, options),
    CONSTRAINT product_variants_product_fkey FOREIGN KEY (tenant_id, product_id)
        REFERENCES {products} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT products_price_positive CHECK (price BETWEEN 0 AND 1000000000000),
    CONSTRAINT product_variants_other_prices_range CHECK (compare_at_price BETWEEN 0 AND 1000000000000
                                                          AND cost_price BETWEEN 0 AND 1000000000000),
    CONSTRAINT product_variants_crypto_whole CHECK (
        (crypto_amount IS NULL AND crypto_token IS NULL AND crypto_account IS NULL)
        OR (crypto_amount >= 0 AND crypto_token IS NOT NULL AND crypto_account IS NOT NULL)),
    CONSTRAINT product_variants_sku_length CHECK (length(sku) BETWEEN 1 AND 100),
    CONSTRAINT product_variants_title_length CHECK (length(title) BETWEEN 1 AND 255),
    CONSTRAINT product_variants_backorder_bound CHECK (backorder_limit >= 0 AND low_stock_threshold >= 0),
    CONSTRAINT product_variants_weight_positive CHECK (weight_g >= 0)
);
CREATE UNIQUE INDEX {product_variants_stripe_unique} ON {product_variants} (tenant_id, stripe_price_id)
    WHERE stripe_price_id IS NOT NULL;

CREATE TABLE {product_images} (
    tenant_id   TEXT NOT NULL,
    id          UUID NOT NULL,
    product_id  UUID NOT NULL,
    url         TEXT NOT NULL,
    alt_text    TEXT,
    position    INTEGER NOT NULL DEFAULT 0,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {product_images_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {product_images_url_unique} UNIQUE (tenant_id, product_id, url),
    CONSTRAINT product_images_product_fkey FOREIGN KEY (tenant_id, product_id)
        REFERENCES {products} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT product_images_url_length CHECK (length(url) BETWEEN 1 AND 2000)
);

CREATE TABLE {product_batches} (
    tenant_id           TEXT NOT NULL,
    id                  UUID NOT NULL,
    product_id          UUID NOT NULL,
    batch_number        TEXT NOT NULL,
    quantity_produced   INTEGER NOT NULL,
    quantity_remaining  INTEGER NOT NULL,
    coa_file_url        TEXT NOT NULL,
    coa_verified        BOOLEAN NOT NULL DEFAULT FALSE,
    coa_verified_by     UUID,
    coa_verified_at     TIMESTAMPTZ,
    manufactured_at     DATE NOT NULL,
    expires_at          DATE NOT NULL,
    is_active           BOOLEAN NOT NULL DEFAULT TRUE,
    created_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at          TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {product_batches_pkey} PRIMARY KEY (tenant_id, id),
    CONSTRAINT {product_batches_number_unique} UNIQUE (tenant_id, product_id, batch_number),
    CONSTRAINT product_batches_product_fkey FOREIGN KEY (tenant_id, product_id)
        REFERENCES {products} (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT product_batches_verifier_fkey FOREIGN KEY (tenant_id, coa_verified_by) REFERENCES {users} (tenant_id, id),
    CONSTRAINT product_batches_remaining_range CHECK (quantity_remaining BETWEEN 0 AND quantity_produced),
    CONSTRAINT product_batches_verified_dated CHECK (NOT coa_verified OR coa_verified_at IS NOT NULL),
    CONSTRAINT product_batches_dates_order CHECK (expires_at > manufactured_at),
    CONSTRAINT product_batches_file_given CHECK (length(coa_file_url) > 0)
);
CREATE INDEX {idx_product_batches_product} ON {product_batches} (tenant_id, product_id, expires_at) WHERE is_active;
CREATE INDEX {idx_product_batches_expiry} ON {product_batches} (expires_at) WHERE is_active;
CREATE INDEX {idx_product_batches_verifier} ON {product_batches} (tenant_id, coa_verified_by);
