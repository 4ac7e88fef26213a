-- name: find_stops
-- Read pauses, drains and suspensions in the columns of Stop. Row-level security shows a tenant only itself.
SELECT 'pool' AS scope, name, 'paused' AS mode, pause_reason AS reason, paused_by AS by, paused_at AS since,
    paused_until AS until, NULL::timestamptz AS drained_at, id::text AS key
FROM scheduling_workerpool WHERE is_paused
UNION ALL
SELECT 'queue', name, 'paused', pause_reason, paused_by, paused_at, paused_until, NULL, id::text
FROM scheduling_queue WHERE is_paused
UNION ALL
SELECT 'kind', kind, 'paused', reason, paused_by, paused_at, paused_until, NULL, kind FROM scheduling_kindpause
UNION ALL
SELECT d.scope, d.name, 'draining', d.reason, d.started_by, d.started_at, d.until, d.drained_at,
    coalesce(q.id, p.id)::text
FROM scheduling_drain d LEFT JOIN scheduling_queue q ON d.scope = 'queue' AND q.name = d.name
    LEFT JOIN scheduling_workerpool p ON d.scope = 'pool' AND p.name = d.name
UNION ALL
(SELECT 'tenant', slug, 'suspended', status_reason, suspended_by, suspended_at, suspended_until, NULL, id::text
FROM tenants_tenant WHERE status = 'suspended' ORDER BY slug LIMIT %(limit)s)
UNION ALL
(SELECT 'tenant', slug, 'paused', pause_reason, paused_by, paused_at, paused_until, NULL, id::text
FROM tenants_tenant WHERE is_paused ORDER BY slug LIMIT %(limit)s)
UNION ALL
(SELECT 'tenant', slug, 'draining', drain_reason, draining_by, draining_at, draining_until, drained_at, id::text
FROM tenants_tenant WHERE is_draining ORDER BY slug LIMIT %(limit)s);

-- name: count_waiting_queue
-- Count the waiting jobs of a queue, including unfolded ones.
SELECT coalesce((SELECT sum(e.waiting) FROM scheduling_schedulingentity e JOIN scheduling_queue q
        ON q.id = e.queue_id WHERE q.name = %(name)s), 0)
    + coalesce((SELECT sum(e.waiting_delta) FROM scheduling_wake e JOIN scheduling_queue q
        ON q.id = e.queue_id WHERE q.name = %(name)s), 0);

-- name: count_waiting_tenant
-- Count the waiting jobs of a tenant, including unfolded ones.
SELECT coalesce((SELECT sum(e.waiting) FROM scheduling_schedulingentity e JOIN scheduling_queue q
        ON q.id = e.queue_id WHERE e.tenant_id = (SELECT id FROM tenants_tenant WHERE slug = %(name)s)), 0)
    + coalesce((SELECT sum(e.waiting_delta) FROM scheduling_wake e JOIN scheduling_queue q
        ON q.id = e.queue_id WHERE e.tenant_id = (SELECT id FROM tenants_tenant WHERE slug = %(name)s)), 0);

-- name: count_waiting_kind
-- Count the waiting jobs of a kind up to a limit for each table of places.
SELECT count(*) FROM (
    (SELECT FROM scheduling_job_held WHERE kind = %(name)s LIMIT %(limit)s)
    UNION ALL (SELECT FROM scheduling_job_due WHERE kind = %(name)s LIMIT %(limit)s)
    UNION ALL (SELECT FROM scheduling_job_ready WHERE kind = %(name)s LIMIT %(limit)s)
) AS waiting;

-- name: count_running_queue
-- Count the executions of a queue that are in flight.
SELECT count(*) FROM scheduling_execution_live x
WHERE x.queue_id = (SELECT id FROM scheduling_queue WHERE name = %(name)s);

-- name: count_ended_queue
-- Count the executions of a queue that have ended lately.
SELECT count(*) FROM
-- include: ended_lately
AND x.queue_id = (SELECT id FROM scheduling_queue WHERE name = %(name)s);

-- name: count_running_pool
-- Count the executions of a pool that are in flight.
SELECT count(*) FROM scheduling_execution_live x
WHERE x.queue_id IN (SELECT q.id FROM scheduling_queue q JOIN scheduling_workerpool p
    ON p.id = q.pool_id WHERE p.name = %(name)s);

-- name: count_ended_pool
-- Count the executions of a pool that have ended lately.
SELECT count(*) FROM
-- include: ended_lately
AND x.queue_id IN (SELECT q.id FROM scheduling_queue q JOIN scheduling_workerpool p
    ON p.id = q.pool_id WHERE p.name = %(name)s);

-- name: count_running_tenant
-- Count the executions of a tenant that are in flight.
SELECT count(*) FROM scheduling_execution_live x
WHERE x.tenant_id = (SELECT id FROM tenants_tenant WHERE slug = %(name)s);

-- name: count_ended_tenant
-- Count the executions of a tenant that have ended lately.
SELECT count(*) FROM
-- include: ended_lately
AND x.tenant_id = (SELECT id FROM tenants_tenant WHERE slug = %(name)s);

-- name: count_running_kind
-- Count the executions of a kind that are in flight.
SELECT count(*) FROM scheduling_execution_live x
WHERE x.kind = %(name)s;

-- name: count_ended_kind
-- Count the executions of a kind that have ended lately.
SELECT count(*) FROM
-- include: ended_lately
AND x.kind = %(name)s;

-- fragment: ended_lately
-- The newest executions that have ended since a moment.
(
    SELECT queue_id, tenant_id, kind, ended_at FROM scheduling_execution WHERE id >= %(floor)s
    ORDER BY id DESC LIMIT %(rows)s
) x WHERE x.ended_at >= %(since)s
