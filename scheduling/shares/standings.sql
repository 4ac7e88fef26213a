-- name: find_waiting
-- Read since when jobs of tenants wait, by the last gauges: of the given tenants first, then of those that wait longest.
SELECT g.tenant_id, min(g.oldest_at) AS oldest_at
FROM scheduling_tenant_gauge g
WHERE g.minute = (SELECT max(m.minute) FROM scheduling_tenant_gauge m WHERE m.minute > %(gauge_since)s)
    AND g.waiting > 0 AND (%(queues)s::bigint[] IS NULL OR g.queue_id = ANY (%(queues)s))
GROUP BY 1 ORDER BY g.tenant_id = ANY (%(tenants)s::uuid[]) DESC, 2, 1 LIMIT %(limit)s;

-- name: read_standings
-- Read what tenants have waiting and in flight, and what stops their dispatches.
SELECT t.id AS tenant_id, coalesce(line.waiting, 0)::bigint AS waiting, coalesce(line.in_flight, 0)::bigint AS in_flight,
    coalesce(line.longest_us, 0)::bigint AS longest_us,
    CASE WHEN t.status = 'suspended' THEN 'suspended' WHEN t.is_paused OR line.is_held THEN 'paused'
        WHEN t.is_draining THEN 'draining'
        WHEN line.waiting > 0 AND NOT
        -- include: has_monthly_quota
        THEN 'out_of_worker_time' WHEN line.waiting > 0 AND c.in_flight >=
        -- include: tenant_cap
        THEN 'at_cap' ELSE '' END AS stop
FROM tenants_tenant t JOIN tenants_plan p ON p.id = t.plan_id
    LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = t.id
    LEFT JOIN LATERAL (
        SELECT sum(e.waiting + e.keys_waiting) AS waiting, sum(e.in_flight + e.keys_in_flight) AS in_flight,
            max(e.estimate_us) FILTER (WHERE e.waiting + e.keys_waiting + e.in_flight + e.keys_in_flight > 0)
                AS longest_us,
            bool_and(q.is_paused OR w.is_paused) FILTER (WHERE e.waiting + e.keys_waiting > 0) AS is_held
        FROM scheduling_schedulingentity e JOIN scheduling_queue q ON q.id = e.queue_id
            JOIN scheduling_workerpool w ON w.id = q.pool_id
        WHERE e.tenant_id = t.id AND e.parent_id IS NULL
            AND (%(queues)s::bigint[] IS NULL OR e.queue_id = ANY (%(queues)s))
    ) line ON true
WHERE t.id = ANY (%(tenants)s::uuid[]);
