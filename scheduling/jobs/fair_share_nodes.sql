-- name: hold_lines_of_jobs
-- Hold the lines of the keys of given jobs.
WITH wanted AS (
    -- include: lines_of_jobs
)
-- include: hold_wanted
;

-- name: open_lines_of_jobs
-- Open the lines of the keys of given jobs.
WITH wanted AS (
    -- include: lines_of_jobs
)
-- include: open_wanted
;

-- name: hold_named_lines
-- Hold the lines of named keys of a tenant.
WITH wanted AS (
    -- include: named_lines
)
-- include: hold_wanted
;

-- name: open_named_lines
-- Open the lines of named keys of a tenant.
WITH wanted AS (
    -- include: named_lines
)
-- include: open_wanted
;

-- fragment: lines_of_jobs
SELECT DISTINCT tenant_id, queue_id, fair_key FROM scheduling_job
WHERE id = ANY(%(job_ids)s::uuid[]) AND fair_key <> ''

-- fragment: named_lines
SELECT %(tenant_id)s::uuid AS tenant_id, queue_id, fair_key
FROM unnest(%(queue_ids)s::bigint[], %(keys)s::text[]) AS named (queue_id, fair_key)

-- fragment: hold_wanted
-- Take the shared locks on the lines of the tenants of the wanted lines, in one order.
SELECT pg_advisory_xact_lock_shared(%(lines_lock)s::int, hashtext(tenant_id::text))
FROM (SELECT DISTINCT tenant_id FROM wanted ORDER BY 1) AS tenants

-- fragment: open_wanted
-- Insert the wanted lines that are missing, in one order, so that two transactions that open the same lines do not
-- deadlock.
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, parent_id, fair_key, weight_milli, vruntime, is_runnable,
    in_flight, waiting, head_rank, estimate_us)
SELECT e.tenant_id, e.queue_id, e.id, wanted.fair_key, 1000, 0, false, 0, 0, 0::bigint, e.estimate_us
FROM wanted JOIN scheduling_schedulingentity e
    ON e.tenant_id = wanted.tenant_id AND e.queue_id = wanted.queue_id AND e.parent_id IS NULL
ORDER BY e.tenant_id, e.queue_id, wanted.fair_key
ON CONFLICT (tenant_id, queue_id, fair_key) DO NOTHING

-- name: read_own_lines
-- Read the lines of a tenant in queues, without those of keys.
SELECT queue_id, id FROM scheduling_schedulingentity
WHERE tenant_id = %(tenant_id)s::uuid AND queue_id = ANY(%(queue_ids)s::bigint[]) AND parent_id IS NULL;

-- name: lock_idle_lines
-- Lock the tenants of idle lines of keys; tenants whose lines are locked are left for the next time.
SELECT tenant_id FROM (SELECT DISTINCT tenant_id FROM (
    -- include: idle_lines
) AS idle) AS tenants
WHERE pg_try_advisory_xact_lock(%(lines_lock)s::int, hashtext(tenant_id::text));

-- name: remove_idle_lines
-- Delete the idle lines of locked tenants. They are chosen again under the lock, in a separate statement, which sees
-- what was committed before.
DELETE FROM scheduling_schedulingentity k USING (
    -- include: idle_lines
) AS idle
WHERE k.id = idle.id AND k.tenant_id = ANY(%(tenants)s::uuid[])
    AND k.in_flight = 0 AND k.waiting = 0 AND NOT k.is_runnable;

-- fragment: idle_lines
-- A key that returns starts at the virtual time of its siblings, so a key that is not ahead of it loses nothing. If the
-- tenant has no work at all, no key is ahead of others. Keys that are ahead are kept, up to a number.
SELECT id, tenant_id FROM (
    SELECT k.id, k.tenant_id,
        k.vruntime <= e.virtual_time OR e.waiting + e.keys_waiting + e.in_flight + e.keys_in_flight = 0 AS is_level,
        row_number() OVER (PARTITION BY k.parent_id ORDER BY k.vruntime DESC, k.id) AS n
    FROM scheduling_schedulingentity k JOIN scheduling_schedulingentity e ON e.id = k.parent_id
    WHERE NOT k.is_runnable AND k.in_flight = 0 AND k.waiting = 0
        AND NOT EXISTS (SELECT FROM scheduling_wake w WHERE w.entity_id = k.id)
) AS idle WHERE is_level OR n > %(kept)s LIMIT %(limit)s
