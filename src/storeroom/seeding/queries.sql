-- Planting. Each statement takes the rows of one table; one with a known id gets what the file says of it today, except
-- for what belongs to the shop once it works: status, stock, passwords, roles. `updated_at` is that of the row that would
-- have been inserted, because a distributed ON CONFLICT knows no now().

-- name: record_seeds(tenant_id, rows)
-- First of all: a second seeder of the same shop waits here until this one has committed.
INSERT INTO {seeds_planted} (tenant_id, name, checksum, sequence)
SELECT :tenant_id, r.name, r.checksum, r.sequence
  FROM jsonb_to_recordset(:rows::JSONB) AS r (name TEXT, checksum TEXT, sequence INTEGER)
 ORDER BY r.name
    ON CONFLICT (tenant_id, name) DO UPDATE
   SET checksum = EXCLUDED.checksum, sequence = EXCLUDED.sequence, updated_at = EXCLUDED.updated_at;

-- name: planted_seeds(tenant_id) -> PlantedSeed*
SELECT name, checksum, sequence
  FROM {seeds_planted}
 WHERE tenant_id = :tenant_id
 ORDER BY sequence, name;

-- name: plant_payment_methods(tenant_id, currency, rows)
INSERT INTO {payment_methods} (tenant_id, id, code, method_type, name, is_active, is_manual, instructions,
                               payment_details, min_amount, max_amount, currency, confirmation_window_hours, sort_order,
                               icon_url)
SELECT :tenant_id, r.id, r.code, r.method_type, r.name, r.is_active, r.is_manual, r.instructions, r.payment_details,
       r.min_amount, r.max_amount, :currency, r.confirmation_window_hours, r.sort_order, r.icon_url
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, code TEXT, method_type {payment_method_type}, name TEXT, is_active BOOLEAN, is_manual BOOLEAN,
       instructions TEXT, payment_details JSONB, min_amount BIGINT, max_amount BIGINT,
       confirmation_window_hours INTEGER, sort_order INTEGER, icon_url TEXT)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET name = EXCLUDED.name, instructions = EXCLUDED.instructions, payment_details = EXCLUDED.payment_details,
       updated_at = EXCLUDED.updated_at;

-- name: plant_gateways(tenant_id, rows)
-- Inactive and in test mode, as the table has it; what the shop has set of one that is there stays.
INSERT INTO {payment_gateways} (tenant_id, id, kind, name, position)
SELECT :tenant_id, r.id, r.kind, r.name, r.position
  FROM jsonb_to_recordset(:rows::JSONB) AS r (id TEXT, kind TEXT, name TEXT, position INTEGER)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET name = EXCLUDED.name, updated_at = EXCLUDED.updated_at;

-- name: plant_categories(tenant_id, rows)
-- Parents before children: the rows come in that order, and foreign keys are looked at when the statement ends.
INSERT INTO {product_categories} (tenant_id, id, name, slug, description, parent_id, sort_order, is_active)
SELECT :tenant_id, r.id, r.name, r.slug, r.description, r.parent_id, r.sort_order, r.is_active
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, name TEXT, slug TEXT, description TEXT, parent_id UUID, sort_order INTEGER, is_active BOOLEAN)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET name = EXCLUDED.name, slug = EXCLUDED.slug, description = EXCLUDED.description, parent_id = EXCLUDED.parent_id,
       sort_order = EXCLUDED.sort_order, updated_at = EXCLUDED.updated_at;

-- name: plant_products(tenant_id, currency, published_at, rows)
INSERT INTO {products} (tenant_id, id, name, slug, product_type, status, published_at, short_description, description,
                        vendor, tags, currency, is_digital, requires_age_verification, requires_kyc, restricted_states,
                        restricted_countries)
SELECT :tenant_id, r.id, r.name, r.slug, r.product_type, r.status,
       CASE WHEN r.status = 'active' THEN :published_at::TIMESTAMPTZ END,
       r.short_description, r.description, r.vendor, r.tags, :currency, r.is_digital, r.requires_age_verification,
       r.requires_kyc, r.restricted_states, r.restricted_countries
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, name TEXT, slug TEXT, product_type {product_type}, status {product_status}, short_description TEXT,
       description TEXT, vendor TEXT, tags TEXT[], is_digital BOOLEAN, requires_age_verification BOOLEAN,
       requires_kyc BOOLEAN, restricted_states TEXT[], restricted_countries TEXT[])
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET name = EXCLUDED.name, slug = EXCLUDED.slug, product_type = EXCLUDED.product_type,
       short_description = EXCLUDED.short_description, description = EXCLUDED.description, vendor = EXCLUDED.vendor,
       tags = EXCLUDED.tags, is_digital = EXCLUDED.is_digital,
       requires_age_verification = EXCLUDED.requires_age_verification, requires_kyc = EXCLUDED.requires_kyc,
       restricted_states = EXCLUDED.restricted_states, restricted_countries = EXCLUDED.restricted_countries,
       updated_at = EXCLUDED.updated_at;

-- name: plant_options(tenant_id, rows)
INSERT INTO {product_options} (tenant_id, id, product_id, name, position, values)
SELECT :tenant_id, r.id, r.product_id, r.name, r.position, r.values
  FROM jsonb_to_recordset(:rows::JSONB) AS r (id UUID, product_id UUID, name TEXT, position INTEGER, values TEXT[])
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET position = EXCLUDED.position, values = EXCLUDED.values, updated_at = EXCLUDED.updated_at;

-- name: plant_variants(tenant_id, currency, rows)
INSERT INTO {product_variants} (tenant_id, id, product_id, title, options, sku, barcode, price, currency,
                                compare_at_price, cost_price, stock_policy, backorder_limit, low_stock_threshold,
                                weight_g, requires_shipping, position)
SELECT :tenant_id, r.id, r.product_id, r.title, r.options, r.sku, r.barcode, r.price, :currency, r.compare_at_price,
       r.cost_price, r.stock_policy, r.backorder_limit, r.low_stock_threshold, r.weight_g, r.requires_shipping, r.position
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, product_id UUID, title TEXT, options JSONB, sku TEXT, barcode TEXT, price BIGINT, compare_at_price BIGINT,
       cost_price BIGINT, stock_policy {stock_policy}, backorder_limit INTEGER, low_stock_threshold INTEGER,
       weight_g INTEGER, requires_shipping BOOLEAN, position INTEGER)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET title = EXCLUDED.title, options = EXCLUDED.options, sku = EXCLUDED.sku, barcode = EXCLUDED.barcode,
       price = EXCLUDED.price, compare_at_price = EXCLUDED.compare_at_price, cost_price = EXCLUDED.cost_price,
       stock_policy = EXCLUDED.stock_policy, backorder_limit = EXCLUDED.backorder_limit,
       low_stock_threshold = EXCLUDED.low_stock_threshold, weight_g = EXCLUDED.weight_g,
       requires_shipping = EXCLUDED.requires_shipping, position = EXCLUDED.position, updated_at = EXCLUDED.updated_at;

-- name: plant_stock(tenant_id, rows)
-- The first stock of a variant and the movement that explains it; stock that is there already is left as it is.
WITH shelved AS (
    INSERT INTO {stock_levels} (tenant_id, variant_id, on_hand)
    SELECT :tenant_id, r.variant_id, r.on_hand
      FROM jsonb_to_recordset(:rows::JSONB) AS r (variant_id UUID, on_hand INTEGER)
        ON CONFLICT (tenant_id, variant_id) DO NOTHING
    RETURNING variant_id, on_hand)
INSERT INTO {stock_movements} (tenant_id, id, variant_id, kind, quantity, on_hand_after, reason, actor_kind)
SELECT :tenant_id, r.movement_id, s.variant_id, 'initial', s.on_hand, s.on_hand, 'seed', 'system'
  FROM shelved AS s
  JOIN jsonb_to_recordset(:rows::JSONB) AS r (variant_id UUID, movement_id UUID) ON r.variant_id = s.variant_id
 WHERE s.on_hand > 0;

-- name: plant_assignments(tenant_id, rows)
-- What staff arranged meanwhile stays: another primary category, for one.
INSERT INTO {product_category_assignments} (tenant_id, product_id, category_id, is_primary)
SELECT :tenant_id, r.product_id, r.category_id, r.is_primary
  FROM jsonb_to_recordset(:rows::JSONB) AS r (product_id UUID, category_id UUID, is_primary BOOLEAN)
    ON CONFLICT DO NOTHING;

-- name: plant_batches(tenant_id, rows)
-- Dates and quantities are those of the batch when it was made; a certificate may be put right.
INSERT INTO {product_batches} (tenant_id, id, product_id, batch_number, quantity_produced, quantity_remaining,
                               coa_file_url, manufactured_at, expires_at)
SELECT :tenant_id, r.id, r.product_id, r.batch_number, r.quantity_produced, r.quantity_produced, r.coa_file_url,
       r.manufactured_at, r.expires_at
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, product_id UUID, batch_number TEXT, quantity_produced INTEGER, coa_file_url TEXT, manufactured_at DATE,
       expires_at DATE)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET coa_file_url = EXCLUDED.coa_file_url, updated_at = EXCLUDED.updated_at;

-- name: users_there(tenant_id, ids) -> UUID*
SELECT id
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = ANY(:ids);

-- name: plant_users(tenant_id, verified_at, rows)
INSERT INTO {users} (tenant_id, id, email, email_verified, email_verified_at, full_name, phone, password_hash, role,
                     permissions, status, age_verified, age_verified_at, kyc_status, kyc_verified_at)
SELECT :tenant_id, r.id, r.email, TRUE, :verified_at::TIMESTAMPTZ, r.full_name, r.phone, r.password_hash, r.role,
       r.permissions, r.status, r.age_verified, CASE WHEN r.age_verified THEN :verified_at::TIMESTAMPTZ END, r.kyc_status,
       CASE WHEN r.kyc_status = 'approved' THEN :verified_at::TIMESTAMPTZ END
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, email TEXT, full_name TEXT, phone TEXT, password_hash TEXT, role {user_role}, permissions JSONB,
       status {user_status}, age_verified BOOLEAN, kyc_status {kyc_status})
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET full_name = EXCLUDED.full_name, phone = EXCLUDED.phone, updated_at = EXCLUDED.updated_at;

-- name: plant_profiles(tenant_id, rows)
INSERT INTO {user_profiles} (tenant_id, id, user_id, first_name, last_name, display_name, date_of_birth, timezone, locale)
SELECT :tenant_id, r.id, r.user_id, r.first_name, r.last_name, r.display_name, r.date_of_birth, r.timezone, r.locale
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, user_id UUID, first_name TEXT, last_name TEXT, display_name TEXT, date_of_birth DATE, timezone TEXT,
       locale TEXT)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET first_name = EXCLUDED.first_name, last_name = EXCLUDED.last_name, display_name = EXCLUDED.display_name,
       date_of_birth = EXCLUDED.date_of_birth, timezone = EXCLUDED.timezone, locale = EXCLUDED.locale,
       updated_at = EXCLUDED.updated_at;

-- name: plant_addresses(tenant_id, rows)
INSERT INTO {user_addresses} (tenant_id, id, user_id, address_type, is_default, label, recipient_name, company,
                              street_line_1, street_line_2, city, state_province, postal_code, country_code, phone)
SELECT :tenant_id, r.id, r.user_id, r.address_type, r.is_default, r.label, r.recipient_name, r.company, r.street_line_1,
       r.street_line_2, r.city, r.state_province, r.postal_code, r.country_code, r.phone
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, user_id UUID, address_type {address_type}, is_default BOOLEAN, label TEXT, recipient_name TEXT,
       company TEXT, street_line_1 TEXT, street_line_2 TEXT, city TEXT, state_province TEXT, postal_code TEXT,
       country_code TEXT, phone TEXT)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET label = EXCLUDED.label, recipient_name = EXCLUDED.recipient_name, company = EXCLUDED.company,
       street_line_1 = EXCLUDED.street_line_1, street_line_2 = EXCLUDED.street_line_2, city = EXCLUDED.city,
       state_province = EXCLUDED.state_province, postal_code = EXCLUDED.postal_code,
       country_code = EXCLUDED.country_code, phone = EXCLUDED.phone, updated_at = EXCLUDED.updated_at;

-- name: plant_coupons(tenant_id, currency, planted_at, rows)
-- With products a coupon takes off their lines, without off the whole. What was used stays counted.
INSERT INTO {coupons} (tenant_id, id, code, name, discount_type, percentage, amount, currency, scope, product_ids, user_ids,
                       payment_method, auto_apply, applies_at, minimum_order_amount, maximum_discount_amount, usage_limit,
                       usage_limit_per_user, first_order_only, position, starts_at, expires_at)
SELECT :tenant_id, r.id, r.code, r.name, r.discount_type, r.percentage, r.amount, :currency,
       CASE WHEN r.product_ids IS NULL THEN 'all' ELSE 'specific' END::{coupon_scope}, r.product_ids, r.user_ids,
       r.payment_method, r.auto_apply, CASE WHEN r.product_ids IS NULL THEN 'checkout' ELSE 'catalog' END::{coupon_place},
       r.minimum_order_amount, r.maximum_discount_amount, r.usage_limit, r.usage_limit_per_user, r.first_order_only,
       r.position, coalesce(r.starts_at, :planted_at::TIMESTAMPTZ), r.expires_at
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, code TEXT, name TEXT, discount_type {discount_type}, percentage NUMERIC, amount BIGINT, product_ids UUID[],
       user_ids UUID[], payment_method {coupon_payment}, auto_apply BOOLEAN, minimum_order_amount BIGINT,
       maximum_discount_amount BIGINT, usage_limit INTEGER, usage_limit_per_user INTEGER, first_order_only BOOLEAN,
       position INTEGER, starts_at TIMESTAMPTZ, expires_at TIMESTAMPTZ)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET name = EXCLUDED.name, discount_type = EXCLUDED.discount_type, percentage = EXCLUDED.percentage,
       amount = EXCLUDED.amount, scope = EXCLUDED.scope, product_ids = EXCLUDED.product_ids, user_ids = EXCLUDED.user_ids,
       payment_method = EXCLUDED.payment_method, auto_apply = EXCLUDED.auto_apply, applies_at = EXCLUDED.applies_at,
       minimum_order_amount = EXCLUDED.minimum_order_amount, maximum_discount_amount = EXCLUDED.maximum_discount_amount,
       usage_limit = EXCLUDED.usage_limit, usage_limit_per_user = EXCLUDED.usage_limit_per_user,
       first_order_only = EXCLUDED.first_order_only, position = EXCLUDED.position, expires_at = EXCLUDED.expires_at,
       updated_at = EXCLUDED.updated_at;

-- name: plant_shipping_rates(tenant_id, currency, rows)
INSERT INTO {shipping_rates} (tenant_id, id, code, name, amount, currency, countries, free_from_amount, position)
SELECT :tenant_id, r.id, r.code, r.name, r.amount, :currency, r.countries, r.free_from_amount, r.position
  FROM jsonb_to_recordset(:rows::JSONB) AS r (
       id UUID, code TEXT, name TEXT, amount BIGINT, countries TEXT[], free_from_amount BIGINT, position INTEGER)
    ON CONFLICT (tenant_id, id) DO UPDATE
   SET name = EXCLUDED.name, amount = EXCLUDED.amount, countries = EXCLUDED.countries,
       free_from_amount = EXCLUDED.free_from_amount, position = EXCLUDED.position, updated_at = EXCLUDED.updated_at;

-- name: plant_status_labels(tenant_id, rows)
INSERT INTO {order_status_labels} (tenant_id, status, label, description)
SELECT :tenant_id, r.status, r.label, r.description
  FROM jsonb_to_recordset(:rows::JSONB) AS r (status {order_status}, label TEXT, description TEXT)
    ON CONFLICT (tenant_id, status) DO UPDATE
   SET label = EXCLUDED.label, description = EXCLUDED.description, updated_at = EXCLUDED.updated_at;
