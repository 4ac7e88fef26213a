-- name: count_slots
-- Count the slots of the live workers of each pool that is neither paused nor drained.
SELECT w.pool_id, sum(w.slots) AS slots
FROM scheduling_worker w JOIN scheduling_workerpool p ON p.id = w.pool_id
WHERE w.status = 'online' AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s) AND NOT p.is_paused
    AND NOT EXISTS (SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = p.name)
GROUP BY 1;

-- name: read_queues
-- Read the queues that are not paused.
SELECT q.id AS queue_id, q.pool_id,
    -- include: queue_weight
    AS weight, q.cap
FROM scheduling_queue q WHERE NOT q.is_paused;

-- name: read_demands
-- Read the tenants with running jobs, and at most so many of those that only wait. A tenant wants no more slots than it
-- has jobs. One at its cap is not runnable, but backlogged; one that is stopped wants only the slots that it has.
WITH wanted AS (
    (SELECT id FROM scheduling_schedulingentity WHERE is_runnable AND parent_id IS NULL LIMIT %(limit)s)
    UNION
    -- include: running_tenants
), demand AS (
    SELECT e.queue_id, e.tenant_id, e.weight_milli, e.vruntime,
        e.waiting + e.keys_waiting AS waiting, e.in_flight + e.keys_in_flight AS in_flight,
        -- include: tenant_cap
        AS cap,
        coalesce(e.is_runnable OR e.waiting + e.keys_waiting > 0 AND t.status = 'active' AND NOT t.is_paused
            AND c.in_flight >=
            -- include: tenant_cap
            AND
            -- include: has_monthly_quota
        , false) AS is_backlogged
    FROM wanted JOIN scheduling_schedulingentity e USING (id)
        JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
        LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = e.tenant_id
)
SELECT queue_id, tenant_id, weight_milli, vruntime, cap, is_backlogged,
    greatest(1, in_flight + CASE WHEN is_backlogged THEN waiting ELSE 0 END)::float8 AS wants
FROM demand;

-- name: read_window
-- Read the tenants that only wait in a window of the table, in key order, so that no step depends on the number of
-- tenants. Without a tenant there is one row with the last id, which is NULL at the end.
WITH running AS (
    -- include: running_tenants
), page_rows AS (
    SELECT * FROM scheduling_schedulingentity WHERE id > %(after)s ORDER BY id LIMIT %(limit)s
), wanting AS (
    SELECT e.queue_id, e.tenant_id, e.weight_milli,
    -- include: tenant_cap
    AS cap, e.vruntime
    FROM page_rows e JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    WHERE e.is_runnable AND e.parent_id IS NULL AND NOT EXISTS (SELECT FROM running r WHERE r.id = e.id)
)
SELECT last.id AS last_id, wanting.* FROM (SELECT max(id) AS id FROM page_rows) last LEFT JOIN wanting ON true;

-- fragment: running_tenants
-- The lines of tenants with jobs in flight: a tenant at its cap is not runnable.
SELECT DISTINCT coalesce(line.parent_id, line.id) AS id
FROM scheduling_execution_live l JOIN scheduling_schedulingentity line ON line.id = l.entity_id
