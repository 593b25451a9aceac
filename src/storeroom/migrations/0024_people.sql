-- How often a key may call, and what takes months of events out of their table. Lock: ACCESS EXCLUSIVE on api_keys for the
-- moment of the change; no row is rewritten, and the check reads the shops' few keys. Run before the new code.

ALTER TABLE {api_keys}
    ADD COLUMN calls_per_minute INTEGER,            -- NULL: as many as the installation gives a key
    -- squawk-ignore constraint-missing-not-valid
    ADD CONSTRAINT api_keys_calls_range CHECK (calls_per_minute BETWEEN 1 AND 1000000);

-- Takes the months of events that ended at p_before or earlier out of the table, and drops them where p_drop says so;
-- returns how many it were. What is only taken out stays as a table of its own, `events_y2026m01`, that the service does not
-- read. No other table can be named: what is history, such as the audit log, is never retired.
--
-- Lock: ACCESS EXCLUSIVE on events, for a moment, a month after the other. Whoever writes or reads events just then makes
-- this wait, and the others behind it; after two seconds it gives up, and the worker comes again.
CREATE FUNCTION {retire_event_months_v1}(p_before DATE, p_drop BOOLEAN, p_rows INTEGER)
RETURNS INTEGER
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
SET lock_timeout = '2s'
SET timezone = 'UTC'
AS $function$
DECLARE
    _table    CONSTANT REGCLASS := pg_typeof(NULL::{events})::TEXT::REGCLASS;
    _month    RECORD;
    _retired  INTEGER := 0;
BEGIN
    IF p_before > now() - INTERVAL '2 months' THEN
        RAISE EXCEPTION 'months that ended at % are too young to be retired', p_before
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(_table::OID::BIGINT);
    FOR _month IN SELECT c.oid::REGCLASS AS part
                    FROM pg_inherits i
                    JOIN pg_class c ON c.oid = i.inhrelid
                   WHERE i.inhparent = _table
                     AND substring(pg_get_expr(c.relpartbound, c.oid) FROM $x$ TO \('([^']+)'\)$x$)::TIMESTAMPTZ <= p_before
                   ORDER BY c.relname
                   LIMIT p_rows
    LOOP
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', _table, _month.part);
        IF p_drop THEN
            EXECUTE format('DROP TABLE %s', _month.part);
        END IF;
        _retired := _retired + 1;
    END LOOP;
    RETURN _retired;
END
$function$;
