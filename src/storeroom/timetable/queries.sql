-- The schedule belongs to the installation: no statement here names a tenant. Instants are compared in the database alone,
-- or with `seen_at`, which is its clock as well.

-- name: register(names, everies) -> count
-- A new job is due at once. In the order of the key, so that two workers that start together wait for each other in no circle.
INSERT INTO {scheduled_jobs} (name, every)
SELECT j.name, j.every
  FROM unnest(:names::text[], :everies::interval[]) AS j (name, every)
 ORDER BY j.name
    ON CONFLICT (name) DO UPDATE SET every = EXCLUDED.every
 WHERE {scheduled_jobs}.every <> EXCLUDED.every;

-- name: forget(names, kept) -> count
-- Jobs that no worker has run for so long: of another release, or of a setting that is off.
DELETE FROM {scheduled_jobs}
 WHERE name <> ALL (:names)
   AND due_at < now() - :kept::interval
   AND (lease_until IS NULL OR lease_until < now() - :kept::interval);

-- name: turns(names) -> Turn*
-- All that a worker asks while nothing is due: one read of a few rows.
SELECT name, due_at, claim, lease_until, failures, last_success_at, last_duration_ms, now() AS seen_at
  FROM {scheduled_jobs}
 WHERE name = ANY (:names);

-- name: begin(name, seen_due_at, seen_claim?, seen_lease_until?, claim, lease, every, origin) -> Hold?
-- Only if the row is as the worker saw it when it decided; so of several that saw it one begins. The due time moves to the
-- next point of the grid now, not at the end: what falls due during a run has a run after it.
WITH seen AS (
    SELECT name
      FROM {scheduled_jobs}
     WHERE name = :name
       AND due_at = :seen_due_at
       AND claim IS NOT DISTINCT FROM :seen_claim
       AND lease_until IS NOT DISTINCT FROM :seen_lease_until
       FOR UPDATE SKIP LOCKED)
UPDATE {scheduled_jobs} j
   SET claim = :claim, lease_until = now() + :lease, due_at = date_bin(:every, now(), :origin) + :every,
       last_started_at = now(), runs = j.runs + 1
  FROM seen
 WHERE j.name = seen.name
RETURNING j.name, :claim::uuid AS claim, j.failures, j.due_at, j.last_started_at AS begun_at;

-- name: keep(name, claim, lease) -> count
-- A sign of life; none where the run has become somebody else's.
UPDATE {scheduled_jobs}
   SET lease_until = now() + :lease
 WHERE name = :name
   AND claim = :claim;

-- name: end_well(name, claim, rows, duration_ms, again_in?) -> count
-- Nothing where the claim is no longer ours: a late one writes down nothing.
UPDATE {scheduled_jobs}
   SET claim = NULL, lease_until = NULL, last_ended_at = now(), last_success_at = now(), last_duration_ms = :duration_ms,
       last_rows = :rows, last_error = NULL,
       due_at = now() + :again_in,               -- if again_in
       failures = 0
 WHERE name = :name
   AND claim = :claim;

-- name: end_badly(name, claim, rows, duration_ms, error, failures, again_in) -> count
-- The same for a run that failed, which comes again when it has rested.
UPDATE {scheduled_jobs}
   SET claim = NULL, lease_until = NULL, last_ended_at = now(), last_duration_ms = :duration_ms, last_rows = :rows,
       last_error = :error, failures = :failures, due_at = now() + :again_in
 WHERE name = :name
   AND claim = :claim;

-- name: scheduled_jobs(size) -> ScheduledJob*
SELECT name, every, due_at, claim IS NOT NULL AS running, last_started_at, last_ended_at, last_success_at, last_duration_ms,
       last_rows, last_error, runs, failures
  FROM {scheduled_jobs}
 ORDER BY name
 LIMIT :size;

-- name: shops(size) -> int
-- scope: all tenants
-- How many shops there are, as far as it matters.
SELECT count(*)::int
  FROM (SELECT tenant_id
          FROM {tenants}
         LIMIT :size) s;
