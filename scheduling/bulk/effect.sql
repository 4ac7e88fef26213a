-- name: predict_costs
-- Return the predicted cost of a job of each group.
SELECT coalesce(tc.mean_us, kc.mean_us, (q.expected_seconds * 1000000)::bigint)::float8 AS cost_us
FROM unnest(%(tenants)s::uuid[], %(kinds)s::text[], %(queues)s::bigint[]) WITH ORDINALITY
        AS g(tenant_id, kind, queue_id, n)
    JOIN scheduling_queue q ON q.id = g.queue_id
    LEFT JOIN scheduling_tenant_kind_cost tc ON tc.tenant_id = g.tenant_id AND tc.kind = g.kind
    LEFT JOIN scheduling_kind_cost kc ON kc.kind = g.kind
ORDER BY g.n;

-- name: find_lines
-- Read the lines of tenants in the pools with changed work: changed and longest lines one by one, the others summed by
-- queue and by similar work for their weight.
WITH changed AS (
    SELECT DISTINCT c.tenant_id, c.queue_id, q.pool_id
    FROM unnest(%(tenants)s::uuid[], %(queues)s::bigint[]) AS c(tenant_id, queue_id)
        JOIN scheduling_queue q ON q.id = c.queue_id AND NOT q.is_paused
        JOIN tenants_tenant t ON t.id = c.tenant_id AND t.status = 'active' AND NOT t.is_paused
), waiting AS (
    SELECT q.pool_id, e.queue_id, e.tenant_id, e.weight_milli / 1000.0 AS weight, e.waiting + e.keys_waiting AS jobs,
        (e.waiting + e.keys_waiting)::float8 * e.estimate_us AS work_us
    FROM scheduling_queue q JOIN scheduling_schedulingentity e ON e.queue_id = q.id
    WHERE q.pool_id IN (SELECT pool_id FROM changed) AND NOT q.is_paused AND e.parent_id IS NULL
        AND e.waiting + e.keys_waiting > 0 AND e.weight_milli > 0 AND e.estimate_us > 0
        AND (e.is_runnable OR e.in_flight + e.keys_in_flight > 0)
), line AS (
    SELECT pool_id, queue_id, tenant_id, weight, jobs, work_us FROM waiting
    UNION ALL
    SELECT c.pool_id, c.queue_id, c.tenant_id, NULL, 0, 0 FROM changed c
    WHERE NOT EXISTS (SELECT FROM waiting w WHERE w.queue_id = c.queue_id AND w.tenant_id = c.tenant_id)
), reported AS (
    SELECT l.*, coalesce(l.weight, greatest(0.001, p.weight * t.weight_factor)) AS share, t.slug,
        -- include: tenant_cap
        AS cap,
        l.tenant_id IN (SELECT tenant_id FROM changed)
            OR row_number() OVER (PARTITION BY l.pool_id ORDER BY l.work_us DESC) <= %(named)s AS is_named
    FROM line l JOIN tenants_tenant t ON t.id = l.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
)
SELECT pool_id, queue_id, CASE WHEN is_named THEN tenant_id END AS tenant_id, min(slug) AS slug,
    sum(share)::float8 AS weight, sum(cap)::float8 AS cap, sum(jobs)::float8 AS jobs, sum(work_us)::float8 AS work_us
FROM reported GROUP BY 1, 2, 3, CASE WHEN NOT is_named THEN floor(ln(work_us / share)) END;

-- name: count_slots
-- Count the slots of pools.
SELECT p.id AS pool_id, p.name, coalesce(sum(w.slots) FILTER (WHERE w.status = 'online'
    AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)), 0)::int AS slots
FROM scheduling_workerpool p LEFT JOIN scheduling_worker w ON w.pool_id = p.id AND NOT p.is_paused
WHERE p.id = ANY(%(pools)s) GROUP BY 1, 2;

-- name: find_running
-- Return the predicted remaining time of each message in flight. An overdue message counts as its overrun.
SELECT m.pool_id, greatest(m.predicted_us - m.us, m.us - m.predicted_us, m.predicted_us / 10.0)::float8 AS left_us
FROM (
    SELECT l.pool_id, sum(coalesce(l.whole_us, l.predicted_us))::float8 AS predicted_us,
        coalesce(1000000 * extract(epoch FROM clock_timestamp() - min(l.started_at)), 0)::float8 AS us
    FROM scheduling_execution_live l WHERE l.pool_id = ANY(%(pools)s) GROUP BY l.pool_id, l.message_id
) m;
