-- What the documents name as a function. Called by name, never fired; frozen once released (a change is a _v2).

-- function: cleanup_expired_otps_v1
-- Removes codes of one tenant whose time is over, the oldest first, at most p_rows; returns how many it were.
-- Two runs at once take different rows.
CREATE FUNCTION {cleanup_expired_otps_v1}(p_tenant TEXT, p_rows INTEGER)
RETURNS INTEGER
LANGUAGE plpgsql
AS $function$
DECLARE
    _removed INTEGER;
BEGIN
    DELETE FROM {otp_sessions} o
     WHERE o.tenant_id = p_tenant
       AND o.id = ANY (ARRAY(SELECT e.id
                               FROM {otp_sessions} e
                              WHERE e.tenant_id = p_tenant
                                AND e.expires_at <= now()
                              ORDER BY e.expires_at
                              LIMIT p_rows
                                FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS _removed = ROW_COUNT;
    RETURN _removed;
END
$function$;
