-- What happened in the shop as its visitors saw it, one row each, cut by the month.
-- Lock: none on existing data (new tables). Run before the new code.

-- What an event is about is named and not referenced: the row stays when its cart is gone, and intake asks no other table.
-- The category is text beside a list and no enum: the name has to begin with it, and a CHECK compares only what never
-- changes its spelling.
CREATE TABLE {events} (
    tenant_id          TEXT NOT NULL,
    id                 UUID NOT NULL,
    event_name         TEXT NOT NULL,                  -- {category}.{action}[.{detail}]
    event_category     TEXT NOT NULL,
    user_id            UUID,
    anonymous_id       TEXT,                           -- the visitor, before and after signing in
    session_id         TEXT NOT NULL,                  -- of the visit
    page_url           TEXT,
    page_title         TEXT,
    referrer_url       TEXT,
    utm_source         TEXT,
    utm_medium         TEXT,
    utm_campaign       TEXT,
    utm_term           TEXT,
    utm_content        TEXT,
    product_id         UUID,
    cart_id            UUID,
    order_id           UUID,
    payment_id         UUID,
    properties         JSONB NOT NULL DEFAULT '{}',
    ip_address         INET,
    user_agent         TEXT,
    device_type        TEXT,
    browser            TEXT,
    os                 TEXT,
    screen_resolution  TEXT,
    country_code       TEXT,
    region             TEXT,
    city               TEXT,
    client_timestamp   TIMESTAMPTZ,                    -- when it happened, by the client's clock
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {events_pkey} PRIMARY KEY (tenant_id, id, created_at),
    CONSTRAINT events_name_shape CHECK (length(event_name) <= 100
                                        AND event_name ~ '^[a-z][a-z0-9_]*(\.[a-z0-9][a-z0-9_]*){1,2}$'
                                        AND split_part(event_name, '.', 1) = event_category),
    CONSTRAINT events_category_known CHECK (event_category IN ('page', 'user', 'cart', 'checkout', 'order', 'system',
                                                               'product', 'payment')),
    CONSTRAINT events_actor_known CHECK (user_id IS NOT NULL OR anonymous_id IS NOT NULL),
    CONSTRAINT events_device_known CHECK (device_type IN ('desktop', 'mobile', 'tablet')),
    CONSTRAINT events_properties_object CHECK (jsonb_typeof(properties) = 'object'),
    CONSTRAINT events_lengths CHECK (length(session_id) BETWEEN 1 AND 100
                                     AND length(anonymous_id) BETWEEN 1 AND 100
                                     AND length(page_title) <= 255
                                     AND length(browser) <= 50
                                     AND length(os) <= 50
                                     AND length(screen_resolution) <= 20
                                     AND length(country_code) = 2
                                     AND length(region) <= 100
                                     AND length(city) <= 100)
) PARTITION BY RANGE (created_at);

CREATE INDEX {idx_events_name} ON {events} (tenant_id, event_name, created_at DESC, id DESC);
CREATE INDEX {idx_events_category} ON {events} (tenant_id, event_category, created_at DESC, id DESC);
CREATE INDEX {idx_events_session} ON {events} (tenant_id, session_id, created_at DESC, id DESC);
CREATE INDEX {idx_events_created} ON {events} (tenant_id, created_at DESC, id DESC);
CREATE INDEX {idx_events_user} ON {events} (tenant_id, user_id, created_at DESC, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX {idx_events_anonymous} ON {events} (tenant_id, anonymous_id, created_at DESC, id DESC)
    WHERE anonymous_id IS NOT NULL;
CREATE INDEX {idx_events_order} ON {events} (tenant_id, order_id, created_at DESC, id DESC) WHERE order_id IS NOT NULL;
CREATE INDEX {idx_events_user_name} ON {events} (tenant_id, user_id, event_name, created_at DESC, id DESC);
CREATE INDEX {idx_events_attribution} ON {events} (tenant_id, utm_source, utm_campaign, created_at DESC, id DESC);

-- The default partition takes what comes before its month was made; see 0010.
SELECT {make_month_partition_v1}(pg_typeof(NULL::{events})::TEXT, NULL);
SELECT {make_month_partition_v1}(pg_typeof(NULL::{events})::TEXT, (date_trunc('month', now()) + make_interval(months => n))::DATE)
  FROM generate_series(0, 3) AS n;
