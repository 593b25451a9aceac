-- transaction: none
-- Money that came for a payment that had ended was known by our own words in `verification_notes`.
--
-- Lock: ACCESS EXCLUSIVE on payments for an instant, to add a column that rewrites nothing and constraints that are
-- validated under SHARE UPDATE EXCLUSIVE; payments are read once, and the rows of late money are written. Before the new
-- code: workers of before write the words alone, and staff decide about such a row as about any that may be the same money.
-- Each constraint that is dropped is added again in the next line, so that a second run after a broken one goes through.
-- squawk-ignore-file ban-drop-constraint

-- The payment that had ended, where this is its money.
ALTER TABLE {payments} ADD COLUMN IF NOT EXISTS meant_for_id UUID;
UPDATE {payments} l
   SET meant_for_id = e.id
  FROM {payments} e
 WHERE l.meant_for_id IS NULL
   AND l.verified_by IS NULL
   AND l.expires_at IS NULL
   AND l.verification_notes LIKE 'meant for %, which was %'
   AND e.tenant_id = l.tenant_id
   AND e.order_id = l.order_id
   AND e.id <> l.id
   AND e.payment_reference = split_part(substr(l.verification_notes, length('meant for ') + 1), ',', 1);
ALTER TABLE {payments} DROP CONSTRAINT IF EXISTS payments_meant_for_fkey;
ALTER TABLE {payments} ADD CONSTRAINT payments_meant_for_fkey FOREIGN KEY (tenant_id, meant_for_id)
    REFERENCES {payments} (tenant_id, id) NOT VALID;
ALTER TABLE {payments} VALIDATE CONSTRAINT payments_meant_for_fkey;
ALTER TABLE {payments} DROP CONSTRAINT IF EXISTS payments_meant_for_another;
ALTER TABLE {payments} ADD CONSTRAINT payments_meant_for_another CHECK (meant_for_id <> id) NOT VALID;
ALTER TABLE {payments} VALIDATE CONSTRAINT payments_meant_for_another;
CREATE INDEX CONCURRENTLY IF NOT EXISTS {idx_payments_meant_for} ON {payments} (tenant_id, meant_for_id)
    WHERE meant_for_id IS NOT NULL;
