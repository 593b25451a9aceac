-- name: insert_events_of_visitor(tenant_id, visitor_id, events, ip?, user_agent?, device_type?, browser?, os?, country_code?, region?,
-- city?) -> count
-- A whole batch in one round trip. COPY would be refused: it knows no row level security.
-- The lock on the session is what lets no event slip past a sign-in: whoever signs in waits for us, or we wait and then
-- read the row as the sign-in left it, with its account. Batches share the lock and do not wait for each other.
  WITH visitor AS (
    SELECT user_id, anonymous_id
      FROM {auth_sessions}
     WHERE tenant_id = :tenant_id
       AND id = :visitor_id
       FOR SHARE
)
INSERT INTO {events} (tenant_id, id, event_name, event_category, user_id, anonymous_id, session_id, page_url,
                      page_title, referrer_url, utm_source, utm_medium, utm_campaign, utm_term, utm_content, product_id,
                      cart_id, order_id, payment_id, properties, ip_address, user_agent, device_type, browser, os,
                      screen_resolution, country_code, region, city, client_timestamp)
SELECT :tenant_id, e.id, e.event_name, e.event_category, v.user_id, v.anonymous_id,
       e.session_id, e.page_url, e.page_title, e.referrer_url, e.utm_source, e.utm_medium, e.utm_campaign, e.utm_term,
       e.utm_content, e.product_id, e.cart_id, e.order_id, e.payment_id, coalesce(e.properties, '{}'::JSONB), :ip::INET,
       :user_agent, coalesce(e.device_type, :device_type), coalesce(e.browser, :browser), coalesce(e.os, :os),
       e.screen_resolution, :country_code, :region, :city, e.client_timestamp
  FROM visitor AS v
 CROSS JOIN jsonb_to_recordset(:events::JSONB) AS e (
           id UUID, event_name TEXT, event_category TEXT, session_id TEXT, page_url TEXT, page_title TEXT,
           referrer_url TEXT, utm_source TEXT, utm_medium TEXT, utm_campaign TEXT, utm_term TEXT, utm_content TEXT,
           product_id UUID, cart_id UUID, order_id UUID, payment_id UUID, properties JSONB, device_type TEXT,
           browser TEXT, os TEXT, screen_resolution TEXT, client_timestamp TIMESTAMPTZ);

-- name: insert_events(tenant_id, user_id?, anonymous_id?, visitor_id?, events, ip?, user_agent?, device_type?, browser?, os?, country_code?, region?,
-- city?) -> count
-- For programs, who say who it was, and for the shop's own services, which know the visitor's session. No lock: a service
-- that holds a cart must not wait for a session. The cart's lock does it: a sign-in links events after it has merged carts.
INSERT INTO {events} (tenant_id, id, event_name, event_category, user_id, anonymous_id, session_id, page_url,
                      page_title, referrer_url, utm_source, utm_medium, utm_campaign, utm_term, utm_content, product_id,
                      cart_id, order_id, payment_id, properties, ip_address, user_agent, device_type, browser, os,
                      screen_resolution, country_code, region, city, client_timestamp)
SELECT :tenant_id, e.id, e.event_name, e.event_category, coalesce(:user_id::UUID, s.user_id), coalesce(:anonymous_id, s.anonymous_id),
       e.session_id, e.page_url, e.page_title, e.referrer_url, e.utm_source, e.utm_medium, e.utm_campaign, e.utm_term,
       e.utm_content, e.product_id, e.cart_id, e.order_id, e.payment_id, coalesce(e.properties, '{}'::JSONB), :ip::INET,
       :user_agent, coalesce(e.device_type, :device_type), coalesce(e.browser, :browser), coalesce(e.os, :os),
       e.screen_resolution, :country_code, :region, :city, e.client_timestamp
  FROM jsonb_to_recordset(:events::JSONB) AS e (
           id UUID, event_name TEXT, event_category TEXT, session_id TEXT, page_url TEXT, page_title TEXT,
           referrer_url TEXT, utm_source TEXT, utm_medium TEXT, utm_campaign TEXT, utm_term TEXT, utm_content TEXT,
           product_id UUID, cart_id UUID, order_id UUID, payment_id UUID, properties JSONB, device_type TEXT,
           browser TEXT, os TEXT, screen_resolution TEXT, client_timestamp TIMESTAMPTZ)
  LEFT JOIN {auth_sessions} AS s ON s.tenant_id = :tenant_id AND s.id = :visitor_id::UUID;

-- name: known_user(tenant_id, user_id) -> bool
SELECT EXISTS (SELECT 1
                 FROM {users}
                WHERE tenant_id = :tenant_id
                  AND id = :user_id);

-- name: link_events(tenant_id, visitor_id, within) -> count
-- Events that have an account keep it, so doing this again changes nothing. The interval bounds the partitions looked at.
UPDATE {events} AS e
   SET user_id = s.user_id
  FROM {auth_sessions} AS s
 WHERE s.tenant_id = :tenant_id
   AND s.id = :visitor_id
   AND s.user_id IS NOT NULL
   AND e.tenant_id = :tenant_id
   AND e.anonymous_id = s.anonymous_id
   AND e.user_id IS NULL
   AND e.created_at > now() - :within::INTERVAL;

-- name: events_listed(tenant_id, name?, category?, visit?, user_id?, since, until, before_at?, before_id?, rows) -> Event*
-- Each combination is a statement of its own: one of the indexes by name, category, visit, account or time leads it. The
-- period keeps it to the partitions of its months.
SELECT id, event_name, event_category, user_id, anonymous_id, session_id, page_url, page_title, referrer_url, utm_source,
       utm_medium, utm_campaign, utm_term, utm_content, product_id, cart_id, order_id, payment_id, properties,
       host(ip_address) AS ip_address, user_agent, device_type, browser, os, screen_resolution, country_code, region, city,
       client_timestamp, created_at
  FROM {events}
 WHERE tenant_id = :tenant_id
   AND created_at >= :since
   AND created_at < :until
   AND event_name = :name                             -- if name
   AND event_category = :category                     -- if category
   AND session_id = :visit                            -- if visit
   AND user_id = :user_id                             -- if user_id
   AND (created_at, id) < (:before_at, :before_id)   -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :rows;

-- name: events_of_anonymous(tenant_id, anonymous_id, since, until, before_at?, before_id?, rows) -> Event*
SELECT id, event_name, event_category, user_id, anonymous_id, session_id, page_url, page_title, referrer_url, utm_source,
       utm_medium, utm_campaign, utm_term, utm_content, product_id, cart_id, order_id, payment_id, properties,
       host(ip_address) AS ip_address, user_agent, device_type, browser, os, screen_resolution, country_code, region, city,
       client_timestamp, created_at
  FROM {events}
 WHERE tenant_id = :tenant_id
   AND created_at >= :since
   AND created_at < :until
   AND anonymous_id = :anonymous_id
   AND (created_at, id) < (:before_at, :before_id)   -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :rows;

-- name: events_of_order(tenant_id, order_id, since, until, before_at?, before_id?, rows) -> Event*
SELECT id, event_name, event_category, user_id, anonymous_id, session_id, page_url, page_title, referrer_url, utm_source,
       utm_medium, utm_campaign, utm_term, utm_content, product_id, cart_id, order_id, payment_id, properties,
       host(ip_address) AS ip_address, user_agent, device_type, browser, os, screen_resolution, country_code, region, city,
       client_timestamp, created_at
  FROM {events}
 WHERE tenant_id = :tenant_id
   AND created_at >= :since
   AND created_at < :until
   AND order_id = :order_id
   AND (created_at, id) < (:before_at, :before_id)   -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :rows;

-- name: events_of_campaign(tenant_id, utm_source, utm_campaign, since, until, before_at?, before_id?, rows) -> Event*
SELECT id, event_name, event_category, user_id, anonymous_id, session_id, page_url, page_title, referrer_url, utm_source,
       utm_medium, utm_campaign, utm_term, utm_content, product_id, cart_id, order_id, payment_id, properties,
       host(ip_address) AS ip_address, user_agent, device_type, browser, os, screen_resolution, country_code, region, city,
       client_timestamp, created_at
  FROM {events}
 WHERE tenant_id = :tenant_id
   AND created_at >= :since
   AND created_at < :until
   AND utm_source = :utm_source
   AND utm_campaign = :utm_campaign
   AND (created_at, id) < (:before_at, :before_id)   -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :rows;

-- name: last_of_user(tenant_id, user_id, name, rows) -> Event*
-- However long ago: the index gives them in this order, month by month, without a sort.
SELECT id, event_name, event_category, user_id, anonymous_id, session_id, page_url, page_title, referrer_url, utm_source,
       utm_medium, utm_campaign, utm_term, utm_content, product_id, cart_id, order_id, payment_id, properties,
       host(ip_address) AS ip_address, user_agent, device_type, browser, os, screen_resolution, country_code, region, city,
       client_timestamp, created_at
  FROM {events}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND event_name = :name
 ORDER BY created_at DESC, id DESC
 LIMIT :rows;

-- name: retire_months(before, drop, rows) -> int
-- scope: all tenants
-- Made by migration 0024, as whoever owns the schema: the service may change no table.
SELECT {retire_event_months_v1}(:before, :drop, :rows);
