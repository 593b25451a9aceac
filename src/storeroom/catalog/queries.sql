-- The catalogue. Rows are written from jsonb, one statement for one row as for fifty: the import of a file writes with
-- the same statements as the shop's staff. Whoever changes a product, or anything that hangs on it, first locks the
-- product's row (`lock_product`), so that rules over several of its rows hold.

-- name: find_products(tenant_id, product_ids) -> ProductHead*
-- Also deleted ones: old orders show them.
SELECT p.id, p.name, p.slug, p.product_type, p.status, p.short_description, p.description, p.vendor, p.tags,
       p.base_price, p.currency, p.is_digital, p.file_path, p.requires_age_verification, p.requires_kyc,
       p.restricted_states, p.restricted_countries, p.current_batch_number, p.current_coa_url, p.erp_item_id,
       p.erp_synced_at, p.external_id, p.memo_template, p.subscription_config, p.brand_id, p.company_code, p.legacy_id,
       p.metadata, p.created_at, p.updated_at, p.published_at, p.deleted_at,
       coalesce((SELECT jsonb_agg(jsonb_build_object('id', o.id, 'name', o.name, 'values', o.values)
                                  ORDER BY o.position, o.id)
                   FROM {product_options} AS o
                  WHERE o.tenant_id = :tenant_id
                    AND o.product_id = p.id), '[]') AS options,
       coalesce((SELECT jsonb_agg(jsonb_build_object('id', i.id, 'url', i.url, 'alt_text', i.alt_text,
                                                     'position', i.position) ORDER BY i.position, i.id)
                   FROM {product_images} AS i
                  WHERE i.tenant_id = :tenant_id
                    AND i.product_id = p.id), '[]') AS images,
       coalesce((SELECT jsonb_agg(jsonb_build_object('id', c.id, 'slug', c.slug, 'name', c.name,
                                                     'is_primary', a.is_primary) ORDER BY a.is_primary DESC, c.name, c.id)
                   FROM {product_category_assignments} AS a
                   JOIN {product_categories} AS c
                     ON c.tenant_id = :tenant_id
                    AND c.id = a.category_id
                  WHERE a.tenant_id = :tenant_id
                    AND a.product_id = p.id), '[]') AS categories
  FROM {products} AS p
 WHERE p.tenant_id = :tenant_id
   AND p.id = ANY(:product_ids);

-- name: find_variants(tenant_id, limit, product_ids?, variant_id?, sku?) -> Variant*
-- Those of some products in order, or the one of an id or a SKU.
SELECT v.id, v.product_id, v.title, v.options, v.sku, v.barcode, v.price, v.compare_at_price, v.cost_price,
       CASE WHEN v.crypto_token IS NOT NULL
            THEN jsonb_build_object('price', jsonb_build_object('amount', v.crypto_amount, 'currency', v.crypto_token),
                                    'account', v.crypto_account)
        END AS crypto_price,
       v.stripe_price_id, v.stock_policy, v.backorder_limit, v.low_stock_threshold, v.weight_g, v.requires_shipping,
       v.taxable, v.image_url, v.position, v.is_active, v.metadata, v.created_at, v.updated_at,
       coalesce(s.on_hand, 0) AS on_hand, coalesce(s.reserved, 0) AS reserved, v.currency
  FROM {product_variants} AS v
  LEFT JOIN {stock_levels} AS s
    ON s.tenant_id = :tenant_id
   AND s.variant_id = v.id
 WHERE v.tenant_id = :tenant_id
   AND v.product_id = ANY(:product_ids) -- if product_ids
   AND v.id = :variant_id               -- if variant_id
   AND v.sku = :sku                     -- if sku
 ORDER BY v.position, v.id
 LIMIT :limit;

-- name: product_id_by_slug(tenant_id, slug) -> ProductId?
SELECT id
  FROM {products}
 WHERE tenant_id = :tenant_id
   AND slug = :slug;

-- name: product_id_by_external_id(tenant_id, external_id) -> ProductId?
SELECT id
  FROM {products}
 WHERE tenant_id = :tenant_id
   AND external_id = :external_id;

-- name: product_id_by_stripe_price_id(tenant_id, stripe_price_id) -> ProductId?
SELECT product_id
  FROM {product_variants}
 WHERE tenant_id = :tenant_id
   AND stripe_price_id = :stripe_price_id;

-- name: product_summaries(tenant_id, limit, status?, category_ids?, product_type?, tag?, after_id?) -> ProductSummary*
-- A page of the shop, newest first. The page is cut before the variants are gathered, so they are read for its rows
-- alone. `available` is NULL where there is no bound: see units_available() in the model.
SELECT p.id, p.slug, p.name, p.product_type, p.status, p.short_description,
       coalesce(p.base_price, o.price) AS price, p.currency,
       (SELECT i.url
          FROM {product_images} AS i
         WHERE i.tenant_id = :tenant_id
           AND i.product_id = p.id
         ORDER BY i.position, i.id
         LIMIT 1) AS image_url,
       coalesce(o.in_stock, FALSE) AS in_stock, coalesce(o.variants, '[]') AS variants
  FROM (SELECT l.id, l.slug, l.name, l.product_type, l.status, l.short_description, l.base_price, l.currency
          FROM {products} AS l
         WHERE l.tenant_id = :tenant_id
           AND l.deleted_at IS NULL
           AND l.status = :status                   -- if status
           AND l.product_type = :product_type       -- if product_type
           AND :tag = ANY(l.tags)                   -- if tag
           AND EXISTS (SELECT 1 FROM {product_category_assignments} AS a WHERE a.tenant_id = :tenant_id AND a.product_id = l.id AND a.category_id = ANY(:category_ids))  -- if category_ids
           AND l.id < :after_id                     -- if after_id
         ORDER BY l.id DESC
         LIMIT :limit) AS p
  LEFT JOIN LATERAL (
        SELECT min(w.price) AS price, bool_or(coalesce(w.available, 1) > 0) AS in_stock,
               jsonb_agg(jsonb_build_object(
                   'id', w.id, 'sku', w.sku, 'title', w.title,
                   'price', jsonb_build_object('amount', w.price, 'currency', w.currency),
                   'compare_at_price', CASE WHEN w.compare_at_price > w.price
                                            THEN jsonb_build_object('amount', w.compare_at_price, 'currency', w.currency)
                                        END,
                   'available', w.available, 'in_stock', coalesce(w.available, 1) > 0)
                   ORDER BY w.position, w.id) AS variants
          FROM (SELECT v.id, v.sku, v.title, v.price, v.compare_at_price, v.currency, v.position,
                       CASE WHEN v.stock_policy = 'deny' THEN greatest(coalesce(s.on_hand - s.reserved, 0), 0)
                            WHEN v.stock_policy = 'backorder' AND v.backorder_limit IS NOT NULL
                            THEN greatest(coalesce(s.on_hand - s.reserved, 0) + v.backorder_limit, 0)
                        END AS available
                  FROM {product_variants} AS v
                  LEFT JOIN {stock_levels} AS s
                    ON s.tenant_id = :tenant_id
                   AND s.variant_id = v.id
                 WHERE v.tenant_id = :tenant_id
                   AND v.product_id = p.id
                   AND v.is_active) AS w) AS o
    ON TRUE
 ORDER BY p.id DESC;

-- name: product_hits(tenant_id, words, pattern, limit, status?, category_ids?, product_type?, tag?, after_rank?,
--                    after_id?) -> ProductHit*
-- What a search finds, best first: the words as a part of the name, or misspelt. Each of the conditions reads the
-- trigram index; `<%` compares with the stretch of the name that is most like the words (0.6 of the trigrams), `<<%`
-- with whole words (0.5), which is what one wrong letter in a word of eight needs.
SELECT p.id, p.slug, p.name, p.product_type, p.status, p.short_description,
       coalesce(p.base_price, o.price) AS price, p.currency,
       (SELECT i.url
          FROM {product_images} AS i
         WHERE i.tenant_id = :tenant_id
           AND i.product_id = p.id
         ORDER BY i.position, i.id
         LIMIT 1) AS image_url,
       coalesce(o.in_stock, FALSE) AS in_stock, coalesce(o.variants, '[]') AS variants, p.rank
  FROM (SELECT l.id, l.slug, l.name, l.product_type, l.status, l.short_description, l.base_price, l.currency,
               word_similarity(:words, l.name) AS rank
          FROM {products} AS l
         WHERE l.tenant_id = :tenant_id
           AND l.deleted_at IS NULL
           AND (l.name ILIKE :pattern OR :words <% l.name OR :words <<% l.name)
           AND l.status = :status                   -- if status
           AND l.product_type = :product_type       -- if product_type
           AND :tag = ANY(l.tags)                   -- if tag
           AND EXISTS (SELECT 1 FROM {product_category_assignments} AS a WHERE a.tenant_id = :tenant_id AND a.product_id = l.id AND a.category_id = ANY(:category_ids))  -- if category_ids
           AND (word_similarity(:words, l.name), l.id) < (:after_rank::REAL, :after_id::UUID)  -- if after_rank
         ORDER BY rank DESC, l.id DESC
         LIMIT :limit) AS p
  LEFT JOIN LATERAL (
        SELECT min(w.price) AS price, bool_or(coalesce(w.available, 1) > 0) AS in_stock,
               jsonb_agg(jsonb_build_object(
                   'id', w.id, 'sku', w.sku, 'title', w.title,
                   'price', jsonb_build_object('amount', w.price, 'currency', w.currency),
                   'compare_at_price', CASE WHEN w.compare_at_price > w.price
                                            THEN jsonb_build_object('amount', w.compare_at_price, 'currency', w.currency)
                                        END,
                   'available', w.available, 'in_stock', coalesce(w.available, 1) > 0)
                   ORDER BY w.position, w.id) AS variants
          FROM (SELECT v.id, v.sku, v.title, v.price, v.compare_at_price, v.currency, v.position,
                       CASE WHEN v.stock_policy = 'deny' THEN greatest(coalesce(s.on_hand - s.reserved, 0), 0)
                            WHEN v.stock_policy = 'backorder' AND v.backorder_limit IS NOT NULL
                            THEN greatest(coalesce(s.on_hand - s.reserved, 0) + v.backorder_limit, 0)
                        END AS available
                  FROM {product_variants} AS v
                  LEFT JOIN {stock_levels} AS s
                    ON s.tenant_id = :tenant_id
                   AND s.variant_id = v.id
                 WHERE v.tenant_id = :tenant_id
                   AND v.product_id = p.id
                   AND v.is_active) AS w) AS o
    ON TRUE
 ORDER BY p.rank DESC, p.id DESC;

-- name: product_page(tenant_id, slug) -> ProductPage?
-- What a customer may see of one product, in one statement: no cost, no path of a file, no inactive category.
SELECT p.id, p.slug, p.name, p.product_type, p.short_description, p.description, p.vendor, p.tags,
       coalesce(p.base_price, o.price) AS price, p.currency, p.is_digital, p.requires_age_verification, p.requires_kyc,
       p.restricted_states, p.restricted_countries, p.current_batch_number, p.current_coa_url, p.published_at,
       coalesce((SELECT jsonb_agg(jsonb_build_object('id', o.id, 'name', o.name, 'values', o.values)
                                  ORDER BY o.position, o.id)
                   FROM {product_options} AS o
                  WHERE o.tenant_id = :tenant_id
                    AND o.product_id = p.id), '[]') AS options,
       coalesce((SELECT jsonb_agg(jsonb_build_object('id', i.id, 'url', i.url, 'alt_text', i.alt_text,
                                                     'position', i.position) ORDER BY i.position, i.id)
                   FROM {product_images} AS i
                  WHERE i.tenant_id = :tenant_id
                    AND i.product_id = p.id), '[]') AS images,
       coalesce((SELECT jsonb_agg(jsonb_build_object('id', c.id, 'slug', c.slug, 'name', c.name,
                                                     'is_primary', a.is_primary) ORDER BY a.is_primary DESC, c.name, c.id)
                   FROM {product_category_assignments} AS a
                   JOIN {product_categories} AS c
                     ON c.tenant_id = :tenant_id
                    AND c.id = a.category_id
                  WHERE a.tenant_id = :tenant_id
                    AND a.product_id = p.id
                    AND c.is_active), '[]') AS categories,
       coalesce(o.in_stock, FALSE) AS in_stock, coalesce(o.variants, '[]') AS variants
  FROM {products} AS p
  LEFT JOIN LATERAL (
        SELECT min(w.price) AS price, bool_or(coalesce(w.available, 1) > 0) AS in_stock,
               jsonb_agg(jsonb_build_object(
                   'id', w.id, 'sku', w.sku, 'title', w.title,
                   'price', jsonb_build_object('amount', w.price, 'currency', w.currency),
                   'compare_at_price', CASE WHEN w.compare_at_price > w.price
                                            THEN jsonb_build_object('amount', w.compare_at_price, 'currency', w.currency)
                                        END,
                   'available', w.available, 'in_stock', coalesce(w.available, 1) > 0,
                   'crypto_price', CASE WHEN w.crypto_token IS NOT NULL
                                        THEN jsonb_build_object(
                                            'price', jsonb_build_object('amount', w.crypto_amount, 'currency', w.crypto_token),
                                            'account', w.crypto_account)
                                    END,
                   'options', w.options,
                   'barcode', w.barcode, 'weight_g', w.weight_g, 'requires_shipping', w.requires_shipping,
                   'image_url', w.image_url) ORDER BY w.position, w.id) AS variants
          FROM (SELECT v.id, v.sku, v.title, v.price, v.compare_at_price, v.currency, v.position, v.options, v.barcode,
                       v.weight_g, v.requires_shipping, v.image_url, v.crypto_amount, v.crypto_token, v.crypto_account,
                       CASE WHEN v.stock_policy = 'deny' THEN greatest(coalesce(s.on_hand - s.reserved, 0), 0)
                            WHEN v.stock_policy = 'backorder' AND v.backorder_limit IS NOT NULL
                            THEN greatest(coalesce(s.on_hand - s.reserved, 0) + v.backorder_limit, 0)
                        END AS available
                  FROM {product_variants} AS v
                  LEFT JOIN {stock_levels} AS s
                    ON s.tenant_id = :tenant_id
                   AND s.variant_id = v.id
                 WHERE v.tenant_id = :tenant_id
                   AND v.product_id = p.id
                   AND v.is_active) AS w) AS o
    ON TRUE
 WHERE p.tenant_id = :tenant_id
   AND p.slug = :slug
   AND p.status = 'active'
   AND p.deleted_at IS NULL;

-- Writing products ----------------------------------------------------------------------------------------------------

-- name: lock_product(tenant_id, product_id) -> ProductId?
-- Until the transaction ends. Not FOR UPDATE: carts and orders that point here go on.
SELECT id
  FROM {products}
 WHERE tenant_id = :tenant_id
   AND id = :product_id
   FOR NO KEY UPDATE;

-- name: lock_products_by_slug(tenant_id, slugs) -> ProductId*
-- In the order of ids, as everyone locks rows.
SELECT id
  FROM {products}
 WHERE tenant_id = :tenant_id
   AND slug = ANY(:slugs)
 ORDER BY id
   FOR NO KEY UPDATE;

-- name: add_products(tenant_id, rows)
INSERT INTO {products} (tenant_id, id, name, slug, product_type, status, short_description, description, vendor, tags,
                        base_price, currency, is_digital, file_path, requires_age_verification, requires_kyc,
                        restricted_states, restricted_countries, external_id, memo_template, subscription_config,
                        brand_id, company_code, legacy_id, metadata, published_at)
SELECT :tenant_id, r.id, r.name, r.slug, r.product_type, r.status, r.short_description, r.description, r.vendor, r.tags,
       r.base_price, r.currency, r.is_digital, r.file_path, r.requires_age_verification, r.requires_kyc,
       r.restricted_states, r.restricted_countries, r.external_id, r.memo_template, r.subscription_config,
       r.brand_id, r.company_code, r.legacy_id, r.metadata, r.published_at
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, name TEXT, slug TEXT, product_type {product_type}, status {product_status}, short_description TEXT,
       description TEXT, vendor TEXT, tags TEXT[], base_price BIGINT, currency TEXT, is_digital BOOLEAN, file_path TEXT,
       requires_age_verification BOOLEAN, requires_kyc BOOLEAN, restricted_states TEXT[], restricted_countries TEXT[],
       external_id TEXT, memo_template TEXT, subscription_config JSONB, brand_id TEXT, company_code TEXT,
       legacy_id BIGINT, metadata JSONB, published_at TIMESTAMPTZ);

-- name: update_products(tenant_id, rows)
-- Everything that is edited; the status has moves of its own.
UPDATE {products} AS p
   SET name = r.name, slug = r.slug, product_type = r.product_type, short_description = r.short_description,
       description = r.description, vendor = r.vendor, tags = r.tags, base_price = r.base_price,
       is_digital = r.is_digital, file_path = r.file_path, requires_age_verification = r.requires_age_verification,
       requires_kyc = r.requires_kyc, restricted_states = r.restricted_states,
       restricted_countries = r.restricted_countries, external_id = r.external_id, memo_template = r.memo_template,
       subscription_config = r.subscription_config, brand_id = r.brand_id, company_code = r.company_code,
       legacy_id = r.legacy_id, metadata = r.metadata, updated_at = now()
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, name TEXT, slug TEXT, product_type {product_type}, short_description TEXT,
       description TEXT, vendor TEXT, tags TEXT[], base_price BIGINT, is_digital BOOLEAN, file_path TEXT,
       requires_age_verification BOOLEAN, requires_kyc BOOLEAN, restricted_states TEXT[], restricted_countries TEXT[],
       external_id TEXT, memo_template TEXT, subscription_config JSONB, brand_id TEXT, company_code TEXT,
       legacy_id BIGINT, metadata JSONB)
 WHERE p.tenant_id = :tenant_id
   AND p.id = r.id;

-- name: move_products(tenant_id, product_ids, to, sources, published_at?) -> ProductId*
-- Those that may move do; who is missing in the answer was not in one of the sources. The first publication is kept.
UPDATE {products}
   SET status = :to,
       published_at = coalesce(published_at, :published_at),
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = ANY(:product_ids)
   AND deleted_at IS NULL
   AND status = ANY(:sources)
RETURNING id;

-- name: delete_product(tenant_id, product_id) -> count
-- The row stays: orders point at it, and its slug stays taken.
UPDATE {products}
   SET status = 'discontinued', deleted_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :product_id
   AND deleted_at IS NULL;

-- name: touch_product(tenant_id, product_id)
UPDATE {products}
   SET updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :product_id;

-- Options and variants ------------------------------------------------------------------------------------------------

-- name: remove_options(tenant_id, product_ids)
DELETE FROM {product_options}
 WHERE tenant_id = :tenant_id
   AND product_id = ANY(:product_ids);

-- name: add_options(tenant_id, rows)
INSERT INTO {product_options} (tenant_id, id, product_id, name, position, values)
SELECT :tenant_id, r.id, r.product_id, r.name, r.position, r.values
  FROM jsonb_to_recordset(:rows::JSONB) AS r (id UUID, product_id UUID, name TEXT, position INTEGER, values TEXT[]);

-- name: sku_owners(tenant_id, skus) -> SkuOwner*
SELECT sku, id, product_id
  FROM {product_variants}
 WHERE tenant_id = :tenant_id
   AND sku IS NOT NULL
   AND sku = ANY(:skus);

-- name: clear_skus(tenant_id, variant_ids)
-- Before an update that may exchange them: the unique constraint looks at each row as it is written.
UPDATE {product_variants}
   SET sku = NULL
 WHERE tenant_id = :tenant_id
   AND id = ANY(:variant_ids);

-- name: product_id_of_variant(tenant_id, variant_id) -> ProductId?
SELECT product_id
  FROM {product_variants}
 WHERE tenant_id = :tenant_id
   AND id = :variant_id;

-- name: add_variants(tenant_id, rows)
INSERT INTO {product_variants} (tenant_id, id, product_id, title, options, sku, barcode, price, currency,
                                compare_at_price, cost_price, crypto_amount, crypto_token, crypto_account,
                                stripe_price_id, stock_policy, backorder_limit, low_stock_threshold, weight_g,
                                requires_shipping, taxable, image_url, position, is_active, metadata)
SELECT :tenant_id, r.id, r.product_id, r.title, r.options, r.sku, r.barcode, r.price, r.currency,
       r.compare_at_price, r.cost_price, r.crypto_amount, r.crypto_token, r.crypto_account,
       r.stripe_price_id, r.stock_policy, r.backorder_limit, r.low_stock_threshold, r.weight_g,
       r.requires_shipping, r.taxable, r.image_url, r.position, r.is_active, r.metadata
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, product_id UUID, title TEXT, options JSONB, sku TEXT, barcode TEXT, price BIGINT, currency TEXT,
       compare_at_price BIGINT, cost_price BIGINT, crypto_amount BIGINT, crypto_token TEXT, crypto_account TEXT,
       stripe_price_id TEXT, stock_policy {stock_policy}, backorder_limit INTEGER, low_stock_threshold INTEGER,
       weight_g INTEGER, requires_shipping BOOLEAN, taxable BOOLEAN, image_url TEXT, position INTEGER,
       is_active BOOLEAN, metadata JSONB);

-- name: update_variants(tenant_id, rows)
UPDATE {product_variants} AS v
   SET title = r.title, options = r.options, sku = r.sku, barcode = r.barcode, price = r.price,
       compare_at_price = r.compare_at_price, cost_price = r.cost_price, crypto_amount = r.crypto_amount,
       crypto_token = r.crypto_token, crypto_account = r.crypto_account, stripe_price_id = r.stripe_price_id,
       stock_policy = r.stock_policy, backorder_limit = r.backorder_limit, low_stock_threshold = r.low_stock_threshold,
       weight_g = r.weight_g, requires_shipping = r.requires_shipping, taxable = r.taxable, image_url = r.image_url,
       position = r.position, is_active = r.is_active, metadata = r.metadata, updated_at = now()
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, title TEXT, options JSONB, sku TEXT, barcode TEXT, price BIGINT,
       compare_at_price BIGINT, cost_price BIGINT, crypto_amount BIGINT, crypto_token TEXT, crypto_account TEXT,
       stripe_price_id TEXT, stock_policy {stock_policy}, backorder_limit INTEGER, low_stock_threshold INTEGER,
       weight_g INTEGER, requires_shipping BOOLEAN, taxable BOOLEAN, image_url TEXT, position INTEGER,
       is_active BOOLEAN, metadata JSONB)
 WHERE v.tenant_id = :tenant_id
   AND v.id = r.id;

-- A variant is born with its stock row. The stock belongs to the inventory, which knows the catalogue; the catalogue
-- does not know the inventory. So these few statements write its tables: the one exception.

-- name: add_stock_levels(tenant_id, rows)
INSERT INTO {stock_levels} (tenant_id, variant_id, on_hand)
SELECT :tenant_id, r.variant_id, r.on_hand
  FROM jsonb_to_recordset(:rows::JSONB) AS r (variant_id UUID, on_hand INTEGER);

-- name: lock_stock(tenant_id, variant_ids) -> Shelf*
SELECT variant_id, on_hand
  FROM {stock_levels}
 WHERE tenant_id = :tenant_id
   AND variant_id = ANY(:variant_ids)
 ORDER BY variant_id
   FOR UPDATE;

-- name: set_stock(tenant_id, rows)
UPDATE {stock_levels} AS s
   SET on_hand = r.on_hand
  FROM jsonb_to_recordset(:rows::JSONB) AS r (variant_id UUID, on_hand INTEGER)
 WHERE s.tenant_id = :tenant_id
   AND s.variant_id = r.variant_id;

-- name: add_movements(tenant_id, reason?, actor_kind, actor_id?, rows)
INSERT INTO {stock_movements} (tenant_id, id, variant_id, kind, quantity, on_hand_after, reason, actor_kind, actor_id)
SELECT :tenant_id, r.id, r.variant_id, r.kind, r.quantity, r.on_hand_after, :reason, :actor_kind, :actor_id
  FROM jsonb_to_recordset(:rows::JSONB) AS r (id UUID, variant_id UUID, kind {movement_kind}, quantity INTEGER,
                                              on_hand_after INTEGER);

-- Images --------------------------------------------------------------------------------------------------------------

-- name: add_images(tenant_id, rows)
-- The same picture again gets the new text and place.
INSERT INTO {product_images} AS i (tenant_id, id, product_id, url, alt_text, position)
SELECT :tenant_id, r.id, r.product_id, r.url, r.alt_text, r.position
  FROM jsonb_to_recordset(:rows::JSONB) AS r (id UUID, product_id UUID, url TEXT, alt_text TEXT, position INTEGER)
    ON CONFLICT (tenant_id, product_id, url) DO UPDATE
   SET alt_text = EXCLUDED.alt_text, position = EXCLUDED.position;

-- name: remove_image(tenant_id, product_id, image_id) -> count
DELETE FROM {product_images}
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
   AND id = :image_id;

-- Categories ----------------------------------------------------------------------------------------------------------

-- name: categories(tenant_id, limit) -> Category*
-- All of them, each level of the tree in its order.
SELECT id, name, slug, description, parent_id, sort_order, is_active, created_at, updated_at
  FROM {product_categories}
 WHERE tenant_id = :tenant_id
 ORDER BY sort_order, name, id
 LIMIT :limit;

-- name: category(tenant_id, category_id) -> Category?
SELECT id, name, slug, description, parent_id, sort_order, is_active, created_at, updated_at
  FROM {product_categories}
 WHERE tenant_id = :tenant_id
   AND id = :category_id;

-- name: category_by_slug(tenant_id, slug) -> Category?
SELECT id, name, slug, description, parent_id, sort_order, is_active, created_at, updated_at
  FROM {product_categories}
 WHERE tenant_id = :tenant_id
   AND slug = :slug;

-- name: category_slugs(tenant_id, slugs) -> CategorySlug*
SELECT slug, id
  FROM {product_categories}
 WHERE tenant_id = :tenant_id
   AND slug = ANY(:slugs);

-- name: lock_categories(tenant_id) -> CategoryLink*
-- Two moves that would together close a circle touch different rows; so whoever moves a category holds all of them, in
-- the order of ids, and sees the tree as the one before left it.
SELECT id, parent_id
  FROM {product_categories}
 WHERE tenant_id = :tenant_id
 ORDER BY id
   FOR NO KEY UPDATE;

-- name: subtree(tenant_id, slug, depth_max, active_only) -> CategoryId*
-- A category and all below it. An inactive one hides what is below it, so the walk stops there; one whose ancestor is
-- inactive can still be asked for by its own name.
WITH RECURSIVE tree AS (
    SELECT c.id, 1 AS depth
      FROM {product_categories} AS c
     WHERE c.tenant_id = :tenant_id
       AND c.slug = :slug
       AND (c.is_active OR NOT :active_only)
     UNION ALL
    SELECT c.id, t.depth + 1
      FROM tree AS t
      JOIN {product_categories} AS c
        ON c.tenant_id = :tenant_id
       AND c.parent_id = t.id
     WHERE (c.is_active OR NOT :active_only)
       AND t.depth < :depth_max
)
SELECT id
  FROM tree;

-- name: category_path(tenant_id, category_id, depth_max) -> Category*
-- From the root to the category itself.
WITH RECURSIVE path AS (
    SELECT c.id, c.name, c.slug, c.description, c.parent_id, c.sort_order, c.is_active, c.created_at, c.updated_at,
           1 AS height
      FROM {product_categories} AS c
     WHERE c.tenant_id = :tenant_id
       AND c.id = :category_id
     UNION ALL
    SELECT c.id, c.name, c.slug, c.description, c.parent_id, c.sort_order, c.is_active, c.created_at, c.updated_at,
           p.height + 1
      FROM path AS p
      JOIN {product_categories} AS c
        ON c.tenant_id = :tenant_id
       AND c.id = p.parent_id
     WHERE p.height < :depth_max
)
SELECT id, name, slug, description, parent_id, sort_order, is_active, created_at, updated_at
  FROM path
 ORDER BY height DESC;

-- name: add_category(tenant_id, category_id, name, slug, description?, parent_id?, sort_order, is_active) -> Category
INSERT INTO {product_categories} (tenant_id, id, name, slug, description, parent_id, sort_order, is_active)
VALUES (:tenant_id, :category_id, :name, :slug, :description, :parent_id, :sort_order, :is_active)
RETURNING id, name, slug, description, parent_id, sort_order, is_active, created_at, updated_at;

-- name: add_missing_categories(tenant_id, rows) -> count
INSERT INTO {product_categories} (tenant_id, id, name, slug)
SELECT :tenant_id, r.id, r.name, r.slug
  FROM jsonb_to_recordset(:rows::JSONB) AS r (id UUID, name TEXT, slug TEXT)
    ON CONFLICT (tenant_id, slug) DO NOTHING;

-- name: update_category(tenant_id, category_id, name, slug, description?, sort_order, is_active) -> Category?
UPDATE {product_categories}
   SET name = :name, slug = :slug, description = :description, sort_order = :sort_order, is_active = :is_active,
       updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :category_id
RETURNING id, name, slug, description, parent_id, sort_order, is_active, created_at, updated_at;

-- name: lock_category(tenant_id, category_id) -> Category?
SELECT id, name, slug, description, parent_id, sort_order, is_active, created_at, updated_at
  FROM {product_categories}
 WHERE tenant_id = :tenant_id
   AND id = :category_id
   FOR NO KEY UPDATE;

-- name: move_category(tenant_id, category_id, parent_id?) -> Category?
UPDATE {product_categories}
   SET parent_id = :parent_id, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :category_id
RETURNING id, name, slug, description, parent_id, sort_order, is_active, created_at, updated_at;

-- name: assign(tenant_id, rows)
-- Under the lock of the products. The first category of a product is its primary one.
INSERT INTO {product_category_assignments} (tenant_id, product_id, category_id, is_primary)
SELECT :tenant_id, r.product_id, r.category_id,
       NOT EXISTS (SELECT 1
                     FROM {product_category_assignments} AS a
                    WHERE a.tenant_id = :tenant_id
                      AND a.product_id = r.product_id
                      AND a.is_primary)
  FROM jsonb_to_recordset(:rows::JSONB) AS r (product_id UUID, category_id UUID)
    ON CONFLICT (tenant_id, product_id, category_id) DO NOTHING;

-- name: unassign(tenant_id, product_id, category_id) -> bool?
-- The answer is whether it was the primary one.
DELETE FROM {product_category_assignments}
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
   AND category_id = :category_id
RETURNING is_primary;

-- name: clear_primary(tenant_id, product_id)
-- Before `make_primary`: the unique index looks at each row as it is written.
UPDATE {product_category_assignments}
   SET is_primary = FALSE
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
   AND is_primary;

-- name: make_primary(tenant_id, product_id, category_id) -> count
UPDATE {product_category_assignments}
   SET is_primary = TRUE
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
   AND category_id = :category_id;

-- name: oldest_assignment(tenant_id, product_id) -> CategoryId?
SELECT category_id
  FROM {product_category_assignments}
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
 ORDER BY created_at, category_id
 LIMIT 1;

-- Batches -------------------------------------------------------------------------------------------------------------

-- name: add_batch(tenant_id, batch_id, product_id, batch_number, quantity_produced, coa_file_url, manufactured_at,
--                 expires_at) -> Batch
INSERT INTO {product_batches} (tenant_id, id, product_id, batch_number, quantity_produced, quantity_remaining,
                               coa_file_url, manufactured_at, expires_at)
VALUES (:tenant_id, :batch_id, :product_id, :batch_number, :quantity_produced, :quantity_produced,
        :coa_file_url, :manufactured_at, :expires_at)
RETURNING id, product_id, batch_number, quantity_produced, quantity_remaining, coa_file_url, coa_verified,
          coa_verified_by, coa_verified_at, manufactured_at, expires_at, is_active, created_at, updated_at;

-- name: batch(tenant_id, batch_id) -> Batch?
SELECT id, product_id, batch_number, quantity_produced, quantity_remaining, coa_file_url, coa_verified,
       coa_verified_by, coa_verified_at, manufactured_at, expires_at, is_active, created_at, updated_at
  FROM {product_batches}
 WHERE tenant_id = :tenant_id
   AND id = :batch_id;

-- name: batches_of(tenant_id, product_id, limit) -> Batch*
-- First the one that expires last.
SELECT id, product_id, batch_number, quantity_produced, quantity_remaining, coa_file_url, coa_verified,
       coa_verified_by, coa_verified_at, manufactured_at, expires_at, is_active, created_at, updated_at
  FROM {product_batches}
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
 ORDER BY expires_at DESC, id DESC
 LIMIT :limit;

-- name: batches_expiring(tenant_id, until, limit) -> Batch*
-- First the one that expires first.
SELECT id, product_id, batch_number, quantity_produced, quantity_remaining, coa_file_url, coa_verified,
       coa_verified_by, coa_verified_at, manufactured_at, expires_at, is_active, created_at, updated_at
  FROM {product_batches}
 WHERE tenant_id = :tenant_id
   AND is_active
   AND expires_at <= :until
 ORDER BY expires_at, id
 LIMIT :limit;

-- name: verify_batch(tenant_id, batch_id, verified_by?) -> Batch?
-- No row: it was verified before, and the first verification stays.
UPDATE {product_batches}
   SET coa_verified = TRUE, coa_verified_by = :verified_by, coa_verified_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :batch_id
   AND NOT coa_verified
RETURNING id, product_id, batch_number, quantity_produced, quantity_remaining, coa_file_url, coa_verified,
          coa_verified_by, coa_verified_at, manufactured_at, expires_at, is_active, created_at, updated_at;

-- name: switch_batches(tenant_id, batch_ids, is_active) -> BatchId*
-- Only those that were the other way.
UPDATE {product_batches}
   SET is_active = :is_active, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = ANY(:batch_ids)
   AND is_active <> :is_active
RETURNING id;

-- name: newest_batch(tenant_id, product_id, today) -> CurrentBatch?
SELECT batch_number, coa_file_url
  FROM {product_batches}
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
   AND is_active
   AND coa_verified
   AND expires_at >= :today
 ORDER BY manufactured_at DESC, id DESC
 LIMIT 1;

-- name: set_current_batch(tenant_id, product_id, batch_number?, coa_url?) -> count
UPDATE {products}
   SET current_batch_number = :batch_number, current_coa_url = :coa_url, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :product_id
   AND (current_batch_number, current_coa_url) IS DISTINCT FROM (:batch_number, :coa_url);

-- name: lock_usable_batches(tenant_id, product_id, today) -> Batch*
-- In the order in which they are used up, and therefore locked: two shipments take them from the same end.
SELECT id, product_id, batch_number, quantity_produced, quantity_remaining, coa_file_url, coa_verified,
       coa_verified_by, coa_verified_at, manufactured_at, expires_at, is_active, created_at, updated_at
  FROM {product_batches}
 WHERE tenant_id = :tenant_id
   AND product_id = :product_id
   AND is_active
   AND coa_verified
   AND expires_at >= :today
   AND quantity_remaining > 0
 ORDER BY expires_at, id
   FOR NO KEY UPDATE;

-- name: take_from_batch(tenant_id, batch_id, quantity, today) -> count
-- The WHERE clause is the check, whoever was here in between.
UPDATE {product_batches}
   SET quantity_remaining = quantity_remaining - :quantity, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :batch_id
   AND is_active
   AND coa_verified
   AND expires_at >= :today
   AND quantity_remaining >= :quantity;

-- name: has_batches(tenant_id, product_id) -> bool
SELECT EXISTS (SELECT 1
                 FROM {product_batches}
                WHERE tenant_id = :tenant_id
                  AND product_id = :product_id);

-- name: due_batches(limit) -> DueBatch*
-- scope: all tenants
-- Active batches whose last day is over where their shop is. No zone is more than a day ahead of the server's date,
-- so the first condition, which the index answers, leaves nobody out.
SELECT b.tenant_id, b.id, b.product_id, (now() AT TIME ZONE t.time_zone)::DATE AS today
  FROM {product_batches} AS b
  JOIN {tenants} AS t
    ON t.tenant_id = b.tenant_id
 WHERE b.is_active
   AND b.expires_at <= current_date + 1
   AND b.expires_at < (now() AT TIME ZONE t.time_zone)::DATE
 ORDER BY b.expires_at, b.tenant_id, b.product_id, b.id
 LIMIT :limit;

-- The ERP -------------------------------------------------------------------------------------------------------------

-- name: mark_synced(tenant_id, id, erp_id) -> count
-- One that the ERP knows under another id is left alone: it would be there twice.
UPDATE {products}
   SET erp_item_id = :erp_id, erp_synced_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND (erp_item_id IS NULL OR erp_item_id = :erp_id);

-- name: reset_synced(tenant_id, id) -> count
UPDATE {products}
   SET erp_synced_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: reset_some_synced(tenant_id, size) -> count
UPDATE {products} r
   SET erp_synced_at = NULL, updated_at = now()
  FROM (SELECT id
          FROM {products}
         WHERE tenant_id = :tenant_id
           AND erp_item_id IS NOT NULL
           AND erp_synced_at IS NOT NULL
         ORDER BY erp_synced_at
         LIMIT :size
           FOR NO KEY UPDATE SKIP LOCKED) d
 WHERE r.tenant_id = :tenant_id
   AND r.id = d.id;
