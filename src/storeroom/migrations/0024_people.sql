-- How often a key may call. Lock: ACCESS EXCLUSIVE on api_keys for the moment of the change; no row is rewritten, and the
-- check reads a shop's few keys. Run before the new code.

ALTER TABLE {api_keys}
    ADD COLUMN calls_per_minute INTEGER,            -- NULL: as many as the installation gives a key
    -- squawk-ignore constraint-missing-not-valid
    ADD CONSTRAINT api_keys_calls_range CHECK (calls_per_minute BETWEEN 1 AND 1000000);
