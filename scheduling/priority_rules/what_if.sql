-- name: find_starts
-- Return the first dispatches of jobs within a time, the newest if there are more than the limit, with their lines and
-- their places there. Ids are ordered by time.
SELECT x.tenant_id, x.queue_id, j.fair_key, x.kind, p.tier_id AS tier, j.rank,
    least(j.rank + j.priority * %(ageing_us)s::bigint, d.at) AS available_us, d.at AS dispatched_us
FROM scheduling_execution x JOIN scheduling_job j ON j.id = x.job_id
    JOIN tenants_tenant t ON t.id = x.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    CROSS JOIN LATERAL (SELECT (extract(epoch FROM x.dispatched_at) * 1000000)::bigint AS at) d
WHERE x.id >= %(floor)s AND x.number = 1
ORDER BY x.id DESC LIMIT %(limit)s;
