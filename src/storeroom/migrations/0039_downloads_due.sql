-- transaction: none
-- When a digital line is to be looked at again, and what became of the mail with its link. Until now each line that could
-- not be sent, of an unpaid order or of a product without a file, was looked at every minute for thirty days; and a line
-- counted as sent as soon as its mail was queued, whatever came of it.
--
-- Lock: ACCESS EXCLUSIVE on order_items and on downloads for an instant each, to add columns that rewrite nothing; SHARE
-- UPDATE EXCLUSIVE for the indexes, so orders are placed meanwhile. Before the new code: workers of before do not look at
-- the new columns and send as they did, and what they queue counts as mailed, as it did; they find what is to be sent more
-- slowly until they are replaced.

ALTER TABLE {order_items} ADD COLUMN IF NOT EXISTS download_due_at TIMESTAMPTZ NOT NULL DEFAULT '-infinity';
ALTER TABLE {downloads} ADD COLUMN IF NOT EXISTS mail TEXT NOT NULL DEFAULT 'mailed';
ALTER TABLE {downloads} ADD COLUMN IF NOT EXISTS notice_id UUID;    -- the row of that mail; NULL: of before
-- squawk-ignore ban-drop-constraint
ALTER TABLE {downloads} DROP CONSTRAINT IF EXISTS downloads_mail_known;    -- of a run that broke off
ALTER TABLE {downloads} ADD CONSTRAINT downloads_mail_known
    CHECK (mail IN ('queued', 'mailed', 'written', 'failed')) NOT VALID;
ALTER TABLE {downloads} VALIDATE CONSTRAINT downloads_mail_known;

CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_order_items_download_due} ON {order_items} (tenant_id, download_due_at)
    WHERE is_digital AND NOT download_link_sent AND download_due_at < 'infinity';
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_downloads_mail} ON {downloads} (tenant_id, updated_at)
    WHERE mail IN ('queued', 'failed');
DROP INDEX CONCURRENTLY IF EXISTS {idx_order_items_unsent};
