-- Links to files of digital products. Lines of orders are read here and marked by `orders`.

-- name: goods(tenant_id, product_id) -> Goods?
SELECT id, is_digital, file_path
  FROM {products}
 WHERE tenant_id = :tenant_id
   AND id = :product_id
   AND deleted_at IS NULL;

-- name: tenants_with_due(rows) -> str*
-- scope: all tenants
-- One step of the index for each shop with digital lines whose links may yet be sent; whether one is due now, its first says.
WITH RECURSIVE step AS (
    (SELECT tenant_id, download_due_at
       FROM {order_items}
      WHERE is_digital
        AND NOT download_link_sent
        AND download_due_at < 'infinity'
      ORDER BY tenant_id, download_due_at
      LIMIT 1)
     UNION ALL
    SELECT n.tenant_id, n.download_due_at
      FROM step s
     CROSS JOIN LATERAL (
           SELECT i.tenant_id, i.download_due_at
             FROM {order_items} i
            WHERE i.is_digital
              AND NOT i.download_link_sent
              AND i.download_due_at < 'infinity'
              AND i.tenant_id > s.tenant_id
            ORDER BY i.tenant_id, i.download_due_at
            LIMIT 1) n)
SELECT s.tenant_id
  FROM step s
  JOIN {tenants} t ON t.tenant_id = s.tenant_id AND t.status = 'active'
 WHERE s.download_due_at <= now()
 ORDER BY s.download_due_at, s.tenant_id
 LIMIT :rows;

-- name: claim_due(tenant_id, rows) -> DueLine*
-- Held until they are marked or put off in the same transaction, so that of two workers one sends. A line that is held is
-- passed over.
SELECT id, created_at AS ordered_at, now() AS now
  FROM {order_items}
 WHERE tenant_id = :tenant_id
   AND is_digital
   AND NOT download_link_sent
   AND download_due_at < 'infinity'
   AND download_due_at <= now()
 ORDER BY download_due_at, id
 LIMIT :rows
   FOR UPDATE SKIP LOCKED;

-- name: lines_to_send(tenant_id, line_ids, within) -> LineToSend*
-- Which of those that are held can be sent. A statement of its own, that begins when they are: whoever has an order paid or
-- gives a product its file writes the lines last, so that has either been seen here, or waits and makes them due again.
SELECT i.id, i.order_id, i.product_name, o.order_number, o.customer_email AS email, o.customer_name AS name,
       lower(o.domain) AS domain,
       EXISTS (SELECT FROM {tenant_hosts} h WHERE h.host = lower(o.domain) AND h.tenant = :tenant_id)
       OR EXISTS (SELECT FROM {domains} d
                   WHERE d.tenant_id = :tenant_id AND lower(d.domain_name) = lower(o.domain) AND d.is_active) AS domain_known,
       nullif(g.locale, 'en-US') AS locale     -- what a profile says that nobody has asked
  FROM {order_items} i
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = i.order_id
  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = i.product_id
  LEFT JOIN {user_profiles} g ON g.tenant_id = :tenant_id AND g.user_id = o.user_id
 WHERE i.tenant_id = :tenant_id
   AND i.id = ANY (:line_ids)
   AND i.is_digital
   AND i.created_at > now() - :within::interval
   AND i.quantity > greatest(i.quantity_refunded, i.quantity_cancelled)
   AND o.status NOT IN ('pending_payment', 'cancelled', 'refunded')
   AND o.vendure_order_id IS NULL          -- the shop that it was placed in has sent its goods
   AND starts_with(p.file_path, :tenant_id || '/goods/')
   AND p.file_path !~ '/[./]|/$|[^A-Za-z0-9._/-]' AND length(p.file_path) <= 255    -- as is_good
 ORDER BY i.created_at, i.id;

-- name: lines_of_order(tenant_id, order_id, rows) -> LineToSend*
-- To be sent by hand, sent before or not. Whoever sends them just now is waited for.
SELECT i.id, i.order_id, i.product_name, o.order_number, o.customer_email AS email, o.customer_name AS name,
       lower(o.domain) AS domain,
       EXISTS (SELECT FROM {tenant_hosts} h WHERE h.host = lower(o.domain) AND h.tenant = :tenant_id)
       OR EXISTS (SELECT FROM {domains} d
                   WHERE d.tenant_id = :tenant_id AND lower(d.domain_name) = lower(o.domain) AND d.is_active) AS domain_known,
       nullif(g.locale, 'en-US') AS locale     -- what a profile says that nobody has asked
  FROM {order_items} i
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = i.order_id
  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = i.product_id
  LEFT JOIN {user_profiles} g ON g.tenant_id = :tenant_id AND g.user_id = o.user_id
 WHERE i.tenant_id = :tenant_id
   AND i.order_id = :order_id
   AND i.is_digital
   AND i.quantity > greatest(i.quantity_refunded, i.quantity_cancelled)
   AND o.status NOT IN ('pending_payment', 'cancelled', 'refunded')
   AND starts_with(p.file_path, :tenant_id || '/goods/')
   AND p.file_path !~ '/[./]|/$|[^A-Za-z0-9._/-]' AND length(p.file_path) <= 255    -- as is_good
 ORDER BY i.id
 LIMIT :rows
   FOR UPDATE OF i;

-- name: put_links(tenant_id, line_ids, order_id, notice_id, downloads_max, lifetime) -> Sent*
-- A link that is sent again is another one: what was sent before ends with it.
INSERT INTO {downloads} AS d (tenant_id, order_item_id, order_id, downloads_max, expires_at, mail, notice_id)
SELECT :tenant_id, n.id, :order_id::uuid, :downloads_max::int, now() + :lifetime::interval, 'queued', :notice_id::uuid
  FROM unnest(:line_ids::uuid[]) AS n (id)
    ON CONFLICT (tenant_id, order_item_id) DO UPDATE
   SET generation = d.generation + 1, downloads = 0, downloads_max = EXCLUDED.downloads_max,
       expires_at = EXCLUDED.expires_at, mail = EXCLUDED.mail, notice_id = EXCLUDED.notice_id, updated_at = EXCLUDED.updated_at
RETURNING order_item_id, generation, expires_at;

-- name: downloads_of_order(tenant_id, order_id, rows) -> Download*
SELECT i.id AS order_item_id, i.product_name, i.download_link_sent AS sent, d.mail, coalesce(d.downloads, 0) AS downloads,
       d.downloads_max, d.expires_at, d.last_downloaded_at
  FROM {order_items} i
  LEFT JOIN {downloads} d ON d.tenant_id = :tenant_id AND d.order_item_id = i.id
 WHERE i.tenant_id = :tenant_id
   AND i.order_id = :order_id
   AND i.is_digital
 ORDER BY i.position, i.id
 LIMIT :rows;

-- name: order_is_there(tenant_id, order_id) -> bool
SELECT EXISTS (SELECT FROM {orders} WHERE tenant_id = :tenant_id AND id = :order_id);

-- name: link(tenant_id, order_item_id, generation) -> Link?
-- What ends it is read from where it stands: an order that is refunded or cancelled closes its links by itself.
SELECT d.order_item_id, d.generation, p.file_path, p.slug, d.expires_at <= now() AS expired,
       d.downloads >= d.downloads_max AS used_up,
       o.status IN ('pending_payment', 'cancelled', 'refunded')
       OR i.quantity <= greatest(i.quantity_refunded, i.quantity_cancelled) AS closed
  FROM {downloads} d
  JOIN {order_items} i ON i.tenant_id = :tenant_id AND i.id = d.order_item_id
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = d.order_id
  JOIN {products} p ON p.tenant_id = :tenant_id AND p.id = i.product_id
 WHERE d.tenant_id = :tenant_id
   AND d.order_item_id = :order_item_id
   AND d.generation = :generation;

-- name: count_download(tenant_id, order_item_id, generation) -> count
-- The WHERE clause is the check: of two who come for the last one, the second finds nothing.
UPDATE {downloads}
   SET downloads = downloads + 1, last_downloaded_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND order_item_id = :order_item_id
   AND generation = :generation
   AND downloads < downloads_max
   AND expires_at > now();

-- name: tenants_with_mail(since, rows) -> str*
-- scope: all tenants
-- Whose mail with links has not ended, or failed lately: staff may send a dead letter again.
SELECT d.tenant_id
  FROM {downloads} d
  JOIN {tenants} t ON t.tenant_id = d.tenant_id AND t.status = 'active'
 WHERE d.mail IN ('queued', 'failed')
   AND d.updated_at > now() - :since::interval
 GROUP BY d.tenant_id
 ORDER BY min(d.updated_at)
 LIMIT :rows;

-- name: ended_mails(tenant_id, since, rows) -> EndedMail*
-- What came of mail with links, where that is not noted yet. A server's answer has a status; what was written to the folder
-- of notices has none, and nothing is sent about an account that was closed. A row that somebody deleted is never sent.
-- The lines are held: whoever sends their links anew waits, or is waited for the next time.
SELECT d.order_item_id, d.notice_id,
       CASE WHEN q.status = 'success' AND q.response_status IS NOT NULL THEN 'mailed'
            WHEN q.status = 'success' AND u.deleted_at IS NULL THEN 'written'
            ELSE 'failed' END AS mail
  FROM {downloads} d
  JOIN {order_items} i ON i.tenant_id = :tenant_id AND i.id = d.order_item_id
  JOIN {orders} o ON o.tenant_id = :tenant_id AND o.id = d.order_id
  LEFT JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = o.user_id
  LEFT JOIN {webhook_queue} q ON q.tenant_id = :tenant_id AND q.id = d.notice_id
 WHERE d.tenant_id = :tenant_id
   AND d.updated_at > now() - :since::interval
   AND d.notice_id IS NOT NULL
   AND (d.mail = 'queued' AND (q.id IS NULL OR q.status IN ('success', 'failed'))
        OR d.mail = 'failed' AND q.status = 'success' AND (q.response_status IS NOT NULL OR u.deleted_at IS NULL))
 ORDER BY d.updated_at
 LIMIT :rows
   FOR UPDATE OF i, d SKIP LOCKED;

-- name: note_mails(tenant_id, line_ids, notice_ids, mails) -> UUID*
-- Of the link as it is now: one that was sent anew has another mail.
UPDATE {downloads} d
   SET mail = t.mail, updated_at = now()
  FROM unnest(:line_ids::uuid[], :notice_ids::uuid[], :mails::text[]) AS t (id, notice_id, mail)
 WHERE d.tenant_id = :tenant_id
   AND d.order_item_id = t.id
   AND d.notice_id = t.notice_id
RETURNING d.order_item_id;
