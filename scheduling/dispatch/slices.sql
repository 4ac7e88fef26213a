-- name: find_sliced_pools
-- Read the pools in which a slice is used or a yield was requested. There are as many live rows as slots: an index
-- would cost more than it saves.
SELECT DISTINCT l.pool_id FROM scheduling_execution_live l LEFT JOIN scheduling_cfsplan p
    ON p.is_active AND p.strategy = %(strategy)s AND l.started_at < now() - make_interval(secs => p.granularity_seconds)
WHERE p.id IS NOT NULL OR l.yield_requested_at IS NOT NULL
ORDER BY 1;

-- name: read_running
-- Read the running executions of a pool if the active plan slices time. An execution that could not be dispatched again
-- gets no request to yield: a pause lets running jobs end. The slot of a draining worker serves no other job. One
-- execution does not free the slot if others of its merged message wait for it.
SELECT e.id AS tenant_entity_id, e.tenant_id, e.weight_milli AS tenant_weight_milli, e.vruntime,
    e.in_flight + e.keys_in_flight AS in_flight, e.head_rank, e.waiting + e.keys_waiting AS waiting, e.estimate_us,
    e.own_vruntime, e.virtual_time,
    line.id AS line_id, CASE WHEN line.parent_id IS NULL THEN line.own_vruntime ELSE line.vruntime END AS line_vruntime,
    line.in_flight AS line_in_flight,
    coalesce(CASE WHEN line.parent_id IS NULL THEN line.own_rank END, line.head_rank) AS line_head_rank,
    line.waiting AS line_waiting, line.estimate_us AS line_estimate_us,
    l.id AS execution_id, l.queue_id, j.rank, l.weight_milli, l.queue_weight_milli, l.predicted_us,
    (extract(epoch FROM clock_timestamp() - l.started_at) * 1000000)::bigint AS elapsed_us,
    l.started_at < now() - make_interval(secs => plan.granularity_seconds) AND w.status = 'online'
        AND (l.is_list OR count(*) OVER (PARTITION BY l.message_id) = 1)
        AND t.status = 'active' AND NOT t.is_paused
        AND NOT EXISTS (SELECT FROM scheduling_kindpause k WHERE k.kind = l.kind) AND
        -- include: has_monthly_quota
        AS is_used,
    l.yield_requested_at IS NOT NULL AS is_requested
FROM scheduling_execution_live l
    JOIN scheduling_cfsplan plan ON plan.is_active AND plan.strategy = %(strategy)s
    JOIN scheduling_job j ON j.id = l.job_id
    JOIN scheduling_schedulingentity line ON line.id = l.entity_id
    JOIN scheduling_schedulingentity e ON e.id = coalesce(line.parent_id, line.id)
    JOIN scheduling_worker w ON w.id = l.worker_id
    JOIN tenants_tenant t ON t.id = l.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
WHERE l.pool_id = %(pool_id)s AND l.started_at IS NOT NULL;

-- name: request_yields
-- Set the yield requests to the given executions; return for each change whether it is a new request. Workers renew
-- leases on the same rows: a locked row is left to the next call, so nothing waits here.
WITH changed AS (
    SELECT l.id, l.id = ANY(%(execution_ids)s::uuid[]) AS is_requested FROM scheduling_execution_live l
    WHERE l.pool_id = %(pool_id)s
        AND (l.id = ANY(%(execution_ids)s::uuid[])) <> (l.yield_requested_at IS NOT NULL)
    ORDER BY l.id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE scheduling_execution_live l SET yield_requested_at = CASE WHEN c.is_requested THEN now() END
FROM changed c WHERE l.id = c.id
RETURNING c.is_requested;
