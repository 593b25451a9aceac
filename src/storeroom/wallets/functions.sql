-- What records many payments at once, and what moves old ones out of the ledger. Called by name, never fired; frozen once
-- released (a change is a _v2).

-- function: record_payments_v1
-- Records a batch, all of it or nothing. No row back: all were recorded. Otherwise each row names a signature that stood
-- in the way and why: `account` (the money arrived elsewhere) or `replay` (it was honoured before, archived or not).
--
-- Signatures are claimed in their order, so that two batches do not wait for each other in a circle. The inner block is
-- a savepoint: what it claimed is given back when one of them is known, and the caller's transaction goes on.
CREATE FUNCTION {record_payments_v1}(p_tenant TEXT, p_payments JSONB)
RETURNS TABLE (signature TEXT, reason TEXT)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
#variable_conflict use_column
DECLARE
    _claimed INTEGER;
BEGIN
    RETURN QUERY
    SELECT p.signature, 'account'
      FROM jsonb_to_recordset(p_payments) AS p (signature TEXT, amount_asset TEXT, account TEXT)
     WHERE p.account IS NOT NULL
       AND NOT EXISTS (SELECT
                         FROM {receiving_accounts} a
                        WHERE a.tenant_id = p_tenant
                          AND a.asset = p.amount_asset
                          AND a.address = p.account
                          AND a.is_active);
    IF FOUND THEN
        RETURN;
    END IF;

    BEGIN
        INSERT INTO {payment_signatures} (tenant_id, signature)
        SELECT p_tenant, p.signature
          FROM jsonb_to_recordset(p_payments) AS p (signature TEXT)
         ORDER BY p.signature
            ON CONFLICT (tenant_id, signature) DO NOTHING;
        GET DIAGNOSTICS _claimed = ROW_COUNT;
        IF _claimed < jsonb_array_length(p_payments) THEN
            RAISE EXCEPTION USING ERRCODE = 'SR001', MESSAGE = 'one of them was honoured before';
        END IF;

        INSERT INTO {payment_transactions} (tenant_id, signature, resource_id, wallet, amount, amount_asset, account, metadata)
        SELECT p_tenant, p.signature, p.resource_id, p.wallet, p.amount, p.amount_asset, p.account, p.metadata
          FROM jsonb_to_recordset(p_payments) AS p (signature TEXT, resource_id TEXT, wallet TEXT, amount BIGINT,
                                                    amount_asset TEXT, account TEXT, metadata JSONB);
        RETURN;
    EXCEPTION
        WHEN SQLSTATE 'SR001' THEN NULL;
    END;

    RETURN QUERY
    SELECT s.signature, 'replay'
      FROM {payment_signatures} s
     WHERE s.tenant_id = p_tenant
       AND s.signature = ANY (ARRAY(SELECT p.signature FROM jsonb_to_recordset(p_payments) AS p (signature TEXT)))
     ORDER BY s.signature;
END
$function$;

-- function: archive_transactions_v1
-- Moves at most p_size payments that were recorded before an instant from the ledger to the archive, the oldest first, and
-- says how many. Their signatures stay where they are and stay refused; see 0019. It runs as its owner, because the service
-- may remove no payment, and does nothing else than this. Rows that another run holds are left to it, and whoever records
-- a payment waits for nothing here.
CREATE FUNCTION {archive_transactions_v1}(p_tenant TEXT, p_before TIMESTAMPTZ, p_size INTEGER)
RETURNS INTEGER
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $function$
DECLARE
    _moved INTEGER;
BEGIN
    WITH old AS MATERIALIZED (
        SELECT t.signature
          FROM {payment_transactions} t
         WHERE t.tenant_id = p_tenant
           AND t.created_at < p_before
         ORDER BY t.created_at, t.signature
         LIMIT p_size
           FOR UPDATE SKIP LOCKED),
    moved AS (
        DELETE FROM {payment_transactions} t
         USING old o
         WHERE t.tenant_id = p_tenant
           AND t.signature = o.signature
        RETURNING t.signature, t.resource_id, t.wallet, t.amount, t.amount_asset, t.account, t.payment_id, t.metadata,
                  t.created_at)
    INSERT INTO {payment_transactions_archive} (tenant_id, signature, resource_id, wallet, amount, amount_asset, account,
                                                payment_id, metadata, created_at)
    SELECT p_tenant, m.signature, m.resource_id, m.wallet, m.amount, m.amount_asset, m.account, m.payment_id, m.metadata,
           m.created_at
      FROM moved m;
    GET DIAGNOSTICS _moved = ROW_COUNT;
    RETURN _moved;
END
$function$;
