-- What must touch many tables at once. Called by name, never fired; frozen once released (a change is a _v2).

-- function: place_orders_v1
-- Places a group of orders of one tenant, each all or nothing, and says of each what became of it.
--
-- p_orders: a list of checkout_order; p_settings: {currency, order_window, open_orders_max, compliance_required}.
-- verdict 'placed' and 'replayed' carry the answer that the caller gets; every other verdict wrote nothing for its order
-- and carries the facts of the refusal. 'retry' is no refusal: another order of the group stood in the way.
--
-- Locks, in this order, rows by key: idempotency keys, visitors, carts, stock, statistics. A running sum decides who gets the last
-- units inside a group; it counts those that are refused for another line too, so the caller places alone what a group
-- found short before it tells anyone that a thing is sold out.
CREATE FUNCTION {place_orders_v1}(p_tenant TEXT, p_orders JSONB, p_settings JSONB)
RETURNS TABLE (ordinal INTEGER, verdict TEXT, answer JSONB)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan  -- an array of one would else be planned anew in every statement of every call
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
#variable_conflict use_column
DECLARE
    _now       CONSTANT TIMESTAMPTZ := now();
    _currency  CONSTANT TEXT := p_settings->>'currency';
    _orders    {checkout_order}[];
    _lines     {checkout_line}[];
    _sums      {checkout_sum}[];
    _demands   {checkout_demand}[];
    _verdicts  JSONB := '{}';      -- ordinal -> {verdict, answer}, once decided
    _claimed   UUID[] := '{}';     -- orders whose idempotency key this call owns
    _visitors  JSONB;
    _carts     JSONB;
    _ids       UUID[];
    _free      JSONB;
    _short     UUID[];
    _freed     INTEGER;
BEGIN
    SELECT array_agg(o ORDER BY o.ordinal)
      INTO _orders
      FROM jsonb_populate_recordset(NULL::{checkout_order}, p_orders) o;

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
    SELECT coalesce(jsonb_object_agg(u.id, jsonb_build_object('status', u.status, 'age', u.age_verified, 'kyc', u.kyc_status)), '{}')
      INTO _visitors
      FROM (SELECT id, status, age_verified, kyc_status
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
          FROM (SELECT id, status, user_id, session_id, converted_to_order_id, expires_at, currency, utm_source, utm_medium,
                       utm_campaign, shipping_method
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
                                  s.restricted, s.subtotal, r.code, coalesce(r.amount, 0),
                                  s.subtotal + coalesce(r.amount, 0))::{checkout_sum}), '{}')
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
                WHEN o.payment_method IS NOT NULL AND s.total_amount > 0 AND NOT EXISTS (
                         SELECT FROM {payment_methods} m
                          WHERE m.tenant_id = p_tenant AND m.code = o.payment_method AND m.is_active AND m.currency = _currency
                            AND s.total_amount >= m.min_amount
                            AND (m.max_amount IS NULL OR s.total_amount <= m.max_amount))
                THEN jsonb_build_object('verdict', 'payment_method', 'answer', coalesce((
                         SELECT jsonb_build_object('method', m.code, 'active', m.is_active, 'minimum', m.min_amount,
                                                   'maximum', m.max_amount, 'total', s.total_amount, 'currency', m.currency)
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

        INSERT INTO {orders} (tenant_id, id, order_number, source, purchase_id, resource_id, user_id, session_id, customer_email,
                              customer_name, customer_phone, status, shipping_address, billing_address, currency,
                              subtotal_amount, shipping_amount, total_amount, shipping_method, age_verified, age_attested,
                              compliance_required, compliance_acknowledged, compliance_version, compliance_acknowledged_at,
                              ip_address, source_cart_id, domain, traffic_source, utm_source, utm_medium, utm_campaign,
                              customer_notes, metadata, payment_due_at, paid_at)
        SELECT p_tenant, o.id, o.order_number, coalesce(o.source, 'storefront'), o.purchase_id, o.resource_id, o.user_id,
               o.session_id, o.customer_email, o.customer_name, o.customer_phone,
               CASE WHEN s.total_amount = 0 THEN 'payment_received' ELSE 'pending_payment' END::{order_status},
               CASE WHEN s.ships THEN o.shipping_address END, coalesce(o.billing_address, o.shipping_address), _currency,
               s.subtotal_amount, s.shipping_amount, s.total_amount, s.shipping_method,
               coalesce((_visitors->(o.user_id::text)->>'age')::boolean, o.age_attested, FALSE),
               o.user_id IS NULL AND coalesce(o.age_attested, FALSE),
               s.needs_age OR s.needs_kyc OR (p_settings->>'compliance_required')::boolean,
               coalesce(o.compliance_acknowledged, FALSE), o.compliance_version, o.compliance_acknowledged_at, o.ip_address,
               o.cart_id, o.domain, coalesce(o.traffic_source, 'direct'),
               coalesce(_carts->(o.cart_id::text)->>'utm_source', o.utm_source),
               coalesce(_carts->(o.cart_id::text)->>'utm_medium', o.utm_medium),
               coalesce(_carts->(o.cart_id::text)->>'utm_campaign', o.utm_campaign),
               o.customer_notes, coalesce(o.metadata, '{}'), _now + (p_settings->>'order_window')::interval,
               CASE WHEN s.total_amount = 0 THEN _now END
          FROM unnest(_orders) o
          JOIN unnest(_sums) s ON s.ordinal = o.ordinal
         WHERE NOT _verdicts ? o.ordinal::text;

        INSERT INTO {order_items} (tenant_id, id, order_id, position, product_id, variant_id, product_sku, product_name,
                                   variant_title, is_digital, quantity, unit_price, currency, quantity_held, patch_enabled,
                                   patch_type, print_name, print_number)
        SELECT p_tenant, l.id, o.id, l.position, l.product_id, l.variant_id, l.sku, l.product_name, l.variant_title, l.is_digital,
               l.quantity, l.unit_price, l.currency, CASE WHEN l.stock_policy = 'untracked' THEN 0 ELSE l.quantity END,
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
        SELECT p_tenant, gen_random_uuid(), o.id, 2, 'pending_payment', 'payment_received', 'nothing to pay', NULL, 'system',
               NULL, o.request_id
          FROM unnest(_orders) o
          JOIN unnest(_sums) s ON s.ordinal = o.ordinal
         WHERE NOT _verdicts ? o.ordinal::text AND s.total_amount = 0;

        INSERT INTO {order_search} (tenant_id, order_id)
        SELECT p_tenant, o.id
          FROM unnest(_orders) o
         WHERE NOT _verdicts ? o.ordinal::text;

        INSERT INTO {payments} (tenant_id, id, payment_reference, order_id, user_id, payment_method_id, amount, currency,
                                ip_address, expires_at)
        SELECT p_tenant, o.payment_id, o.payment_reference, o.id, o.user_id, m.id, s.total_amount, _currency, o.ip_address,
               CASE WHEN m.method_type <> 'cod' THEN _now + make_interval(hours => m.confirmation_window_hours) END
          FROM unnest(_orders) o
          JOIN unnest(_sums) s ON s.ordinal = o.ordinal
          JOIN {payment_methods} m ON m.tenant_id = p_tenant AND m.code = o.payment_method
         WHERE NOT _verdicts ? o.ordinal::text AND s.total_amount > 0;

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
                   'status', CASE WHEN s.total_amount = 0 THEN 'payment_received' ELSE 'pending_payment' END,
                   'email', o.customer_email, 'currency', _currency, 'subtotal', s.subtotal_amount, 'shipping', s.shipping_amount,
                   'shipping_method', s.shipping_method, 'total', s.total_amount, 'created_at', _now,
                   'payment_due_at', _now + (p_settings->>'order_window')::interval,
                   'payment', CASE WHEN m.id IS NOT NULL AND s.total_amount > 0 THEN jsonb_build_object(
                       'id', o.payment_id, 'reference', o.payment_reference, 'method', m.code, 'name', m.name,
                       'amount', s.total_amount, 'instructions', m.instructions, 'details', m.payment_details,
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

-- function: release_order_units_v1
-- Gives back what an order still holds: lowers `reserved` by its held units and counts every unshipped unit of its lines
-- as cancelled. The caller holds the order's row. Says how many units became free; a second call frees none.
--
-- Locks: stock rows by key.
CREATE FUNCTION {release_order_units_v1}(p_tenant TEXT, p_order UUID)
RETURNS INTEGER
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan  -- an array of one would else be planned anew in every statement of every call
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
DECLARE
    _freed INTEGER;
BEGIN
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
-- Sums up what a customer has bought: the orders that were not cancelled, what they came to less what went back, and the
-- last of them. Said twice, or after any mistake, it comes out right. FALSE: the tenant has no such account.
--
-- Locks: the statistics row, which nobody holds while waiting for anything else. Whoever has it has changed an order and
-- not yet committed; the sum comes after the wait, in a statement of its own, and so sees that order.
CREATE OR REPLACE FUNCTION {update_customer_statistics}(p_tenant TEXT, p_customer UUID)
RETURNS BOOLEAN
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
BEGIN
    INSERT INTO {customer_statistics} (tenant_id, user_id, currency)
    SELECT p_tenant, u.id, t.currency
      FROM {users} u
      JOIN {tenants} t ON t.tenant_id = p_tenant
     WHERE u.tenant_id = p_tenant AND u.id = p_customer
        ON CONFLICT (tenant_id, user_id) DO NOTHING;

    PERFORM FROM {customer_statistics} WHERE tenant_id = p_tenant AND user_id = p_customer FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;

    UPDATE {customer_statistics} c
       SET total_orders = s.orders, total_spent = s.spent, last_order_at = s.last_at, updated_at = now()
      FROM (SELECT count(*)::int AS orders, coalesce(sum(o.worth), 0)::bigint AS spent, max(o.created_at) AS last_at
              FROM (SELECT d.created_at,
                           CASE WHEN d.status = 'refunded' THEN 0
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
