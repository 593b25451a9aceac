-- The schedule: one row for each periodic job of the worker, shared by all workers, so that each due time has its run and
-- no two are at a job at once.
-- Lock: none on existing data (a new table). Run before the new code; workers of before go by their own clocks and do not
-- look here, so for as long as both run a job may still run twice, as it did.

-- Of the installation and of no tenant; on a distributed database it stays on the coordinator. Two updates a second touch
-- it: nearly empty pages and no index beside the key, so that they stay on their pages and leave nothing behind.
CREATE TABLE {scheduled_jobs} (
    name              TEXT NOT NULL,              -- as the worker's schedule calls it
    every             INTERVAL NOT NULL,
    due_at            TIMESTAMPTZ NOT NULL DEFAULT now(),   -- the first due time that no run has begun for
    claim             UUID,                       -- of the run under way: whoever has it may end it
    lease_until       TIMESTAMPTZ,                -- moved on while the worker lives; others wait for it to stand still
    last_started_at   TIMESTAMPTZ,
    last_ended_at     TIMESTAMPTZ,
    last_success_at   TIMESTAMPTZ,
    last_duration_ms  BIGINT,
    last_rows         BIGINT,
    last_error        TEXT,                       -- a code of ours or the name of a fault; NULL where it ended well
    runs              BIGINT NOT NULL DEFAULT 0,  -- begun, also those whose worker died
    failures          INTEGER NOT NULL DEFAULT 0, -- in a row
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {scheduled_jobs_pkey} PRIMARY KEY (name),
    CONSTRAINT scheduled_jobs_name_length CHECK (length(name) BETWEEN 1 AND 100),
    CONSTRAINT scheduled_jobs_every_positive CHECK (every > '0'),
    CONSTRAINT scheduled_jobs_claim_whole CHECK ((claim IS NULL) = (lease_until IS NULL)),
    CONSTRAINT scheduled_jobs_counts CHECK (runs >= 0 AND failures >= 0 AND last_duration_ms >= 0 AND last_rows >= 0)
) WITH (fillfactor = 20);
