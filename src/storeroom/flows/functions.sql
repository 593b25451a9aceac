-- What must touch many tables at once. Called by name, never fired; frozen once released (a change is a _v2).

-- function: place_orders_v2
-- Places a group of orders of one tenant, each all or nothing, and says of each what became of it. Its predecessor, v1,
-- knew no coupons, no store credit and no events; a database that has it keeps it while programs of both releases run, and
-- a later migration drops it with its types.
--
-- p_orders: a list of checkout_order_v2; p_settings: {currency, order_window, open_orders_max, compliance_required}.
-- verdict 'placed' and 'replayed' carry the answer that the caller gets; every other verdict wrote nothing for its order
-- and carries the facts of the refusal. 'retry' is no refusal: another order of the group stood in the way.
--
-- Locks, in this order, rows by key: idempotency keys, visitors, carts, coupons, stock, statistics, store credit. A running sum decides
-- who gets the last units inside a group; it counts those that are refused for another line too, so the caller places alone
-- what a group found short before it tells anyone that a thing is sold out. With the last uses of a coupon it is the same.
CREATE FUNCTION {place_orders_v2}(p_tenant TEXT, p_orders JSONB, p_settings JSONB)
RETURNS TABLE (ordinal INTEGER, verdict TEXT, answer JSONB)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan  -- an array of one would else be planned anew in every statement of every call
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
#variable_conflict use_column
DECLARE
    _now       CONSTANT TIMESTAMPTZ := now();
    _currency  CONSTANT TEXT := p_settings->>'currency';
    _orders    {checkout_order_v2}[];
    _lines     {checkout_line}[];
    _sums      {checkout_sum_v2}[];
    _demands   {checkout_demand}[];
    _verdicts  JSONB := '{}';      -- ordinal -> {verdict, answer}, once decided
    _claimed   UUID[] := '{}';     -- orders whose idempotency key this call owns
    _visitors  JSONB;
    _carts     JSONB;
    _ids       UUID[];
    _free      JSONB;
    _short     UUID[];
    _freed     INTEGER;
    _offered   {checkout_coupon}[];
    _uses      {checkout_discount}[] := '{}';
    _cuts      JSONB := '{}';      -- ordinal -> {discount, lines}, where coupons took something
    _unfit     JSONB := '{}';      -- ordinal -> {verdict, answer}, where a coupon that was typed does not apply
    _buyer     RECORD;
    _fits      RECORD;
    _rest      BIGINT;             -- to be paid after what the coupons take
    _ways      TEXT[];             -- what the buyer's way to pay counts as, as long as it is to pay something
    _taken     JSONB;
    _use       JSONB;
    _first     JSONB;              -- of those that were typed
    _companies JSONB := '{}';      -- domain -> company
    _discounts BOOLEAN;            -- what the group asks for: whatever it does not, costs it nothing
    _credits   BOOLEAN;
    _sites     BOOLEAN;
    _known     BOOLEAN;
BEGIN
    SELECT array_agg(o ORDER BY o.ordinal), bool_or(cardinality(o.coupons) > 0), bool_or(o.credit_limit > 0 AND o.user_id IS NOT NULL),
           bool_or(o.domain IS NOT NULL), bool_or(o.user_id IS NOT NULL OR o.session_id IS NOT NULL OR o.cart_id IS NOT NULL)
      INTO _orders, _discounts, _credits, _sites, _known
      FROM jsonb_populate_recordset(NULL::{checkout_order_v2}, p_orders) o;

    -- The same request again gets the answer it got. A rival with the same key waits here for our commit.
    IF EXISTS (SELECT FROM unnest(_orders) o WHERE o.idempotency_key IS NOT NULL) THEN
        WITH claimed AS (
            INSERT INTO {idempotency_keys} AS k (tenant_id, scope, key, request_fingerprint, state, claim, created_at, expires_at)
            SELECT p_tenant, o.idempotency_scope, o.idempotency_key, o.request_fingerprint, 'settled', o.id, _now,
                   _now + o.idempotency_ttl
              FROM (SELECT DISTINCT ON (a.idempotency_scope, a.idempotency_key) a.*
                      FROM unnest(_orders) a
                     WHERE a.idempotency_key IS NOT NULL
                     ORDER BY a.idempotency_scope, a.idempotency_key, a.ordinal) o
             ORDER BY o.idempotency_scope, o.idempotency_key
                ON CONFLICT (tenant_id, scope, key) DO UPDATE
               SET request_fingerprint = EXCLUDED.request_fingerprint, state = EXCLUDED.state, claim = EXCLUDED.claim,
                   response = NULL, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
             WHERE k.expires_at <= EXCLUDED.created_at
            RETURNING claim)
        SELECT coalesce(array_agg(claim), '{}') INTO _claimed FROM claimed;

        SELECT coalesce(jsonb_object_agg(o.ordinal, CASE
                   WHEN k.claim = ANY (_claimed) THEN jsonb_build_object('verdict', 'retry')
                   WHEN k.request_fingerprint <> o.request_fingerprint THEN jsonb_build_object('verdict', 'key_reused')
                   ELSE jsonb_build_object('verdict', 'replayed', 'answer', k.response) END), '{}')
          INTO _verdicts
          FROM unnest(_orders) o
          JOIN {idempotency_keys} k ON k.tenant_id = p_tenant AND k.scope = o.idempotency_scope AND k.key = o.idempotency_key
         WHERE o.id <> ALL (_claimed);
    END IF;

    -- One order for each (source, purchase_id), whoever asks and however often.
    IF EXISTS (SELECT FROM unnest(_orders) o WHERE o.purchase_id IS NOT NULL) THEN
        SELECT _verdicts || coalesce(jsonb_object_agg(o.ordinal, CASE
                   WHEN p.id IS NOT NULL
                   THEN jsonb_build_object('verdict', 'already_placed', 'answer', jsonb_build_object('order_id', p.id))
                   ELSE jsonb_build_object('verdict', 'retry') END), '{}')
          INTO _verdicts
          FROM (SELECT a.ordinal, a.source, a.purchase_id,
                       row_number() OVER (PARTITION BY a.source, a.purchase_id ORDER BY a.ordinal) AS place
                  FROM unnest(_orders) a
                 WHERE a.purchase_id IS NOT NULL AND NOT _verdicts ? a.ordinal::text) o
          LEFT JOIN {orders} p ON p.tenant_id = p_tenant AND p.source = o.source AND p.purchase_id = o.purchase_id
         WHERE p.id IS NOT NULL OR o.place > 1;
    END IF;

    -- Accounts and guest sessions: locked, so that one visitor's open orders can be counted.
    SELECT coalesce(jsonb_object_agg(u.id, jsonb_build_object('status', u.status, 'age', u.age_verified, 'kyc', u.kyc_status,
                                                              'mail', CASE WHEN u.email_verified THEN u.email END)), '{}')
      INTO _visitors
      FROM (SELECT id, status, age_verified, kyc_status, email, email_verified
              FROM {users}
             WHERE tenant_id = p_tenant AND id = ANY (ARRAY(SELECT o.user_id FROM unnest(_orders) o WHERE o.user_id IS NOT NULL))
             ORDER BY id
               FOR NO KEY UPDATE) u;
    PERFORM FROM {auth_sessions}
      WHERE tenant_id = p_tenant
        AND id = ANY (ARRAY(SELECT o.session_id FROM unnest(_orders) o WHERE o.session_id IS NOT NULL AND o.user_id IS NULL))
      ORDER BY id
        FOR NO KEY UPDATE;

    IF EXISTS (SELECT FROM unnest(_orders) o WHERE o.user_id IS NOT NULL OR o.session_id IS NOT NULL) THEN
        SELECT _verdicts || coalesce(jsonb_object_agg(v.ordinal, jsonb_build_object(
                   'verdict', CASE WHEN v.status IS NULL OR v.status NOT IN ('active', 'pending_verification') THEN 'user_not_active'
                                   ELSE 'too_many_open' END,
                   'answer', jsonb_build_object('open', v.open, 'maximum', (p_settings->>'open_orders_max')::int))), '{}')
          INTO _verdicts
          FROM (SELECT o.ordinal,
                       CASE WHEN o.user_id IS NULL THEN 'active' ELSE _visitors->(o.user_id::text)->>'status' END AS status,
                       row_number() OVER (PARTITION BY coalesce(o.user_id, o.session_id) ORDER BY o.ordinal) - 1
                       + CASE WHEN o.user_id IS NOT NULL
                              THEN (SELECT count(*) FROM {orders} p
                                     WHERE p.tenant_id = p_tenant AND p.user_id = o.user_id AND p.status = 'pending_payment')
                              ELSE (SELECT count(*) FROM {orders} p
                                     WHERE p.tenant_id = p_tenant AND p.session_id = o.session_id AND p.user_id IS NULL
                                       AND p.status = 'pending_payment') END AS open
                  FROM unnest(_orders) o
                 WHERE NOT _verdicts ? o.ordinal::text AND (o.user_id IS NOT NULL OR o.session_id IS NOT NULL)
                   AND NOT EXISTS (SELECT FROM {carts} c  -- asked again: its order is among those that are open
                                    WHERE c.tenant_id = p_tenant AND c.id = o.cart_id AND c.status = 'converted')) v
         WHERE v.status IS NULL OR v.status NOT IN ('active', 'pending_verification')
            OR v.open >= (p_settings->>'open_orders_max')::int;
    END IF;

    -- Carts: one order each, by their owner, while they live.
    _ids := ARRAY(SELECT DISTINCT o.cart_id FROM unnest(_orders) o WHERE o.cart_id IS NOT NULL);
    IF cardinality(_ids) > 0 THEN
        SELECT coalesce(jsonb_object_agg(c.id, to_jsonb(c)), '{}')
          INTO _carts
          FROM (SELECT id, status, user_id, session_id, anonymous_id, converted_to_order_id, expires_at, currency, utm_source,
                       utm_medium, utm_campaign, shipping_method, discount_code
                  FROM {carts}
                 WHERE tenant_id = p_tenant AND id = ANY (_ids)
                 ORDER BY id
                   FOR UPDATE) c;

        SELECT _verdicts || coalesce(jsonb_object_agg(o.ordinal, CASE
                   WHEN o.cart IS NULL OR o.owned IS NOT TRUE
                   THEN jsonb_build_object('verdict', 'cart_not_found', 'answer', jsonb_build_object('cart_id', o.cart_id))
                   WHEN o.cart->>'status' = 'converted'
                   THEN jsonb_build_object('verdict', 'already_placed',
                                           'answer', jsonb_build_object('order_id', o.cart->'converted_to_order_id'))
                   WHEN o.cart->>'status' <> 'active' OR (o.cart->>'expires_at')::timestamptz <= _now
                   THEN jsonb_build_object('verdict', 'cart_not_active', 'answer', jsonb_build_object('cart_id', o.cart_id,
                            'status', CASE WHEN o.cart->>'status' <> 'active' THEN o.cart->>'status' ELSE 'expired' END))
                   ELSE jsonb_build_object('verdict', 'retry') END), '{}')
          INTO _verdicts
          FROM (SELECT a.ordinal, a.cart_id, _carts->(a.cart_id::text) AS cart,
                       row_number() OVER (PARTITION BY a.cart_id ORDER BY a.ordinal) AS place,
                       a.any_cart
                       OR (_carts->(a.cart_id::text)->>'user_id')::uuid = a.user_id
                       OR ((_carts->(a.cart_id::text)->>'user_id') IS NULL
                           AND (_carts->(a.cart_id::text)->>'session_id')::uuid = a.session_id) IS TRUE AS owned
                  FROM unnest(_orders) a
                 WHERE a.cart_id IS NOT NULL AND NOT _verdicts ? a.ordinal::text) o
         WHERE o.cart IS NULL OR o.owned IS NOT TRUE OR o.cart->>'status' <> 'active'
            OR (o.cart->>'expires_at')::timestamptz <= _now OR o.place > 1;
    END IF;

    -- The lines, from the caller or from the cart, and what the catalogue says of them.
    WITH asked AS MATERIALIZED (
        SELECT o.ordinal, l.position::int AS position, l.id, l.variant_id, l.sku, l.quantity, l.unit_price,
               coalesce(l.patch_enabled, FALSE) AS patch_enabled, l.patch_type, l.print_name, l.print_number
          FROM unnest(_orders) o,
               ROWS FROM (jsonb_to_recordset(o.lines) AS (
                   id UUID, variant_id UUID, sku TEXT, quantity INTEGER, unit_price BIGINT, patch_enabled BOOLEAN,
                   patch_type TEXT, print_name TEXT, print_number TEXT)) WITH ORDINALITY
               AS l (id, variant_id, sku, quantity, unit_price, patch_enabled, patch_type, print_name, print_number, position)
         WHERE o.lines IS NOT NULL AND NOT _verdicts ? o.ordinal::text
         UNION ALL
        SELECT o.ordinal, row_number() OVER (PARTITION BY o.ordinal ORDER BY i.id)::int, i.id, i.variant_id, NULL, i.quantity,
               i.unit_price, i.patch_enabled, i.patch_type, i.print_name, i.print_number
          FROM unnest(_orders) o
          JOIN {cart_items} i ON i.tenant_id = p_tenant AND i.cart_id = o.cart_id
         WHERE NOT _verdicts ? o.ordinal::text),
    named AS MATERIALIZED (
        SELECT a.*, coalesce(a.variant_id, (SELECT s.id FROM {product_variants} s
                                             WHERE s.tenant_id = p_tenant AND s.sku = a.sku)) AS found
          FROM asked a),
    variants AS MATERIALIZED (
        SELECT v.id, v.product_id, v.price, v.currency, v.sku, v.title, v.stock_policy, v.backorder_limit, v.requires_shipping,
               v.is_active
          FROM {product_variants} v
         WHERE v.tenant_id = p_tenant AND v.id = ANY (ARRAY(SELECT DISTINCT n.found FROM named n))),
    products AS MATERIALIZED (
        SELECT p.id, p.name, p.status, p.deleted_at, p.is_digital, p.requires_age_verification, p.requires_kyc,
               p.restricted_states, p.restricted_countries
          FROM {products} p
         WHERE p.tenant_id = p_tenant AND p.id = ANY (ARRAY(SELECT DISTINCT v.product_id FROM variants v)))
    SELECT array_agg(ROW(n.ordinal, n.position, n.id, coalesce(n.sku, v.sku, n.variant_id::text), v.product_id, v.id, n.quantity,
                         n.unit_price, v.price, v.currency, v.sku, p.name, v.title,
                         v.is_active AND p.status = 'active' AND p.deleted_at IS NULL,
                         p.is_digital, v.requires_shipping AND NOT p.is_digital,
                         p.requires_age_verification, p.requires_kyc, p.restricted_states, p.restricted_countries,
                         v.stock_policy, v.backorder_limit, n.patch_enabled, n.patch_type, n.print_name,
                         n.print_number)::{checkout_line} ORDER BY n.ordinal, n.position)
      INTO _lines
      FROM named n
      LEFT JOIN variants v ON v.id = n.found
      LEFT JOIN products p ON p.id = v.product_id;
    _lines := coalesce(_lines, '{}');

    -- What each order comes to, and what its lines demand. Where a tenant has shipping rates, one must reach the address.
    SELECT coalesce(array_agg(ROW(s.ordinal, s.ships, s.needs_age, s.needs_kyc, s.unavailable, s.foreign_currency, s.repriced,
                                  s.restricted, s.subtotal, 0, r.code, coalesce(r.amount, 0),
                                  s.subtotal + coalesce(r.amount, 0), 0)::{checkout_sum_v2}), '{}')
      INTO _sums
      FROM (SELECT l.ordinal, o.shipping_address->>'country_code' AS country, o.cart_id, o.shipping_method,
                   bool_or(l.ships) AS ships, bool_or(l.needs_age) AS needs_age, bool_or(l.needs_kyc) AS needs_kyc,
                   bool_or(l.sellable IS NOT TRUE) AS unavailable, bool_or(l.currency <> _currency) AS foreign_currency,
                   bool_or(l.expected_price <> l.unit_price) AS repriced,
                   bool_or(l.ships AND (o.shipping_address->>'country_code' = ANY (l.countries)
                                        OR o.place = ANY (l.states)
                                        OR (o.shipping_address->>'country_code' = 'US'
                                            AND o.shipping_address->>'state_province' = ANY (l.states)))) AS restricted,
                   sum(l.quantity * l.unit_price)::bigint AS subtotal
              FROM unnest(_lines) l
              JOIN (SELECT a.ordinal, a.cart_id, a.shipping_method, a.shipping_address,
                           concat_ws('-', a.shipping_address->>'country_code', a.shipping_address->>'state_province') AS place
                      FROM unnest(_orders) a) o ON o.ordinal = l.ordinal
             GROUP BY l.ordinal, o.shipping_address, o.cart_id, o.shipping_method) s
      LEFT JOIN LATERAL (
          SELECT t.code, CASE WHEN s.subtotal >= t.free_from_amount THEN 0 ELSE t.amount END AS amount
            FROM {shipping_rates} t
           WHERE t.tenant_id = p_tenant
             AND s.ships
             AND t.is_active
             AND t.currency = _currency
             AND (t.countries IS NULL OR s.country = ANY (t.countries))
             AND t.code = coalesce(s.shipping_method, _carts->(s.cart_id::text)->>'shipping_method', t.code)
           ORDER BY t.position, t.code
           LIMIT 1) r ON TRUE;

    -- Coupons: those that were typed, those of the carts, and those that apply by themselves. Their rows are locked, so that
    -- the last uses go to those who come first; whoever waited here reads what was committed.
    _discounts := _discounts OR coalesce(jsonb_path_exists(_carts, '$.*.discount_code ? (@ != null)'), FALSE);
    IF _discounts IS NOT TRUE THEN
        _discounts := EXISTS (SELECT FROM {coupons} c WHERE c.tenant_id = p_tenant AND c.auto_apply AND c.is_active);
    END IF;
    IF _discounts THEN
        SELECT array_agg(ROW(c.id, c.code, c.percentage, c.amount, c.currency, c.product_ids, c.user_ids, c.payment_method,
                             c.auto_apply, c.applies_at, c.minimum_order_amount, c.maximum_discount_amount, c.usage_limit,
                             c.usage_count, c.usage_limit_per_user, c.first_order_only, c.position, c.starts_at,
                             c.expires_at)::{checkout_coupon})
          INTO _offered
          FROM (SELECT k.id, k.code, k.percentage, k.amount, k.currency, k.product_ids, k.user_ids, k.payment_method, k.auto_apply,
                       k.applies_at, k.minimum_order_amount, k.maximum_discount_amount, k.usage_limit, k.usage_count,
                       k.usage_limit_per_user, k.first_order_only, k.position, k.starts_at, k.expires_at
                  FROM {coupons} k
                 WHERE k.tenant_id = p_tenant
                   AND k.is_active
                   AND k.id = ANY (ARRAY(
                           SELECT t.id
                             FROM {coupons} t
                            WHERE t.tenant_id = p_tenant AND t.is_active
                              AND t.code = ANY (ARRAY(SELECT unnest(o.coupons) FROM unnest(_orders) o
                                                       UNION
                                                      SELECT _carts->(o.cart_id::text)->>'discount_code' FROM unnest(_orders) o))
                            UNION
                           SELECT a.id
                             FROM {coupons} a
                            WHERE a.tenant_id = p_tenant AND a.is_active AND a.auto_apply
                              AND a.starts_at <= _now AND (a.expires_at IS NULL OR a.expires_at > _now)
                              AND (a.usage_limit IS NULL OR a.usage_count < a.usage_limit)
                              AND (a.product_ids IS NULL OR a.product_ids && ARRAY(SELECT l.product_id FROM unnest(_lines) l))
                              AND (a.user_ids IS NULL OR a.user_ids && ARRAY(SELECT o.user_id FROM unnest(_orders) o))))
                 ORDER BY k.code
                   FOR NO KEY UPDATE) c;

        -- Two first orders of one buyer, each with a coupon of its own, have no row in common where one of them is a guest's:
        -- they wait for each other by the e-mail.
        IF EXISTS (SELECT FROM unnest(_offered) c WHERE c.first_order_only) THEN
            PERFORM pg_advisory_xact_lock(e.key)
               FROM (SELECT DISTINCT hashtextextended(concat_ws(chr(31), 'buyers', p_tenant, CASE
                                WHEN o.user_id IS NULL THEN o.customer_email
                                ELSE _visitors->(o.user_id::text)->>'mail' END), 0) AS key
                       FROM unnest(_orders) o
                      WHERE o.user_id IS NULL OR _visitors->(o.user_id::text)->>'mail' IS NOT NULL
                      ORDER BY key) e;
        END IF;

        FOR _buyer IN
            SELECT o.ordinal, o.user_id, o.customer_email AS email, _visitors->(o.user_id::text)->>'mail' AS mail,
                   coalesce(_visitors->(o.user_id::text)->>'mail', o.user_id::text, o.customer_email) AS name,
                   s.subtotal_amount AS subtotal,
                   ARRAY(SELECT c.code
                           FROM (SELECT _carts->(o.cart_id::text)->>'discount_code' AS code, 0 AS place
                                  UNION ALL
                                 SELECT k.code, k.place FROM unnest(o.coupons) WITH ORDINALITY AS k (code, place)) c
                          WHERE c.code IS NOT NULL
                          GROUP BY c.code
                          ORDER BY min(c.place)) AS typed,
                   ARRAY(SELECT w.way
                           FROM {payment_methods} m
                          CROSS JOIN LATERAL (VALUES (CASE WHEN m.method_type IN ('card', 'stripe') THEN 'stripe'
                                                           WHEN m.method_type = 'wallet' THEN 'x402' END),
                                                     (CASE WHEN m.is_manual THEN 'manual' END)) AS w (way)
                          WHERE m.tenant_id = p_tenant AND m.code = o.payment_method AND m.is_active AND w.way IS NOT NULL) AS ways,
                   s.total_amount AS total,
                   CASE WHEN _credits AND o.credit_limit > 0
                        THEN least(o.credit_limit, coalesce((
                                 SELECT c.balance
                                   FROM {store_credits} c
                                  WHERE c.tenant_id = p_tenant AND c.user_id = o.user_id AND c.currency = _currency
                                    AND EXISTS (SELECT FROM {payment_methods} m
                                                 WHERE m.tenant_id = p_tenant AND m.code = 'store-credit')), 0)) END AS credit,
                   ARRAY(SELECT l.product_id FROM unnest(_lines) l WHERE l.ordinal = o.ordinal) AS products,
                   (SELECT jsonb_agg(jsonb_build_object('product_id', l.product_id, 'amount', l.quantity * l.unit_price)
                                     ORDER BY l.position)
                      FROM unnest(_lines) l WHERE l.ordinal = o.ordinal) AS lines,
                   (SELECT count(*)
                      FROM unnest(_orders) e
                     WHERE e.ordinal < o.ordinal
                       AND coalesce(_visitors->(e.user_id::text)->>'mail', e.user_id::text, e.customer_email)
                           = coalesce(_visitors->(o.user_id::text)->>'mail', o.user_id::text, o.customer_email)
                       AND NOT _verdicts ? e.ordinal::text) AS orders_beside
              FROM unnest(_orders) o
              JOIN unnest(_sums) s ON s.ordinal = o.ordinal
             WHERE NOT _verdicts ? o.ordinal::text AND NOT s.unavailable AND NOT s.foreign_currency AND s.repriced IS NOT TRUE
             ORDER BY o.ordinal
        LOOP
            _ways := _buyer.ways;
            LOOP
                -- Of each the first reason not to apply; `crowded`: it would apply, were it not for others of this group.
                SELECT jsonb_agg(jsonb_build_object('id', f.id, 'code', f.code, 'typed', f.typed, 'auto_apply', f.auto_apply,
                                                    'applies_at', f.applies_at, 'percentage', f.percentage, 'amount', f.amount,
                                                    'product_ids', f.product_ids, 'maximum', f.maximum_discount_amount)
                                 ORDER BY f.auto_apply DESC, CASE WHEN f.auto_apply THEN f.position END,
                                          CASE WHEN NOT f.auto_apply THEN f.typed END, f.code)
                           FILTER (WHERE f.reason IS NULL) AS taking,
                       bool_or(f.reason = 'crowded') AS crowded,
                       bool_or(f.payment_method IS NOT NULL) FILTER (WHERE f.reason IS NULL) AS by_way,
                       (array_agg(jsonb_build_object('coupon', f.code, 'reason', f.reason) ORDER BY f.typed)
                           FILTER (WHERE f.reason <> 'crowded' AND f.typed IS NOT NULL))[1] AS refused,
                       (SELECT min(n.place) FROM unnest(_buyer.typed) WITH ORDINALITY AS n (code, place)
                         WHERE NOT EXISTS (SELECT FROM unnest(_offered) c WHERE c.code = n.code)) AS unknown
                  INTO _fits
                  FROM (SELECT c.id, c.code, c.percentage, c.amount, c.product_ids, c.auto_apply, c.applies_at, c.position, c.payment_method,
                               c.maximum_discount_amount, array_position(_buyer.typed, c.code) AS typed,
                               CASE WHEN c.usage_count >= c.usage_limit THEN 'used_up'
                                    WHEN _now < c.starts_at THEN 'not_started'
                                    WHEN _now >= c.expires_at THEN 'expired'
                                    WHEN c.currency <> _currency THEN 'currency'
                                    WHEN NOT coalesce(_buyer.user_id = ANY (c.user_ids), c.user_ids IS NULL) THEN 'user'
                                    WHEN c.payment_method IS NOT NULL AND NOT c.payment_method::text = ANY (_ways) THEN 'payment_method'
                                    WHEN NOT c.product_ids && _buyer.products THEN 'products'
                                    WHEN _buyer.subtotal < c.minimum_order_amount THEN 'minimum'
                                    WHEN c.first_order_only AND b.orders > 0 THEN 'first_order'
                                    WHEN b.uses >= c.usage_limit_per_user THEN 'used_before'
                                    WHEN (c.first_order_only AND _buyer.orders_beside > 0)
                                         OR b.uses + g.own >= c.usage_limit_per_user
                                         OR c.usage_count + g.uses >= c.usage_limit THEN 'crowded' END AS reason
                          FROM unnest(_offered) c
                         CROSS JOIN LATERAL (
                               SELECT CASE WHEN NOT c.first_order_only THEN 0
                                           WHEN _buyer.user_id IS NOT NULL
                                           THEN (SELECT count(*) FROM {orders} p
                                                  WHERE p.tenant_id = p_tenant AND p.user_id = _buyer.user_id AND p.cancelled_at IS NULL)
                                              + (SELECT count(*) FROM {orders} p  -- as a guest, with the address that is proved
                                                  WHERE p.tenant_id = p_tenant AND p.user_id IS NULL
                                                    AND p.customer_email = _buyer.mail AND p.cancelled_at IS NULL)
                                           ELSE (SELECT count(*) FROM {orders} p
                                                  WHERE p.tenant_id = p_tenant AND p.customer_email = _buyer.email
                                                    AND p.cancelled_at IS NULL) END AS orders,
                                      CASE WHEN c.usage_limit_per_user IS NULL THEN 0
                                           WHEN _buyer.user_id IS NOT NULL
                                           THEN (SELECT count(*) FROM {coupon_redemptions} r
                                                  WHERE r.tenant_id = p_tenant AND r.coupon_id = c.id AND r.user_id = _buyer.user_id
                                                    AND r.released_at IS NULL)
                                              + (SELECT count(*) FROM {coupon_redemptions} r
                                                  WHERE r.tenant_id = p_tenant AND r.coupon_id = c.id AND r.user_id IS NULL
                                                    AND r.customer_email = _buyer.mail AND r.released_at IS NULL)
                                           ELSE (SELECT count(*) FROM {coupon_redemptions} r
                                                  WHERE r.tenant_id = p_tenant AND r.coupon_id = c.id
                                                    AND r.customer_email = _buyer.email AND r.released_at IS NULL) END AS uses) b
                         CROSS JOIN LATERAL (
                               SELECT count(*) AS uses, count(*) FILTER (WHERE u.buyer = _buyer.name) AS own
                                 FROM unnest(_uses) u
                                WHERE u.coupon_id = c.id) g
                         WHERE c.auto_apply OR c.code = ANY (_buyer.typed)) f;

                _taken := CASE WHEN _fits.taking IS NOT NULL THEN {discount_lines_v1}(p_tenant, _buyer.lines, _fits.taking) END;
                _rest := _buyer.total - coalesce((_taken->>'discount')::bigint, 0);
                -- Where store credit pays all of it, nobody pays that way: once more, without what asks for one.
                EXIT WHEN _fits.by_way IS NOT TRUE OR _rest = 0 OR coalesce(_buyer.credit, 0) < _rest;
                _ways := '{}';
            END LOOP;

            IF _fits.unknown IS NOT NULL THEN
                _unfit := _unfit || jsonb_build_object(_buyer.ordinal, jsonb_build_object(
                              'verdict', 'coupon_not_found', 'answer', jsonb_build_object('coupon', _buyer.typed[_fits.unknown])));
            ELSIF _fits.refused IS NOT NULL THEN
                _unfit := _unfit || jsonb_build_object(_buyer.ordinal, jsonb_build_object(
                              'verdict', 'coupon_refused', 'answer', _fits.refused));
            ELSIF _fits.crowded THEN
                _unfit := _unfit || jsonb_build_object(_buyer.ordinal, jsonb_build_object('verdict', 'retry'));
            ELSIF _fits.taking IS NOT NULL THEN
                _first := NULL;
                FOR _place IN 1..jsonb_array_length(_taken->'taken') LOOP
                    _use := _taken->'taken'->(_place - 1);
                    _uses := _uses || ROW(_buyer.ordinal, _place, _buyer.name, (_use->>'id')::uuid, _use->>'code',
                                          (_use->>'applies_at')::{coupon_place}, (_use->>'auto_apply')::boolean,
                                          (_use->>'amount')::bigint)::{checkout_discount};
                    IF _use->>'typed' IS NOT NULL AND (_first IS NULL OR (_use->>'typed')::int < (_first->>'typed')::int) THEN
                        _first := _use;
                    END IF;
                END LOOP;
                _cuts := _cuts || jsonb_build_object(_buyer.ordinal, jsonb_build_object(
                             'discount', _taken->'discount', 'lines', _taken->'lines', 'code', _first->'code',
                             'coupon_id', _first->'id'));
            END IF;
        END LOOP;

        IF cardinality(_uses) > 0 THEN
            _sums := ARRAY(SELECT ROW(s.ordinal, s.ships, s.needs_age, s.needs_kyc, s.unavailable, s.foreign_currency, s.repriced,
                                      s.restricted, s.subtotal_amount, d.amount, s.shipping_method, s.shipping_amount,
                                      s.total_amount - d.amount, 0)::{checkout_sum_v2}
                             FROM unnest(_sums) s
                            CROSS JOIN LATERAL (SELECT coalesce((_cuts->(s.ordinal::text)->>'discount')::bigint, 0) AS amount) d);
        END IF;
    END IF;

    -- Store credit pays what it can. Whoever spends an account's has its row, so an account spends once in a group.
    IF _credits THEN
        SELECT _verdicts || coalesce(jsonb_object_agg(o.ordinal, jsonb_build_object('verdict', 'retry')), '{}')
          INTO _verdicts
          FROM (SELECT a.ordinal, row_number() OVER (PARTITION BY a.user_id ORDER BY a.ordinal) AS place
                  FROM unnest(_orders) a
                 WHERE a.credit_limit > 0 AND a.user_id IS NOT NULL AND NOT _verdicts ? a.ordinal::text) o
         WHERE o.place > 1;

        _sums := ARRAY(SELECT ROW(s.ordinal, s.ships, s.needs_age, s.needs_kyc, s.unavailable, s.foreign_currency, s.repriced,
                                  s.restricted, s.subtotal_amount, s.discount_amount, s.shipping_method, s.shipping_amount,
                                  s.total_amount, least(coalesce(b.balance, 0), o.credit_limit, s.total_amount))::{checkout_sum_v2}
                         FROM unnest(_sums) s
                         JOIN unnest(_orders) o ON o.ordinal = s.ordinal
                         LEFT JOIN LATERAL (
                               SELECT c.balance
                                 FROM {store_credits} c
                                WHERE c.tenant_id = p_tenant AND c.user_id = o.user_id AND c.currency = _currency
                                  AND o.credit_limit > 0
                                  AND EXISTS (SELECT FROM {payment_methods} m
                                               WHERE m.tenant_id = p_tenant AND m.code = 'store-credit')) b ON TRUE);
    END IF;
    -- May it be sold at all, to this buyer, at this price? The first reason found is the one told.
    SELECT _verdicts || coalesce(jsonb_object_agg(c.ordinal, c.refusal), '{}')
      INTO _verdicts
      FROM (SELECT o.ordinal, CASE
                WHEN s.ordinal IS NULL THEN jsonb_build_object('verdict', 'empty')
                WHEN s.unavailable
                THEN jsonb_build_object('verdict', 'unavailable', 'answer', (
                         SELECT jsonb_agg(jsonb_build_object('line', l.position, 'asked', l.asked) ORDER BY l.position)
                           FROM unnest(_lines) l WHERE l.ordinal = o.ordinal AND l.sellable IS NOT TRUE))
                WHEN s.foreign_currency
                THEN jsonb_build_object('verdict', 'currency', 'answer', jsonb_build_object('currency', _currency))
                WHEN s.repriced
                THEN jsonb_build_object('verdict', 'price_changed', 'answer', (
                         SELECT jsonb_agg(jsonb_build_object('line', l.position, 'sku', l.sku, 'seen', l.expected_price,
                                                             'now', l.unit_price) ORDER BY l.position)
                           FROM unnest(_lines) l WHERE l.ordinal = o.ordinal AND l.expected_price <> l.unit_price))
                WHEN s.needs_age AND NOT CASE WHEN o.user_id IS NULL THEN coalesce(o.age_attested, FALSE)
                                              ELSE (_visitors->(o.user_id::text)->>'age')::boolean END
                THEN jsonb_build_object('verdict', 'age_required', 'answer', jsonb_build_object('guest', o.user_id IS NULL))
                WHEN s.needs_kyc AND (o.user_id IS NULL OR _visitors->(o.user_id::text)->>'kyc' <> 'approved')
                THEN jsonb_build_object('verdict', 'kyc_required', 'answer', jsonb_build_object('guest', o.user_id IS NULL))
                WHEN (s.needs_age OR s.needs_kyc OR (p_settings->>'compliance_required')::boolean)
                     AND NOT (coalesce(o.compliance_acknowledged, FALSE) AND o.compliance_version IS NOT NULL
                              AND o.compliance_acknowledged_at IS NOT NULL)
                THEN jsonb_build_object('verdict', 'compliance_required')
                WHEN s.ships AND o.shipping_address IS NULL THEN jsonb_build_object('verdict', 'address_required')
                WHEN s.restricted
                THEN jsonb_build_object('verdict', 'restricted', 'answer', jsonb_build_object(
                         'country', o.shipping_address->>'country_code', 'state', o.shipping_address->>'state_province',
                         'lines', (SELECT jsonb_agg(jsonb_build_object('line', l.position, 'sku', l.sku) ORDER BY l.position)
                                     FROM unnest(_lines) l
                                    WHERE l.ordinal = o.ordinal AND l.ships
                                      AND (o.shipping_address->>'country_code' = ANY (l.countries)
                                           OR concat_ws('-', o.shipping_address->>'country_code',
                                                        o.shipping_address->>'state_province') = ANY (l.states)
                                           OR (o.shipping_address->>'country_code' = 'US'
                                               AND o.shipping_address->>'state_province' = ANY (l.states))))))
                WHEN s.ships AND s.shipping_method IS NULL
                     AND (o.shipping_method IS NOT NULL
                          OR EXISTS (SELECT FROM {shipping_rates} t WHERE t.tenant_id = p_tenant AND t.is_active))
                THEN jsonb_build_object('verdict', 'shipping_unavailable', 'answer',
                                        jsonb_build_object('method', o.shipping_method))
                WHEN _unfit ? o.ordinal::text THEN _unfit->(o.ordinal::text)
                WHEN o.payment_method IS NOT NULL AND s.total_amount > s.credit_amount AND NOT EXISTS (
                         SELECT FROM {payment_methods} m
                          WHERE m.tenant_id = p_tenant AND m.code = o.payment_method AND m.is_active AND m.currency = _currency
                            AND m.method_type <> 'store_credit'
                            AND (m.gateway_id IS NULL OR EXISTS (SELECT FROM {payment_gateways} g
                                                                  WHERE g.tenant_id = p_tenant AND g.id = m.gateway_id AND g.is_active))
                            AND s.total_amount - s.credit_amount >= m.min_amount
                            AND (m.max_amount IS NULL OR s.total_amount - s.credit_amount <= m.max_amount))
                THEN jsonb_build_object('verdict', 'payment_method', 'answer', coalesce((
                         SELECT jsonb_build_object('method', m.code, 'active', m.is_active, 'minimum', m.min_amount,
                                                   'maximum', m.max_amount, 'total', s.total_amount - s.credit_amount,
                                                   'currency', m.currency)
                           FROM {payment_methods} m
                          WHERE m.tenant_id = p_tenant AND m.code = o.payment_method),
                         jsonb_build_object('method', o.payment_method, 'active', FALSE)))
                END AS refusal
              FROM unnest(_orders) o
              LEFT JOIN unnest(_sums) s ON s.ordinal = o.ordinal
             WHERE NOT _verdicts ? o.ordinal::text) c
     WHERE c.refusal IS NOT NULL;

    -- Stock. Lock every row that any of these orders moves, then decide; whoever waited here reads what was committed.
    _ids := ARRAY(SELECT l.variant_id FROM unnest(_lines) l
                   WHERE NOT _verdicts ? l.ordinal::text AND l.stock_policy <> 'untracked'
                   UNION
                  SELECT r.variant_id
                    FROM unnest(_orders) o
                    JOIN {inventory_reservations} r ON r.tenant_id = p_tenant AND r.cart_id = o.cart_id AND r.status = 'active'
                   WHERE NOT _verdicts ? o.ordinal::text);
    FOR _round IN 1..2 LOOP
        SELECT coalesce(jsonb_object_agg(s.variant_id, s.on_hand - s.reserved), '{}')
          INTO _free
          FROM (SELECT variant_id, on_hand, reserved
                  FROM {stock_levels}
                 WHERE tenant_id = p_tenant AND variant_id = ANY (_ids)
                 ORDER BY variant_id
                   FOR UPDATE) s;

        SELECT coalesce(array_agg(ROW(d.ordinal, d.variant_id, d.units, d.held, d.stock_policy, d.backorder_limit)::{checkout_demand}), '{}')
          INTO _demands
          FROM (SELECT m.ordinal, m.variant_id, sum(m.units)::int AS units, sum(m.held)::int AS held,
                       max(m.stock_policy) AS stock_policy, max(m.backorder_limit) AS backorder_limit
                  FROM (SELECT l.ordinal, l.variant_id, l.quantity AS units, 0 AS held, l.stock_policy, l.backorder_limit
                          FROM unnest(_lines) l
                         WHERE NOT _verdicts ? l.ordinal::text AND l.stock_policy <> 'untracked'
                         UNION ALL
                        SELECT o.ordinal, r.variant_id, 0, r.quantity, NULL, NULL
                          FROM unnest(_orders) o
                          JOIN {inventory_reservations} r
                            ON r.tenant_id = p_tenant AND r.cart_id = o.cart_id AND r.status = 'active'
                         WHERE NOT _verdicts ? o.ordinal::text) m
                 GROUP BY m.ordinal, m.variant_id) d;

        _short := ARRAY(SELECT d.variant_id
                          FROM (SELECT variant_id, stock_policy, backorder_limit, units - held AS need,
                                       sum(units - held) OVER (PARTITION BY variant_id ORDER BY ordinal) AS running
                                  FROM unnest(_demands)) d
                         WHERE d.need > 0 AND (d.stock_policy = 'deny' OR d.backorder_limit IS NOT NULL)
                           AND d.running > coalesce((_free->>(d.variant_id::text))::int, 0)
                                           + CASE WHEN d.stock_policy = 'deny' THEN 0 ELSE d.backorder_limit END);
        EXIT WHEN cardinality(_short) = 0 OR _round = 2;

        -- Too few: take back what others let run out, then look again.
        WITH expired AS (
            UPDATE {inventory_reservations}
               SET status = 'released', updated_at = _now
             WHERE tenant_id = p_tenant AND variant_id = ANY (_short) AND status = 'active' AND expires_at <= _now
               AND (cart_id IS NULL OR cart_id <> ALL (ARRAY(SELECT o.cart_id FROM unnest(_orders) o WHERE o.cart_id IS NOT NULL)))
            RETURNING variant_id, quantity)
        UPDATE {stock_levels} s
           SET reserved = s.reserved - e.quantity
          FROM (SELECT x.variant_id, sum(x.quantity)::int AS quantity FROM expired x GROUP BY x.variant_id) e
         WHERE s.tenant_id = p_tenant AND s.variant_id = e.variant_id;
        GET DIAGNOSTICS _freed = ROW_COUNT;
        EXIT WHEN _freed = 0;
    END LOOP;

    IF cardinality(_short) > 0 THEN
        SELECT _verdicts || coalesce(jsonb_object_agg(f.ordinal, jsonb_build_object('verdict', 'short', 'answer', f.lines)), '{}')
          INTO _verdicts
          FROM (SELECT d.ordinal, jsonb_agg(jsonb_build_object(
                           'line', (SELECT min(l.position) FROM unnest(_lines) l
                                     WHERE l.ordinal = d.ordinal AND l.variant_id = d.variant_id),
                           'sku', (SELECT min(l.sku) FROM unnest(_lines) l
                                    WHERE l.ordinal = d.ordinal AND l.variant_id = d.variant_id),
                           'variant_id', d.variant_id, 'requested', d.units,
                           'available', greatest(0, d.free + d.held))) AS lines
                  FROM (SELECT ordinal, variant_id, units, held, stock_policy, backorder_limit, units - held AS need,
                               sum(units - held) OVER (PARTITION BY variant_id ORDER BY ordinal) AS running,
                               coalesce((_free->>(variant_id::text))::int, 0)
                               + CASE WHEN stock_policy = 'deny' THEN 0 ELSE coalesce(backorder_limit, 0) END AS free
                          FROM unnest(_demands)) d
                 WHERE d.need > 0 AND (d.stock_policy = 'deny' OR d.backorder_limit IS NOT NULL) AND d.running > d.free
                 GROUP BY d.ordinal) f;
    END IF;

    -- From here on only what was decided is written.
    IF EXISTS (SELECT FROM unnest(_orders) o WHERE NOT _verdicts ? o.ordinal::text) THEN
        UPDATE {stock_levels} s
           SET reserved = s.reserved + d.need
          FROM (SELECT variant_id, sum(units - held)::int AS need
                  FROM unnest(_demands)
                 WHERE NOT _verdicts ? ordinal::text
                 GROUP BY variant_id) d
         WHERE s.tenant_id = p_tenant AND s.variant_id = d.variant_id AND d.need <> 0;

        IF _sites THEN
            SELECT coalesce(jsonb_object_agg(lower(d.domain_name), d.company_code), '{}')
              INTO _companies
              FROM {domains} d
             WHERE d.tenant_id = p_tenant AND d.is_active
               AND lower(d.domain_name) = ANY (ARRAY(SELECT DISTINCT lower(o.domain) FROM unnest(_orders) o
                                                      WHERE o.domain IS NOT NULL));
        END IF;

        INSERT INTO {orders} (tenant_id, id, order_number, source, purchase_id, resource_id, user_id, session_id, customer_email,
                              customer_name, customer_phone, status, shipping_address, billing_address, currency,
                              subtotal_amount, discount_amount, shipping_amount, total_amount, amount_paid, discount_code,
                              discount_id, shipping_method, age_verified, age_attested, compliance_required,
                              compliance_acknowledged, compliance_version, compliance_acknowledged_at, ip_address,
                              source_cart_id, domain, company_code, traffic_source, utm_source, utm_medium, utm_campaign,
                              customer_notes, metadata, payment_due_at, paid_at)
        SELECT p_tenant, o.id, o.order_number, coalesce(o.source, 'storefront'), o.purchase_id, o.resource_id, o.user_id,
               o.session_id, o.customer_email, o.customer_name, o.customer_phone,
               CASE WHEN s.total_amount = s.credit_amount THEN 'payment_received' ELSE 'pending_payment' END::{order_status},
               CASE WHEN s.ships THEN o.shipping_address END, coalesce(o.billing_address, o.shipping_address), _currency,
               s.subtotal_amount, s.discount_amount, s.shipping_amount, s.total_amount, s.credit_amount,
               _cuts->(o.ordinal::text)->>'code', (_cuts->(o.ordinal::text)->>'coupon_id')::uuid, s.shipping_method,
               coalesce((_visitors->(o.user_id::text)->>'age')::boolean, o.age_attested, FALSE),
               o.user_id IS NULL AND coalesce(o.age_attested, FALSE),
               s.needs_age OR s.needs_kyc OR (p_settings->>'compliance_required')::boolean,
               coalesce(o.compliance_acknowledged, FALSE), o.compliance_version, o.compliance_acknowledged_at, o.ip_address,
               o.cart_id, o.domain, _companies->>lower(o.domain), coalesce(o.traffic_source, 'direct'),
               coalesce(_carts->(o.cart_id::text)->>'utm_source', o.utm_source),
               coalesce(_carts->(o.cart_id::text)->>'utm_medium', o.utm_medium),
               coalesce(_carts->(o.cart_id::text)->>'utm_campaign', o.utm_campaign),
               o.customer_notes, coalesce(o.metadata, '{}'), _now + (p_settings->>'order_window')::interval,
               CASE WHEN s.total_amount = s.credit_amount THEN _now END
          FROM unnest(_orders) o
          JOIN unnest(_sums) s ON s.ordinal = o.ordinal
         WHERE NOT _verdicts ? o.ordinal::text;

        INSERT INTO {order_items} (tenant_id, id, order_id, position, product_id, variant_id, product_sku, product_name,
                                   variant_title, is_digital, quantity, unit_price, currency, discount_amount, quantity_held,
                                   patch_enabled, patch_type, print_name, print_number)
        SELECT p_tenant, l.id, o.id, l.position, l.product_id, l.variant_id, l.sku, l.product_name, l.variant_title, l.is_digital,
               l.quantity, l.unit_price, l.currency,
               coalesce((_cuts->(l.ordinal::text)->'lines'->>(l.position - 1))::bigint, 0), CASE WHEN l.stock_policy = 'untracked' THEN 0 ELSE l.quantity END,
               l.patch_enabled, l.patch_type, l.print_name, l.print_number
          FROM unnest(_lines) l
          JOIN unnest(_orders) o ON o.ordinal = l.ordinal
         WHERE NOT _verdicts ? l.ordinal::text;

        INSERT INTO {order_status_history} (tenant_id, id, order_id, sequence, from_status, to_status, reason, changed_by,
                                            changed_by_type, changed_by_name, request_id)
        SELECT p_tenant, o.history_id, o.id, 1, NULL::{order_status}, 'pending_payment'::{order_status}, 'placed', o.actor_id, o.actor_kind, o.actor_name,
               o.request_id
          FROM unnest(_orders) o
         WHERE NOT _verdicts ? o.ordinal::text
         UNION ALL
        SELECT p_tenant, gen_random_uuid(), o.id, 2, 'pending_payment', 'payment_received',
               CASE WHEN s.total_amount = 0 THEN 'nothing to pay' ELSE 'paid with store credit' END, NULL, 'system',
               NULL, o.request_id
          FROM unnest(_orders) o
          JOIN unnest(_sums) s ON s.ordinal = o.ordinal
         WHERE NOT _verdicts ? o.ordinal::text AND s.total_amount = s.credit_amount;

        INSERT INTO {order_search} (tenant_id, order_id)
        SELECT p_tenant, o.id
          FROM unnest(_orders) o
         WHERE NOT _verdicts ? o.ordinal::text;

        INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, user_id, payment_method_id, amount, currency,
                                ip_address, expires_at)
        SELECT p_tenant, o.payment_id, o.payment_reference, o.id, o.user_id, m.id, s.total_amount - s.credit_amount, _currency,
               o.ip_address, CASE WHEN m.method_type <> 'cod' THEN _now + make_interval(hours => m.confirmation_window_hours) END
          FROM unnest(_orders) o
          JOIN unnest(_sums) s ON s.ordinal = o.ordinal
          JOIN {payment_methods} m ON m.tenant_id = p_tenant AND m.code = o.payment_method
         WHERE NOT _verdicts ? o.ordinal::text AND s.total_amount > s.credit_amount;

        IF cardinality(_uses) > 0 THEN
            UPDATE {coupons} c
               SET usage_count = c.usage_count + u.uses, updated_at = _now
              FROM (SELECT coupon_id, count(*)::int AS uses
                      FROM unnest(_uses)
                     WHERE NOT _verdicts ? ordinal::text
                     GROUP BY coupon_id) u
             WHERE c.tenant_id = p_tenant AND c.id = u.coupon_id;

            -- The id begins with the instant of the order's: uses are read newest first.
            INSERT INTO {coupon_redemptions} (tenant_id, id, coupon_id, order_id, user_id, customer_email)
            SELECT p_tenant, (left(o.id::text, 15) || substr(gen_random_uuid()::text, 16))::uuid, u.coupon_id, o.id, o.user_id,
                   o.customer_email
              FROM unnest(_uses) u
              JOIN unnest(_orders) o ON o.ordinal = u.ordinal
             WHERE NOT _verdicts ? u.ordinal::text;

            INSERT INTO {order_discounts} (tenant_id, order_id, position, coupon_id, code, applies_at, auto_apply, amount, currency)
            SELECT p_tenant, o.id, u.position, u.coupon_id, u.code, u.applies_at, u.auto_apply, u.amount, _currency
              FROM unnest(_uses) u
              JOIN unnest(_orders) o ON o.ordinal = u.ordinal
             WHERE NOT _verdicts ? u.ordinal::text;
        END IF;

        IF _carts IS NOT NULL THEN
            UPDATE {inventory_reservations} r
               SET status = 'converted', order_id = o.id, updated_at = _now
              FROM unnest(_orders) o
             WHERE r.tenant_id = p_tenant AND r.cart_id = o.cart_id AND r.status = 'active'
               AND NOT _verdicts ? o.ordinal::text;

            UPDATE {carts} c
               SET status = 'converted', converted_to_order_id = o.id, converted_at = _now, updated_at = _now
              FROM unnest(_orders) o
             WHERE c.tenant_id = p_tenant AND c.id = o.cart_id AND NOT _verdicts ? o.ordinal::text;
        END IF;

        SELECT _verdicts || jsonb_object_agg(o.ordinal, jsonb_build_object('verdict', 'placed', 'answer', jsonb_build_object(
                   'id', o.id, 'number', o.order_number,
                   'status', CASE WHEN s.total_amount = s.credit_amount THEN 'payment_received' ELSE 'pending_payment' END,
                   'email', o.customer_email, 'currency', _currency, 'subtotal', s.subtotal_amount,
                   'discount', s.discount_amount, 'discount_code', _cuts->(o.ordinal::text)->'code',
                   'shipping', s.shipping_amount, 'shipping_method', s.shipping_method, 'total', s.total_amount,
                   'paid', s.credit_amount, 'created_at', _now,
                   'payment_due_at', _now + (p_settings->>'order_window')::interval,
                   'payment', CASE WHEN m.id IS NOT NULL AND s.total_amount > s.credit_amount THEN jsonb_build_object(
                       'id', o.payment_id, 'reference', o.payment_reference, 'method', m.code, 'name', m.name,
                       'amount', s.total_amount - s.credit_amount, 'instructions', m.instructions, 'details', m.payment_details,
                       'expires_at', CASE WHEN m.method_type <> 'cod'
                                          THEN _now + make_interval(hours => m.confirmation_window_hours) END) END)))
          INTO _verdicts
          FROM unnest(_orders) o
          JOIN unnest(_sums) s ON s.ordinal = o.ordinal
          LEFT JOIN {payment_methods} m ON m.tenant_id = p_tenant AND m.code = o.payment_method
         WHERE NOT _verdicts ? o.ordinal::text;

        -- Added, not summed up again: it costs the same whatever the customer bought before.
        IF EXISTS (SELECT FROM unnest(_orders) o WHERE o.user_id IS NOT NULL) THEN
            INSERT INTO {customer_statistics} AS c (tenant_id, user_id, currency, total_orders, total_spent, last_order_at)
            SELECT p_tenant, o.user_id, _currency, count(*)::int, sum(s.total_amount)::bigint, _now
              FROM unnest(_orders) o
              JOIN unnest(_sums) s ON s.ordinal = o.ordinal
             WHERE _verdicts->(o.ordinal::text)->>'verdict' = 'placed' AND o.user_id IS NOT NULL
             GROUP BY o.user_id
             ORDER BY o.user_id
                ON CONFLICT (tenant_id, user_id) DO UPDATE
               SET total_orders = c.total_orders + EXCLUDED.total_orders,
                   total_spent = c.total_spent + EXCLUDED.total_spent,
                   last_order_at = greatest(c.last_order_at, EXCLUDED.last_order_at),
                   updated_at = EXCLUDED.updated_at;
        END IF;

        INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id)
        SELECT p_tenant, o.webhook_id, 'webhooks', 'order.created',
               (_verdicts->(o.ordinal::text)->'answer') - 'payment', 'order', o.id
          FROM unnest(_orders) o
         WHERE _verdicts->(o.ordinal::text)->>'verdict' = 'placed';

        -- The account is locked since the beginning; the balance's CHECK refuses who took from it without.
        IF _credits THEN
            INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, user_id, payment_method_id, amount, currency,
                                    received_amount, status, ip_address, completed_at)
            SELECT p_tenant, o.credit_payment_id, o.credit_reference, o.id, o.user_id, m.id, s.credit_amount, _currency,
                   s.credit_amount, 'completed', o.ip_address, _now
              FROM unnest(_orders) o
              JOIN unnest(_sums) s ON s.ordinal = o.ordinal
              JOIN {payment_methods} m ON m.tenant_id = p_tenant AND m.code = 'store-credit'
             WHERE _verdicts->(o.ordinal::text)->>'verdict' = 'placed' AND s.credit_amount > 0;

            UPDATE {store_credits} c
               SET balance = c.balance - s.credit_amount, updated_at = _now
              FROM unnest(_orders) o
              JOIN unnest(_sums) s ON s.ordinal = o.ordinal
             WHERE c.tenant_id = p_tenant AND c.user_id = o.user_id AND c.currency = _currency AND s.credit_amount > 0
               AND _verdicts->(o.ordinal::text)->>'verdict' = 'placed';

            INSERT INTO {store_credit_entries} (tenant_id, id, user_id, currency, amount, reason, order_id, payment_id, actor_kind,
                                                actor_id)
            SELECT p_tenant, o.credit_entry_id, o.user_id, _currency, -s.credit_amount, 'spent', o.id, o.credit_payment_id,
                   o.actor_kind, o.actor_id
              FROM unnest(_orders) o
              JOIN unnest(_sums) s ON s.ordinal = o.ordinal
             WHERE _verdicts->(o.ordinal::text)->>'verdict' = 'placed' AND s.credit_amount > 0;

            INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id)
            SELECT p_tenant, gen_random_uuid(), 'webhooks', 'payment.completed', jsonb_build_object(
                       'id', o.credit_payment_id, 'reference', o.credit_reference, 'order_id', o.id, 'status', 'completed',
                       'currency', _currency, 'amount', s.credit_amount, 'received', s.credit_amount,
                       'order_number', o.order_number), 'payment', o.credit_payment_id
              FROM unnest(_orders) o
              JOIN unnest(_sums) s ON s.ordinal = o.ordinal
             WHERE _verdicts->(o.ordinal::text)->>'verdict' = 'placed' AND s.credit_amount > 0;
        END IF;

        -- What happened, for whoever it happened to; where neither account nor visitor is known, it is nobody's.
        IF _known THEN
            INSERT INTO {events} (tenant_id, id, event_name, event_category, user_id, anonymous_id, session_id, utm_source,
                                  utm_medium, utm_campaign, cart_id, order_id, payment_id, properties, ip_address, user_agent,
                                  device_type, browser, os)
            SELECT p_tenant, coalesce(o.event_ids[e.place], gen_random_uuid()), e.name, split_part(e.name, '.', 1),
                   coalesce(o.user_id, v.user_id, (c.cart->>'user_id')::uuid), coalesce(v.anonymous_id, c.cart->>'anonymous_id'),
                   coalesce(o.session_id::text, c.cart->>'session_id', left(o.request_id, 100), 'server'),
                   coalesce(c.cart->>'utm_source', o.utm_source), coalesce(c.cart->>'utm_medium', o.utm_medium),
                   coalesce(c.cart->>'utm_campaign', o.utm_campaign), o.cart_id, o.id, e.payment_id, e.properties,
                   CASE WHEN o.actor_kind = 'customer' THEN o.ip_address END, o.user_agent, o.device_type, o.browser, o.os
              FROM unnest(_orders) o
              JOIN unnest(_sums) s ON s.ordinal = o.ordinal
             CROSS JOIN LATERAL (SELECT _carts->(o.cart_id::text) AS cart) c
              LEFT JOIN {auth_sessions} v
                ON v.tenant_id = p_tenant AND v.id = coalesce(o.session_id, (c.cart->>'session_id')::uuid)
             CROSS JOIN LATERAL (VALUES
                   (1, 'order.created', NULL::uuid,
                    jsonb_build_object('number', o.order_number, 'total', s.total_amount, 'currency', _currency), TRUE),
                   (2, 'checkout.completed', NULL, '{}', TRUE),
                   (3, 'checkout.compliance.acknowledged', NULL, jsonb_build_object('version', o.compliance_version),
                    coalesce(o.compliance_acknowledged, FALSE)),
                   (4, 'payment.initiated', o.payment_id, '{}',
                    jsonb_typeof(_verdicts->(o.ordinal::text)->'answer'->'payment') = 'object'),
                   (5, 'payment.completed', o.credit_payment_id, '{}', s.credit_amount > 0))
                   AS e (place, name, payment_id, properties, happened)
             WHERE _verdicts->(o.ordinal::text)->>'verdict' = 'placed'
               AND e.happened
               AND coalesce(o.user_id::text, v.user_id::text, v.anonymous_id, c.cart->>'user_id', c.cart->>'anonymous_id') IS NOT NULL;
        END IF;
    END IF;

    -- A key keeps the answer of what was placed; what was refused may be tried again under the same key.
    IF cardinality(_claimed) > 0 THEN
        UPDATE {idempotency_keys} k
           SET state = 'done', response = _verdicts->(o.ordinal::text)->'answer'
          FROM unnest(_orders) o
         WHERE k.tenant_id = p_tenant AND k.scope = o.idempotency_scope AND k.key = o.idempotency_key AND k.claim = o.id
           AND _verdicts->(o.ordinal::text)->>'verdict' = 'placed';
        DELETE FROM {idempotency_keys} k
         USING unnest(_orders) o
         WHERE k.tenant_id = p_tenant AND k.scope = o.idempotency_scope AND k.key = o.idempotency_key AND k.claim = o.id
           AND _verdicts->(o.ordinal::text)->>'verdict' <> 'placed';
    END IF;

    RETURN QUERY
    SELECT o.ordinal, _verdicts->(o.ordinal::text)->>'verdict', _verdicts->(o.ordinal::text)->'answer'
      FROM unnest(_orders) o
     ORDER BY o.ordinal;
END
$function$;

-- function: discount_lines_v1
-- What coupons take off the lines of an order; `promotions/pricing.py` does the same sums, and a test holds the two together.
-- Off the lines of a coupon's products first, then off what they come to; in each place percentages, one after the other and
-- rounded half up each time, before fixed amounts. What is taken off the whole is spread over the lines by what is left of them.
--
-- p_lines: [{product_id, amount}]; p_coupons: those that apply, in their order: [{applies_at, percentage, amount, maximum,
-- product_ids, …}]. Gives {discount, lines: [amount of each line], taken: [coupon with what it took as its amount]}; what
-- takes nothing is not among them. Plain steps and no statements: each of those costs as much as all of this.
CREATE FUNCTION {discount_lines_v1}(p_tenant TEXT, p_lines JSONB, p_coupons JSONB)
RETURNS JSONB
LANGUAGE plpgsql
IMMUTABLE
AS $function$
DECLARE
    _count    CONSTANT INTEGER := jsonb_array_length(p_lines);
    _left     BIGINT[] := '{}';    -- of each line, before what is taken off the whole
    _whole    BIGINT := 0;         -- what is left of all
    _spread   BIGINT := 0;         -- taken off the whole
    _parts    BIGINT[];
    _part     BIGINT;
    _sum      BIGINT;
    _discount BIGINT := 0;
    _place    TEXT;
    _turn     TEXT;
    _coupon   JSONB;
    _kept     NUMERIC;             -- of a percentage coupon: what stays, in millionths of a percent
    _fixed    BIGINT;
    _most     BIGINT;
    _taken    JSONB := '[]';
    _cuts     JSONB := '[]';
BEGIN
    FOR _i IN 1.._count LOOP
        _left[_i] := (p_lines->(_i - 1)->>'amount')::bigint;
        _whole := _whole + _left[_i];
    END LOOP;

    FOREACH _place IN ARRAY ARRAY['catalog', 'checkout'] LOOP
        FOREACH _turn IN ARRAY ARRAY['percentage', 'amount'] LOOP
            FOR _c IN 0..jsonb_array_length(p_coupons) - 1 LOOP
                _coupon := p_coupons->_c;
                CONTINUE WHEN _coupon->>'applies_at' <> _place OR _coupon->>_turn IS NULL;
                _kept := 100000000 - 1000000 * (_coupon->>'percentage')::numeric;
                _fixed := (_coupon->>'amount')::bigint;
                _most := (_coupon->>'maximum')::bigint;
                IF _place = 'catalog' THEN
                    _sum := 0;
                    FOR _i IN 1.._count LOOP
                        _part := 0;
                        IF _coupon->'product_ids' ? (p_lines->(_i - 1)->>'product_id') THEN
                            _part := CASE WHEN _turn = 'amount' THEN least(_left[_i], _fixed)
                                          ELSE _left[_i] - div(2 * _left[_i] * _kept + 100000000, 200000000)::bigint END;
                        END IF;
                        _parts[_i] := _part;
                        _sum := _sum + _part;
                    END LOOP;
                    IF _sum > _most THEN
                        _sum := _most;
                        _parts := {share_out_v1}(p_tenant, _sum, _parts);
                    END IF;
                    FOR _i IN 1.._count LOOP
                        _left[_i] := _left[_i] - _parts[_i];
                    END LOOP;
                ELSE
                    _sum := least(CASE WHEN _turn = 'amount' THEN least(_whole, _fixed)
                                       ELSE _whole - div(2 * _whole * _kept + 100000000, 200000000)::bigint END, _most);
                    _spread := _spread + _sum;
                END IF;
                _whole := _whole - _sum;
                IF _sum > 0 THEN
                    _taken := _taken || jsonb_build_array(_coupon || jsonb_build_object('amount', _sum));
                END IF;
            END LOOP;
        END LOOP;
    END LOOP;

    IF _spread > 0 THEN
        _parts := {share_out_v1}(p_tenant, _spread, _left);
    END IF;
    FOR _i IN 1.._count LOOP
        _part := (p_lines->(_i - 1)->>'amount')::bigint - _left[_i] + CASE WHEN _spread > 0 THEN _parts[_i] ELSE 0 END;
        _discount := _discount + _part;
        _cuts := _cuts || to_jsonb(_part);
    END LOOP;
    RETURN jsonb_build_object('discount', _discount, 'lines', _cuts, 'taken', _taken);
END
$function$;

-- function: share_out_v1
-- Divides an amount in proportion to weights, as Money.allocate does: what is left over goes to the shares that were cut most,
-- the earlier of two equal ones first.
CREATE FUNCTION {share_out_v1}(p_tenant TEXT, p_amount BIGINT, p_weights BIGINT[])
RETURNS BIGINT[]
LANGUAGE plpgsql
IMMUTABLE
AS $function$
DECLARE
    _whole  NUMERIC := 0;
    _over   BIGINT := p_amount;
    _shares BIGINT[] := '{}';
    _cuts   NUMERIC[] := '{}';
    _most   INTEGER;
BEGIN
    FOR _i IN 1..cardinality(p_weights) LOOP
        _whole := _whole + p_weights[_i];
    END LOOP;
    FOR _i IN 1..cardinality(p_weights) LOOP
        _shares[_i] := div(p_amount::numeric * p_weights[_i], _whole);
        _cuts[_i] := mod(p_amount::numeric * p_weights[_i], _whole);
        _over := _over - _shares[_i];
    END LOOP;
    WHILE _over > 0 LOOP
        _most := 1;
        FOR _i IN 2..cardinality(p_weights) LOOP
            IF _cuts[_i] > _cuts[_most] THEN
                _most := _i;
            END IF;
        END LOOP;
        _shares[_most] := _shares[_most] + 1;
        _cuts[_most] := -1;
        _over := _over - 1;
    END LOOP;
    RETURN _shares;
END
$function$;

-- function: release_order_units_v2
-- Gives back what an order still holds: lowers `reserved` by its held units and counts every unshipped unit of its lines
-- as cancelled. Where the order was cancelled, the uses of its coupons are given back as well. The caller holds the order's row.
-- Says how many units became free; a second call frees none. Its predecessor, v1, knew no coupons.
--
-- Locks: coupons by code, stock rows by key. Whoever gives store credit back as well holds the account before.
CREATE FUNCTION {release_order_units_v2}(p_tenant TEXT, p_order UUID)
RETURNS INTEGER
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan  -- an array of one would else be planned anew in every statement of every call
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
DECLARE
    _freed INTEGER;
BEGIN
    IF EXISTS (SELECT FROM {coupon_redemptions} r
                WHERE r.tenant_id = p_tenant AND r.order_id = p_order AND r.released_at IS NULL)
       AND EXISTS (SELECT FROM {orders} o WHERE o.tenant_id = p_tenant AND o.id = p_order AND o.status = 'cancelled') THEN
        PERFORM FROM {coupons} c
          WHERE c.tenant_id = p_tenant
            AND c.id = ANY (ARRAY(SELECT r.coupon_id FROM {coupon_redemptions} r
                                   WHERE r.tenant_id = p_tenant AND r.order_id = p_order AND r.released_at IS NULL))
          ORDER BY c.code
            FOR NO KEY UPDATE;

        WITH given_back AS (
            UPDATE {coupon_redemptions}
               SET released_at = now()
             WHERE tenant_id = p_tenant AND order_id = p_order AND released_at IS NULL
            RETURNING coupon_id)
        UPDATE {coupons} c
           SET usage_count = c.usage_count - 1, updated_at = now()
          FROM given_back g
         WHERE c.tenant_id = p_tenant AND c.id = g.coupon_id;
    END IF;

    SELECT coalesce(sum(i.quantity_held), 0)::int
      INTO _freed
      FROM {order_items} i
     WHERE i.tenant_id = p_tenant AND i.order_id = p_order;

    IF _freed > 0 THEN
        PERFORM FROM {stock_levels} s
          WHERE s.tenant_id = p_tenant
            AND s.variant_id = ANY (ARRAY(SELECT i.variant_id FROM {order_items} i
                                           WHERE i.tenant_id = p_tenant AND i.order_id = p_order AND i.quantity_held > 0))
          ORDER BY s.variant_id
            FOR UPDATE;

        UPDATE {stock_levels} s
           SET reserved = s.reserved - h.units
          FROM (SELECT i.variant_id, sum(i.quantity_held)::int AS units
                  FROM {order_items} i
                 WHERE i.tenant_id = p_tenant AND i.order_id = p_order AND i.quantity_held > 0
                 GROUP BY i.variant_id) h
         WHERE s.tenant_id = p_tenant AND s.variant_id = h.variant_id;
    END IF;

    UPDATE {order_items}
       SET quantity_held = 0, quantity_cancelled = quantity - quantity_fulfilled
     WHERE tenant_id = p_tenant AND order_id = p_order AND (quantity_held > 0 OR quantity_fulfilled + quantity_cancelled < quantity);
    RETURN _freed;
END
$function$;

-- function: ship_order_units_v1
-- Takes what an order holds off the shelf: `on_hand` and `reserved` fall by its held units, each variant gets its movement,
-- and every line counts as shipped. The caller holds the order's row.
--
-- p_movement_ids: as many as the order has lines, at least. Rows come back only where a variant has fewer units on hand
-- than the order needs; then nothing was written.
--
-- Locks: stock rows by key.
CREATE FUNCTION {ship_order_units_v1}(p_tenant TEXT, p_order UUID, p_movement_ids UUID[], p_actor_kind TEXT, p_actor_id UUID)
RETURNS TABLE (variant_id UUID, sku TEXT, needed INTEGER, on_hand INTEGER)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan  -- an array of one would else be planned anew in every statement of every call
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
#variable_conflict use_column
BEGIN
    PERFORM FROM {stock_levels} s
      WHERE s.tenant_id = p_tenant
        AND s.variant_id = ANY (ARRAY(SELECT i.variant_id FROM {order_items} i
                                       WHERE i.tenant_id = p_tenant AND i.order_id = p_order AND i.quantity_held > 0))
      ORDER BY s.variant_id
        FOR UPDATE;

    RETURN QUERY
    SELECT h.variant_id, h.sku, h.units, s.on_hand
      FROM (SELECT i.variant_id, min(i.product_sku) AS sku, sum(i.quantity_held)::int AS units, min(i.position) AS position
              FROM {order_items} i
             WHERE i.tenant_id = p_tenant AND i.order_id = p_order AND i.quantity_held > 0
             GROUP BY i.variant_id) h
      JOIN {stock_levels} s ON s.tenant_id = p_tenant AND s.variant_id = h.variant_id
     WHERE s.on_hand < h.units
     ORDER BY h.position;
    IF FOUND THEN
        RETURN;
    END IF;

    UPDATE {stock_levels} s
       SET on_hand = s.on_hand - h.units, reserved = s.reserved - h.units
      FROM (SELECT i.variant_id, sum(i.quantity_held)::int AS units
              FROM {order_items} i
             WHERE i.tenant_id = p_tenant AND i.order_id = p_order AND i.quantity_held > 0
             GROUP BY i.variant_id) h
     WHERE s.tenant_id = p_tenant AND s.variant_id = h.variant_id;

    INSERT INTO {stock_movements} (tenant_id, id, variant_id, kind, quantity, on_hand_after, order_id, actor_kind, actor_id,
                                   created_at)
    SELECT p_tenant, p_movement_ids[h.place], h.variant_id, 'shipment', -h.units, s.on_hand, p_order, p_actor_kind, p_actor_id,
           clock_timestamp()  -- not now(): whoever waited here for the row began before the one who had it
      FROM (SELECT i.variant_id, sum(i.quantity_held)::int AS units, row_number() OVER (ORDER BY i.variant_id) AS place
              FROM {order_items} i
             WHERE i.tenant_id = p_tenant AND i.order_id = p_order AND i.quantity_held > 0
             GROUP BY i.variant_id) h
      JOIN {stock_levels} s ON s.tenant_id = p_tenant AND s.variant_id = h.variant_id;

    UPDATE {order_items}
       SET quantity_held = 0, quantity_fulfilled = quantity - quantity_cancelled
     WHERE tenant_id = p_tenant AND order_id = p_order AND quantity_fulfilled + quantity_cancelled < quantity;
END
$function$;

-- function: update_customer_statistics
-- Sums up what a customer has bought: the orders that were not cancelled, what those in the shop's currency came to less
-- what went back, and the last of them. Said twice, or after any mistake, it comes out right. FALSE: the tenant has no such
-- account.
--
-- Locks: the statistics row, which nobody holds while waiting for anything else. Whoever has it has changed an order and
-- not yet committed; the sum comes after the wait, in a statement of its own, and so sees that order.
CREATE OR REPLACE FUNCTION {update_customer_statistics}(p_tenant TEXT, p_customer UUID)
RETURNS BOOLEAN
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
DECLARE
    _currency TEXT;
BEGIN
    INSERT INTO {customer_statistics} (tenant_id, user_id, currency)
    SELECT p_tenant, u.id, t.currency
      FROM {users} u
      JOIN {tenants} t ON t.tenant_id = p_tenant
     WHERE u.tenant_id = p_tenant AND u.id = p_customer
        ON CONFLICT (tenant_id, user_id) DO NOTHING;

    SELECT c.currency
      INTO _currency
      FROM {customer_statistics} c
     WHERE c.tenant_id = p_tenant AND c.user_id = p_customer
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;

    UPDATE {customer_statistics} c
       SET total_orders = s.orders, total_spent = s.spent, last_order_at = s.last_at, updated_at = now()
      FROM (SELECT count(*)::int AS orders, coalesce(sum(o.worth), 0)::bigint AS spent, max(o.created_at) AS last_at
              FROM (SELECT d.created_at,
                           CASE WHEN d.status = 'refunded' OR d.currency <> _currency THEN 0
                                WHEN EXISTS (SELECT FROM {payments} p
                                              WHERE p.tenant_id = p_tenant AND p.order_id = d.id AND p.refunded_amount > 0)
                                THEN least(d.total_amount, greatest(d.amount_paid, 0))
                                ELSE d.total_amount END AS worth
                      FROM {orders} d
                     WHERE d.tenant_id = p_tenant AND d.user_id = p_customer AND d.cancelled_at IS NULL) o) s
     WHERE c.tenant_id = p_tenant AND c.user_id = p_customer;
    RETURN TRUE;
END
$function$;

-- function: return_order_units_v1
-- What a completed refund does to the lines it is for: their units count as refunded, and those to be put back are for sale
-- again. Of a line, units that were not shipped are set free first (`reserved` falls, they count as cancelled), shipped ones
-- come back to the shelf after them (`on_hand` rises, with a movement `return`). Says how many units are for sale again.
-- The caller holds the order's row.
--
-- p_movement_ids: as many as the refund has lines, at least.
--
-- Locks: stock rows by key.
CREATE FUNCTION {return_order_units_v1}(
    p_tenant TEXT, p_refund UUID, p_movement_ids UUID[], p_actor_kind TEXT, p_actor_id UUID)
RETURNS INTEGER
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan  -- an array of one would else be planned anew in every statement of every call
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
DECLARE
    _units  JSONB;      -- of each line: how many are set free, how many of them were held, how many come back
    _back   INTEGER;
BEGIN
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'line', u.id, 'order', u.order_id, 'variant', u.variant_id, 'refunded', u.quantity, 'freed', u.freed,
               'unheld', CASE WHEN u.held > 0 THEN u.freed ELSE 0 END, 'back', u.back,
               'shelved', CASE WHEN u.stock_policy = 'untracked' THEN 0 ELSE u.back END)), '[]'),
           coalesce(sum(u.freed + u.back), 0)::int
      INTO _units, _back
      FROM (SELECT f.*, CASE WHEN f.restock THEN least(f.quantity - f.freed, f.shipped) ELSE 0 END AS back
              FROM (SELECT i.id, i.order_id, i.variant_id, x.quantity, x.restock, v.stock_policy, i.quantity_held AS held,
                           i.quantity_fulfilled - i.quantity_returned AS shipped,
                           CASE WHEN x.restock
                                THEN least(x.quantity, i.quantity - i.quantity_fulfilled - i.quantity_cancelled)
                                ELSE 0 END AS freed
                      FROM {refund_items} x
                      JOIN {order_items} i ON i.tenant_id = p_tenant AND i.id = x.order_item_id
                      JOIN {product_variants} v ON v.tenant_id = p_tenant AND v.id = i.variant_id
                     WHERE x.tenant_id = p_tenant AND x.refund_id = p_refund) f) u;

    PERFORM FROM {stock_levels} s
      WHERE s.tenant_id = p_tenant
        AND s.variant_id = ANY (ARRAY(SELECT u.variant
                                        FROM jsonb_to_recordset(_units) AS u (variant UUID, unheld INTEGER, shelved INTEGER)
                                       WHERE u.unheld + u.shelved > 0))
      ORDER BY s.variant_id
        FOR UPDATE;

    UPDATE {stock_levels} s
       SET on_hand = s.on_hand + h.shelved, reserved = s.reserved - h.unheld
      FROM (SELECT u.variant, sum(u.unheld)::int AS unheld, sum(u.shelved)::int AS shelved
              FROM jsonb_to_recordset(_units) AS u (variant UUID, unheld INTEGER, shelved INTEGER)
             GROUP BY u.variant
            HAVING sum(u.unheld + u.shelved) > 0) h
     WHERE s.tenant_id = p_tenant AND s.variant_id = h.variant;

    INSERT INTO {stock_movements} (tenant_id, id, variant_id, kind, quantity, on_hand_after, order_id, actor_kind, actor_id,
                                   created_at)
    SELECT p_tenant, p_movement_ids[h.place], h.variant, 'return', h.shelved, s.on_hand, h.order_id, p_actor_kind, p_actor_id,
           clock_timestamp()  -- not now(): whoever waited here for the row began before the one who had it
      FROM (SELECT u.variant, u."order" AS order_id, sum(u.shelved)::int AS shelved,
                   row_number() OVER (ORDER BY u.variant) AS place
              FROM jsonb_to_recordset(_units) AS u (variant UUID, "order" UUID, shelved INTEGER)
             WHERE u.shelved > 0
             GROUP BY u.variant, u."order") h
      JOIN {stock_levels} s ON s.tenant_id = p_tenant AND s.variant_id = h.variant;

    UPDATE {order_items} i
       SET quantity_refunded = i.quantity_refunded + u.refunded, quantity_cancelled = i.quantity_cancelled + u.freed,
           quantity_held = i.quantity_held - u.unheld, quantity_returned = i.quantity_returned + u.back
      FROM jsonb_to_recordset(_units) AS u (line UUID, refunded INTEGER, freed INTEGER, unheld INTEGER, back INTEGER)
     WHERE i.tenant_id = p_tenant AND i.id = u.line;
    RETURN _back;
END
$function$;

-- function: claim_guest_orders_v1
-- Make the orders that a guest placed with an account's verified address the account's, and what they used of coupons with
-- them, so that a limit of so many uses for each buyer outlives a change of the address. Says how many orders it were.
CREATE FUNCTION {claim_guest_orders_v1}(p_tenant TEXT, p_user UUID)
RETURNS INTEGER
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $function$
DECLARE
    _claimed  INTEGER;
BEGIN
    UPDATE {orders} o
       SET user_id = p_user, updated_at = now()
     WHERE o.tenant_id = p_tenant
       AND o.user_id IS NULL
       AND o.customer_email = (SELECT u.email
                                 FROM {users} u
                                WHERE u.tenant_id = p_tenant AND u.id = p_user AND u.email_verified AND u.deleted_at IS NULL);
    GET DIAGNOSTICS _claimed = ROW_COUNT;

    UPDATE {coupon_redemptions} r
       SET user_id = p_user
     WHERE r.tenant_id = p_tenant
       AND r.user_id IS NULL
       AND r.order_id = ANY (ARRAY(SELECT o.id FROM {orders} o WHERE o.tenant_id = p_tenant AND o.user_id = p_user));
    RETURN _claimed;
END
$function$;

-- function: settled_payment_v1
-- What came of a signature that was honoured: its payment and its order, or NULLs where it led to none. Reads only.
CREATE FUNCTION {settled_payment_v1}(p_tenant TEXT, p_signature TEXT)
RETURNS JSONB
LANGUAGE plpgsql
STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $function$
BEGIN
    RETURN (SELECT jsonb_build_object('order_id', o.id, 'number', o.order_number, 'status', o.status, 'source', o.source,
                                      'purchase_id', o.purchase_id, 'payment_id', p.id, 'reference', p.payment_reference,
                                      'wallet', t.wallet, 'amount', t.amount, 'currency', t.amount_asset)
              FROM (SELECT h.payment_id, h.wallet, h.amount, h.amount_asset
                      FROM {payment_transactions} h
                     WHERE h.tenant_id = p_tenant AND h.signature = p_signature
                     UNION ALL
                    SELECT a.payment_id, a.wallet, a.amount, a.amount_asset
                      FROM {payment_transactions_archive} a
                     WHERE a.tenant_id = p_tenant AND a.signature = p_signature) t
              LEFT JOIN {payments} p ON p.tenant_id = p_tenant AND p.id = t.payment_id
              LEFT JOIN {orders} o ON o.tenant_id = p_tenant AND o.id = p.order_id);
END
$function$;

-- function: record_verified_payment_v1
-- What a verified payment from a wallet brings about, all of it or nothing: its signature is honoured, the quote has its
-- payer, the order is stored if its (source, purchase_id) has none, the ledger has one completed payment, the cart's
-- reservations become the order's units, and one message waits in the outbox.
--
-- verdict 'recorded': this call did it. 'replayed': the signature was honoured before, and the answer is what came of it
-- then; order_id is NULL where it was recorded without an order. Every other verdict wrote nothing and says why.
-- An order that is there already gets the payment and nothing else: its units were taken when it was placed.
--
-- The money has arrived, so units that are gone do not stop the order: they are promised beyond the shelf, `short` says
-- which, and the shop sees them as oversold until it has filled or refunded them.
--
-- Locks, in this order: the quote, the cart, an order that exists, the signature, stock rows by key, the new order,
-- statistics. Everything is decided before the signature is claimed.
CREATE FUNCTION {record_verified_payment_v1}(p_tenant TEXT, p_payment JSONB)
RETURNS TABLE (verdict TEXT, answer JSONB)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
#variable_conflict use_column
DECLARE
    _now       CONSTANT TIMESTAMPTZ := now();
    _p         RECORD;
    _quote     RECORD;
    _unpaid    BOOLEAN := FALSE;       -- there is a quote, and nobody paid it yet
    _known     RECORD;                 -- the order of this purchase, if it is there
    _cart      UUID;
    _converts  BOOLEAN := FALSE;
    _items     JSONB;
    _total     BIGINT;
    _lines     {checkout_line}[];
    _subtotal  BIGINT;
    _method    UUID;
    _unfit     BOOLEAN;
    _ids       UUID[];
    _demands   {checkout_demand}[];
    _short     JSONB;
    _user      UUID;
BEGIN
    SELECT p.*
      INTO _p
      FROM jsonb_to_record(p_payment) AS p (
               signature TEXT, wallet TEXT, account TEXT, amount BIGINT, asset TEXT, resource_id TEXT, metadata JSONB,
               quote_id TEXT, items JSONB, total BIGINT, line_ids UUID[], cart_id UUID, source TEXT, purchase_id TEXT,
               order_id UUID, order_number TEXT, history_ids UUID[], payment_id UUID, payment_reference TEXT, method TEXT,
               method_id UUID, webhook_ids UUID[], user_id UUID, customer_email TEXT, customer_name TEXT,
               customer_phone TEXT, shipping_address JSONB, billing_address JSONB, customer_notes TEXT, ip_address INET,
               actor_kind {actor_kind}, actor_id UUID, actor_name TEXT, request_id TEXT);

    IF _p.account IS NOT NULL
       AND NOT EXISTS (SELECT
                         FROM {receiving_accounts} a
                        WHERE a.tenant_id = p_tenant AND a.asset = _p.asset AND a.address = _p.account AND a.is_active) THEN
        RETURN QUERY SELECT 'account', jsonb_build_object('account', _p.account, 'asset', _p.asset);
        RETURN;
    END IF;

    -- A confirmation that was delivered before needs no lock: what came of it does not change.
    IF EXISTS (SELECT FROM {payment_signatures} s WHERE s.tenant_id = p_tenant AND s.signature = _p.signature) THEN
        RETURN QUERY SELECT 'replayed', {settled_payment_v1}(p_tenant, _p.signature);
        RETURN;
    END IF;

    -- The offer: its lines and its total are what was agreed. A rival with another wallet waits here.
    IF _p.quote_id IS NOT NULL THEN
        SELECT q.items, q.total_amount, q.total_asset, q.cart_id, q.expires_at, q.wallet_paid_by, q.order_id
          INTO _quote
          FROM {cart_quotes} q
         WHERE q.tenant_id = p_tenant AND q.id = _p.quote_id
           FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RETURN QUERY SELECT 'quote_unknown', jsonb_build_object('quote_id', _p.quote_id);
            RETURN;
        END IF;
        -- The same confirmation, delivered while the first was at work, waited for the quote: ask again what came of it.
        IF EXISTS (SELECT FROM {payment_signatures} s WHERE s.tenant_id = p_tenant AND s.signature = _p.signature) THEN
            RETURN QUERY SELECT 'replayed', {settled_payment_v1}(p_tenant, _p.signature);
            RETURN;
        END IF;
        IF _quote.wallet_paid_by <> _p.wallet THEN
            RETURN QUERY SELECT 'quote_paid_by_another', jsonb_build_object('quote_id', _p.quote_id);
            RETURN;
        END IF;
        IF _quote.wallet_paid_by IS NULL AND _quote.expires_at <= _now THEN
            RETURN QUERY SELECT 'quote_expired', jsonb_build_object('quote_id', _p.quote_id);
            RETURN;
        END IF;
        IF _quote.total_asset <> _p.asset THEN
            RETURN QUERY SELECT 'other_asset', jsonb_build_object('asked', _quote.total_asset, 'paid', _p.asset);
            RETURN;
        END IF;
        _items := _quote.items;
        _total := _quote.total_amount;
        _cart := _quote.cart_id;
        _unpaid := _quote.wallet_paid_by IS NULL;
    ELSE
        _items := _p.items;
        _total := _p.total;
        _cart := _p.cart_id;
    END IF;

    IF _cart IS NOT NULL THEN
        SELECT c.status = 'active' INTO _converts FROM {carts} c WHERE c.tenant_id = p_tenant AND c.id = _cart FOR UPDATE;
        _converts := coalesce(_converts, FALSE);  -- a cart of another program is a name for its reservations alone
    END IF;

    SELECT o.id, o.order_number, o.status, o.total_amount, o.amount_paid, o.currency, o.user_id
      INTO _known
      FROM {orders} o
     WHERE o.tenant_id = p_tenant AND o.source = _p.source AND o.purchase_id = _p.purchase_id
       FOR NO KEY UPDATE;
    IF _known.id IS NOT NULL AND _known.currency <> _p.asset THEN
        RETURN QUERY SELECT 'other_asset', jsonb_build_object('asked', _known.currency, 'paid', _p.asset);
        RETURN;
    END IF;

    -- An offer is sold once. What its wallet pays besides goes to the order that is there, never to a second one at the old
    -- price. Quotes that were paid before they named their order are known by the ledger.
    IF _p.quote_id IS NOT NULL AND NOT _unpaid AND _known.id IS NULL THEN
        IF _quote.order_id IS NOT NULL
           OR EXISTS (SELECT
                        FROM {payment_transactions} t
                       WHERE t.tenant_id = p_tenant AND t.resource_id = left('cart:' || _p.quote_id, 255)
                         AND t.payment_id IS NOT NULL) THEN
            RETURN QUERY SELECT 'quote_sold', jsonb_build_object('quote_id', _p.quote_id);
            RETURN;
        END IF;
    END IF;

    SELECT m.id, m.is_manual OR m.currency <> _p.asset
      INTO _method, _unfit
      FROM {payment_methods} m
     WHERE m.tenant_id = p_tenant AND m.code = _p.method;
    IF _unfit OR (_method IS NULL AND _p.method_id IS NULL) THEN
        RETURN QUERY SELECT 'method', jsonb_build_object('method', _p.method, 'asset', _p.asset);
        RETURN;
    END IF;

    IF _p.amount < _total AND (_unpaid OR _known.id IS NULL) THEN
        RETURN QUERY SELECT 'too_little', jsonb_build_object('asked', _total, 'paid', _p.amount, 'asset', _p.asset);
        RETURN;
    END IF;

    IF _known.id IS NULL THEN
        IF _p.user_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM {users} u WHERE u.tenant_id = p_tenant AND u.id = _p.user_id) THEN
            RETURN QUERY SELECT 'user_unknown', jsonb_build_object('user_id', _p.user_id);
            RETURN;
        END IF;
        WITH asked AS MATERIALIZED (
            SELECT i.position::int AS position, coalesce(i.sku, i.variant_id::text) AS name, i.quantity,
                   (i.unit_price->>'amount')::bigint AS unit_price,
                   coalesce(i.variant_id, (SELECT s.id FROM {product_variants} s
                                            WHERE s.tenant_id = p_tenant AND s.sku = i.sku)) AS variant_id
              FROM ROWS FROM (jsonb_to_recordset(_items) AS (variant_id UUID, sku TEXT, quantity INTEGER, unit_price JSONB))
                   WITH ORDINALITY AS i (variant_id, sku, quantity, unit_price, position))
        SELECT array_agg(ROW(0, a.position, _p.line_ids[a.position], a.name, v.product_id, v.id, a.quantity, NULL,
                             a.unit_price, _p.asset, v.sku, p.name, v.title, TRUE, p.is_digital, NULL, NULL, NULL, NULL, NULL,
                             v.stock_policy, v.backorder_limit, FALSE, NULL, NULL, NULL)::{checkout_line} ORDER BY a.position),
               sum(a.quantity * a.unit_price)::bigint
          INTO _lines, _subtotal
          FROM asked a
          LEFT JOIN {product_variants} v ON v.tenant_id = p_tenant AND v.id = a.variant_id
          LEFT JOIN {products} p ON p.tenant_id = p_tenant AND p.id = v.product_id;
        IF EXISTS (SELECT FROM unnest(_lines) l WHERE l.variant_id IS NULL) THEN
            RETURN QUERY SELECT 'lines_unknown', jsonb_agg(l.asked ORDER BY l.position)
                           FROM unnest(_lines) l
                          WHERE l.variant_id IS NULL;
            RETURN;
        END IF;
    END IF;

    -- From here on it is written. A rival with the same signature waits at its key, and hears what became of ours.
    INSERT INTO {payment_signatures} (tenant_id, signature)
    VALUES (p_tenant, _p.signature)
        ON CONFLICT (tenant_id, signature) DO NOTHING;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'replayed', {settled_payment_v1}(p_tenant, _p.signature);
        RETURN;
    END IF;

    IF _p.quote_id IS NOT NULL THEN
        UPDATE {cart_quotes} q
           SET wallet_paid_by = _p.wallet, paid_at = coalesce(q.paid_at, _now), order_id = coalesce(_known.id, _p.order_id),
               updated_at = _now
         WHERE q.tenant_id = p_tenant AND q.id = _p.quote_id AND q.order_id IS NULL;
    END IF;

    IF _method IS NULL THEN
        INSERT INTO {payment_methods} (tenant_id, id, code, method_type, name, is_active, is_manual, instructions,
                                       payment_details, currency)
        VALUES (p_tenant, _p.method_id, _p.method, 'wallet', _p.asset, FALSE, FALSE, 'Pay from your wallet.', '{}', _p.asset)
            ON CONFLICT (tenant_id, code) DO NOTHING;
        SELECT m.id INTO _method FROM {payment_methods} m WHERE m.tenant_id = p_tenant AND m.code = _p.method;
    END IF;

    IF _known.id IS NULL THEN
        _user := _p.user_id;

        -- Stock: every row that this order moves, locked by key; then what the cart still holds is read.
        _ids := ARRAY(SELECT l.variant_id FROM unnest(_lines) l WHERE l.stock_policy <> 'untracked'
                       UNION
                      SELECT r.variant_id FROM {inventory_reservations} r
                       WHERE r.tenant_id = p_tenant AND r.cart_id = _cart AND r.status = 'active');
        PERFORM FROM {stock_levels} s
          WHERE s.tenant_id = p_tenant AND s.variant_id = ANY (_ids)
          ORDER BY s.variant_id
            FOR UPDATE;

        SELECT coalesce(array_agg(ROW(0, d.variant_id, d.units, d.held, d.stock_policy, d.backorder_limit)::{checkout_demand}), '{}')
          INTO _demands
          FROM (SELECT m.variant_id, sum(m.units)::int AS units, sum(m.held)::int AS held, max(m.stock_policy) AS stock_policy,
                       max(m.backorder_limit) AS backorder_limit
                  FROM (SELECT l.variant_id, l.quantity AS units, 0 AS held, l.stock_policy, l.backorder_limit
                          FROM unnest(_lines) l
                         WHERE l.stock_policy <> 'untracked'
                         UNION ALL
                        SELECT r.variant_id, 0, r.quantity, NULL, NULL
                          FROM {inventory_reservations} r
                         WHERE r.tenant_id = p_tenant AND r.cart_id = _cart AND r.status = 'active') m
                 GROUP BY m.variant_id) d;

        SELECT coalesce(jsonb_agg(jsonb_build_object('variant_id', x.variant_id, 'sku', x.sku, 'missing', x.missing)
                                  ORDER BY x.variant_id), '[]')
          INTO _short
          FROM (SELECT d.variant_id, (SELECT min(l.sku) FROM unnest(_lines) l WHERE l.variant_id = d.variant_id) AS sku,
                       least(d.units - d.held, s.reserved + d.units - d.held - s.on_hand) AS missing
                  FROM unnest(_demands) d
                  JOIN {stock_levels} s ON s.tenant_id = p_tenant AND s.variant_id = d.variant_id
                 WHERE d.stock_policy = 'deny') x
         WHERE x.missing > 0;

        UPDATE {stock_levels} s
           SET reserved = s.reserved + d.units - d.held
          FROM unnest(_demands) d
         WHERE s.tenant_id = p_tenant AND s.variant_id = d.variant_id AND d.units <> d.held;

        INSERT INTO {orders} (tenant_id, id, order_number, source, purchase_id, resource_id, user_id, customer_email, customer_name,
                              customer_phone, status, shipping_address, billing_address, currency, subtotal_amount,
                              discount_amount, total_amount, amount_paid, ip_address, source_cart_id, customer_notes,
                              metadata, payment_due_at, paid_at)
        VALUES (p_tenant, _p.order_id, _p.order_number, _p.source, _p.purchase_id, _p.resource_id, _p.user_id,
                _p.customer_email, _p.customer_name, _p.customer_phone, 'payment_received', _p.shipping_address,
                coalesce(_p.billing_address, _p.shipping_address), _p.asset, _subtotal, _subtotal - _total, _total,
                _p.amount, _p.ip_address, CASE WHEN _converts THEN _cart END, _p.customer_notes, _p.metadata, _now, _now)
            ON CONFLICT (tenant_id, source, purchase_id) DO NOTHING;
        IF NOT FOUND THEN  -- a rival placed it a moment ago: begin anew, and pay that one
            RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'the order was placed by a rival';
        END IF;

        -- What was taken off is spread over the lines by their worth; the largest remainders get the last units.
        INSERT INTO {order_items} (tenant_id, id, order_id, position, product_id, variant_id, product_sku, product_name,
                                   variant_title, is_digital, quantity, unit_price, currency, price_source, discount_amount,
                                   quantity_held)
        SELECT p_tenant, s.id, _p.order_id, s.position, s.product_id, s.variant_id, s.sku, s.product_name, s.variant_title,
               s.is_digital, s.quantity, s.unit_price, s.currency, 'quote',
               s.share + CASE WHEN row_number() OVER (ORDER BY s.remainder DESC, s.position)
                                   <= (_subtotal - _total) - sum(s.share) OVER () THEN 1 ELSE 0 END,
               CASE WHEN s.stock_policy = 'untracked' THEN 0 ELSE s.quantity END
          FROM (SELECT l.id, l.position, l.product_id, l.variant_id, l.sku, l.product_name, l.variant_title, l.is_digital,
                       l.quantity, l.unit_price, l.currency, l.stock_policy,
                       div((_subtotal - _total)::numeric * l.quantity * l.unit_price, _subtotal::numeric)::bigint AS share,
                       mod((_subtotal - _total)::numeric * l.quantity * l.unit_price, _subtotal::numeric) AS remainder
                  FROM unnest(_lines) l) s;

        INSERT INTO {order_status_history} (tenant_id, id, order_id, sequence, from_status, to_status, reason, changed_by,
                                            changed_by_type, changed_by_name, request_id)
        VALUES (p_tenant, _p.history_ids[1], _p.order_id, 1, NULL, 'pending_payment', 'placed', _p.actor_id, _p.actor_kind,
                _p.actor_name, _p.request_id),
               (p_tenant, _p.history_ids[2], _p.order_id, 2, 'pending_payment', 'payment_received', 'paid', _p.actor_id,
                _p.actor_kind, _p.actor_name, _p.request_id);

        INSERT INTO {order_search} (tenant_id, order_id) VALUES (p_tenant, _p.order_id);

        UPDATE {inventory_reservations} r
           SET status = 'converted', order_id = _p.order_id, updated_at = _now
         WHERE r.tenant_id = p_tenant AND r.cart_id = _cart AND r.status = 'active';

        IF _converts THEN
            UPDATE {carts} c
               SET status = 'converted', converted_to_order_id = _p.order_id, converted_at = _now, updated_at = _now
             WHERE c.tenant_id = p_tenant AND c.id = _cart;
        END IF;
    ELSE
        _user := _known.user_id;
    END IF;

    INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, user_id, payment_method_id, amount, currency,
                            received_amount, status, customer_reference, metadata, ip_address, completed_at)
    VALUES (p_tenant, _p.payment_id, _p.payment_reference, coalesce(_known.id, _p.order_id), _user, _method,
            coalesce(_total, _p.amount), _p.asset, _p.amount, 'completed', left(_p.signature, 100),
            jsonb_build_object('signature', _p.signature, 'wallet', _p.wallet), _p.ip_address, _now);

    INSERT INTO {payment_transactions} (tenant_id, signature, resource_id, wallet, amount, amount_asset, account, payment_id,
                                        metadata)
    VALUES (p_tenant, _p.signature, _p.resource_id, _p.wallet, _p.amount, _p.asset, _p.account, _p.payment_id, _p.metadata);

    IF _known.id IS NULL THEN
        -- One message for the new order, and the payment in it.
        INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id)
        VALUES (p_tenant, _p.webhook_ids[1], 'webhooks', 'order.created', jsonb_build_object(
                    'id', _p.order_id, 'number', _p.order_number, 'status', 'payment_received', 'email', _p.customer_email,
                    'currency', _p.asset, 'subtotal', _subtotal, 'shipping', 0, 'shipping_method', NULL, 'total', _total,
                    'created_at', _now, 'payment_due_at', _now, 'short', _short,
                    'payment', jsonb_build_object('id', _p.payment_id, 'reference', _p.payment_reference,
                                                  'received', _p.amount, 'signature', _p.signature, 'wallet', _p.wallet)),
                'order', _p.order_id);

        -- Added to the sums of its own currency alone: token units and cents make no sum.
        IF _user IS NOT NULL THEN
            INSERT INTO {customer_statistics} AS c (tenant_id, user_id, currency, total_orders, total_spent, last_order_at)
            SELECT p_tenant, _user, t.currency, 1, CASE WHEN t.currency = _p.asset THEN _total ELSE 0 END, _now
              FROM {tenants} t
             WHERE t.tenant_id = p_tenant
                ON CONFLICT (tenant_id, user_id) DO UPDATE
               SET total_orders = c.total_orders + EXCLUDED.total_orders,
                   total_spent = c.total_spent + EXCLUDED.total_spent,
                   last_order_at = greatest(c.last_order_at, EXCLUDED.last_order_at),
                   updated_at = EXCLUDED.updated_at;
        END IF;
    ELSE
        UPDATE {orders} o
           SET amount_paid = o.amount_paid + _p.amount, updated_at = _now
         WHERE o.tenant_id = p_tenant AND o.id = _known.id;

        INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id)
        VALUES (p_tenant, _p.webhook_ids[1], 'webhooks', 'payment.completed', jsonb_build_object(
                    'id', _p.payment_id, 'reference', _p.payment_reference, 'order_id', _known.id, 'status', 'completed',
                    'currency', _p.asset, 'amount', coalesce(_total, _p.amount), 'received', _p.amount,
                    'order_number', _known.order_number, 'signature', _p.signature, 'wallet', _p.wallet),
                'payment', _p.payment_id);

        IF _known.status = 'pending_payment' AND _known.amount_paid + _p.amount >= _known.total_amount THEN
            UPDATE {orders} o
               SET status = 'payment_received', status_updated_at = _now, paid_at = coalesce(o.paid_at, _now)
             WHERE o.tenant_id = p_tenant AND o.id = _known.id;

            INSERT INTO {order_status_history} (tenant_id, id, order_id, sequence, from_status, to_status, reason, changed_by,
                                                changed_by_type, changed_by_name, request_id)
            SELECT p_tenant, _p.history_ids[1], _known.id, coalesce(max(h.sequence), 0) + 1, 'pending_payment',
                   'payment_received', 'paid', _p.actor_id, _p.actor_kind, _p.actor_name, _p.request_id
              FROM {order_status_history} h
             WHERE h.tenant_id = p_tenant AND h.order_id = _known.id;

            INSERT INTO {webhook_queue} (tenant_id, id, destination, event_type, payload, entity_type, entity_id)
            SELECT p_tenant, _p.webhook_ids[2], 'webhooks', 'order.payment_received', jsonb_build_object(
                       'id', o.id, 'number', o.order_number, 'status', o.status, 'previous_status', 'pending_payment',
                       'reason', 'paid', 'email', o.customer_email, 'currency', o.currency, 'total', o.total_amount,
                       'paid', o.amount_paid), 'order', o.id
              FROM {orders} o
             WHERE o.tenant_id = p_tenant AND o.id = _known.id;
        END IF;
    END IF;

    RETURN QUERY
    SELECT 'recorded', {settled_payment_v1}(p_tenant, _p.signature)
                       || jsonb_build_object('placed', _known.id IS NULL, 'short', coalesce(_short, '[]'));
END
$function$;

-- function: erase_person_v1
-- Takes out of every table what says who an account's owner is. The account stays, closed, under an address made of the hash
-- of its own, so that nobody signs up with that; orders, payments and what belongs to them stay as the law wants them,
-- without network addresses. Says the address and how many orders stay; no row where there is no such account, or it was
-- erased before. It runs as its owner, because the service may not rewrite history, and does nothing else than this.
-- `identity.erased_email` makes the same address.
--
-- Locks: orders, then their payments, by key; then the account, and what hangs on it.
CREATE FUNCTION {erase_person_v1}(p_tenant TEXT, p_user UUID)
RETURNS TABLE (address TEXT, orders INTEGER)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $function$
#variable_conflict use_column
DECLARE
    _now       CONSTANT TIMESTAMPTZ := now();
    _user      RECORD;
    _sessions  UUID[];
BEGIN
    PERFORM FROM {orders} o WHERE o.tenant_id = p_tenant AND o.user_id = p_user ORDER BY o.id FOR NO KEY UPDATE;
    GET DIAGNOSTICS orders = ROW_COUNT;
    PERFORM FROM {payments} p WHERE p.tenant_id = p_tenant AND p.user_id = p_user ORDER BY p.id FOR NO KEY UPDATE;
    SELECT u.email, u.phone, u.status, u.vendure_customer_id, u.erp_customer_id
      INTO _user
      FROM {users} u
     WHERE u.tenant_id = p_tenant AND u.id = p_user
       FOR NO KEY UPDATE;
    IF NOT FOUND OR (_user.status = 'deleted' AND _user.email LIKE '%@erased.invalid') THEN
        RETURN;
    END IF;
    address := left(encode(sha256(convert_to(p_tenant || chr(10) || _user.email, 'UTF8')), 'hex'), 40) || '@erased.invalid';

    -- What the law wants kept: without where it came from.
    UPDATE {orders} o
       SET ip_address = NULL, updated_at = now()
     WHERE o.tenant_id = p_tenant AND o.user_id = p_user AND o.ip_address IS NOT NULL;
    UPDATE {payments} p
       SET ip_address = NULL, updated_at = now()
     WHERE p.tenant_id = p_tenant AND p.user_id = p_user AND p.ip_address IS NOT NULL;
    UPDATE {payment_attempts} a
       SET ip_address = NULL, user_agent = NULL
     WHERE a.tenant_id = p_tenant
       AND a.performed_by_type = 'customer'
       AND a.payment_id = ANY (ARRAY(SELECT p.id FROM {payments} p WHERE p.tenant_id = p_tenant AND p.user_id = p_user));
    UPDATE {coupon_redemptions} r SET customer_email = address WHERE r.tenant_id = p_tenant AND r.user_id = p_user;
    UPDATE {consent_changes} c SET ip_address = NULL, user_agent = NULL WHERE c.tenant_id = p_tenant AND c.user_id = p_user;

    -- The account, and ways into it.
    UPDATE {users} u
       SET email = address, email_verified = FALSE, email_verified_at = NULL, full_name = NULL, phone = NULL,
           phone_verified = FALSE, password_hash = NULL, auth_provider = 'email', permissions = '[]', age_verified = FALSE,
           age_verified_at = NULL, metadata = '{}', status = 'deleted', deleted_at = coalesce(u.deleted_at, _now),
           rights_changed_at = _now, updated_at = _now
     WHERE u.tenant_id = p_tenant AND u.id = p_user;
    UPDATE {user_profiles} p
       SET first_name = NULL, last_name = NULL, display_name = NULL, date_of_birth = NULL, utm_source = NULL,
           utm_medium = NULL, utm_campaign = NULL, utm_term = NULL, utm_content = NULL, referrer_url = NULL,
           landing_page = NULL, updated_at = now()
     WHERE p.tenant_id = p_tenant AND p.user_id = p_user;
    DELETE FROM {account_identities} i WHERE i.tenant_id = p_tenant AND i.user_id = p_user;
    DELETE FROM {account_tokens} t WHERE t.tenant_id = p_tenant AND t.user_id = p_user;
    DELETE FROM {recovery_codes} r WHERE r.tenant_id = p_tenant AND r.user_id = p_user;
    DELETE FROM {second_factors} f WHERE f.tenant_id = p_tenant AND f.user_id = p_user;
    UPDATE {api_keys} k SET created_by_name = NULL WHERE k.tenant_id = p_tenant AND k.created_by = p_user;

    -- Where they lived, and what lay in their carts.
    UPDATE {carts} c
       SET shipping_address_id = NULL, anonymous_id = c.id::text, updated_at = now()
     WHERE c.tenant_id = p_tenant AND c.user_id = p_user;
    DELETE FROM {user_addresses} a WHERE a.tenant_id = p_tenant AND a.user_id = p_user;

    -- Where they came from, what they looked at, and who was told of it.
    _sessions := ARRAY(SELECT s.id FROM {auth_sessions} s WHERE s.tenant_id = p_tenant AND s.user_id = p_user);
    UPDATE {auth_sessions} s
       SET anonymous_id = s.id::text, ip_address = NULL, user_agent = NULL, device_fingerprint = NULL
     WHERE s.tenant_id = p_tenant AND s.user_id = p_user;
    DELETE FROM {conversion_visitors} v WHERE v.tenant_id = p_tenant AND v.session_id = ANY (_sessions);
    DELETE FROM {analytics_events} e WHERE e.tenant_id = p_tenant AND e.session_id = ANY (_sessions);
    DELETE FROM {events} e WHERE e.tenant_id = p_tenant AND e.user_id = p_user;

    -- What was tried with their address and number, signed in or not.
    DELETE FROM {otp_sessions} o WHERE o.tenant_id = p_tenant AND o.phone = _user.phone;
    DELETE FROM {otp_requests} o WHERE o.tenant_id = p_tenant AND o.phone = _user.phone;
    UPDATE {guest_user_audits} g
       SET email = NULL, phone = NULL, message = NULL, metadata = '{}', ip_address = NULL, user_agent = NULL
     WHERE g.tenant_id = p_tenant AND g.email = _user.email;
    UPDATE {guest_user_audits} g
       SET email = NULL, phone = NULL, message = NULL, metadata = '{}', ip_address = NULL, user_agent = NULL
     WHERE g.tenant_id = p_tenant AND g.phone = _user.phone;

    -- What other systems were told and have told. SAP is not asked for a customer who is nobody any more.
    DELETE FROM {customer_syncs} s WHERE s.tenant_id = p_tenant AND s.customer_id = p_user AND NOT s.sap_sync;
    UPDATE {customer_syncs} s
       SET customer_email = address, last_error = NULL, updated_at = now()
     WHERE s.tenant_id = p_tenant AND s.customer_id = p_user;
    UPDATE {source_records} r
       SET fields = '{}', waits_for = NULL, updated_at = now()
     WHERE r.tenant_id = p_tenant AND r.kind = 'customer'
       AND (r.source, r.external_id) IN (('vendure', _user.vendure_customer_id), ('epicor_propello', _user.erp_customer_id));
    UPDATE {source_records} r
       SET fields = '{}', waits_for = NULL, updated_at = now()
     WHERE r.tenant_id = p_tenant AND r.source = 'vendure' AND r.parent_id = _user.vendure_customer_id AND r.kind = 'address';
    UPDATE {webhook_queue} q
       SET payload = q.payload || jsonb_build_object('email', address, 'full_name', NULL, 'status', 'deleted')
     WHERE q.tenant_id = p_tenant AND q.entity_type = 'user' AND q.entity_id = p_user AND q.payload ? 'email';
    DELETE FROM {webhook_queue} q
     WHERE q.tenant_id = p_tenant AND q.entity_type = 'user' AND q.entity_id = p_user AND q.destination IN ('mail', 'sms')
       AND q.status <> 'processing';
    RETURN NEXT;
END
$function$;
