-- name: count_slots
-- Count the slots of a pool.
SELECT coalesce(sum(slots), 0)::int AS slots FROM scheduling_worker
WHERE pool_id = %(pool_id)s AND status = 'online' AND heartbeat_at > now() - make_interval(secs => %(lease_seconds)s);

-- name: find_running
-- Return the remaining predicted time of each execution in flight, at least a tenth of the whole.
SELECT l.tenant_id::text AS tenant_id, l.queue_id, e.fair_key, greatest(p.whole_us / 10, p.whole_us
    - coalesce(extract(epoch FROM clock_timestamp() - l.started_at) * 1000000, 0)::bigint, 1) AS left_us
FROM scheduling_execution_live l CROSS JOIN LATERAL (SELECT coalesce(l.whole_us, l.predicted_us) AS whole_us) p
    JOIN scheduling_schedulingentity e ON e.id = l.entity_id
WHERE l.pool_id = %(pool_id)s ORDER BY l.id;

-- name: find_waiting
-- Read the lines of a pool's waiting jobs with their lengths up to a limit, and the predicted costs of their next jobs.
SELECT e.tenant_id::text AS tenant_id, e.queue_id, e.fair_key, ready.jobs, greatest(e.estimate_us, 1) AS cost_us,
    ready.head_rank
FROM scheduling_schedulingentity e
    JOIN scheduling_queue q ON q.id = e.queue_id AND q.pool_id = %(pool_id)s AND NOT q.is_paused
    JOIN tenants_tenant t ON t.id = e.tenant_id AND t.status = 'active' AND NOT t.is_paused
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs, min(rank) AS head_rank
        FROM (
            SELECT r.rank FROM scheduling_job_ready r WHERE r.entity_id = e.id ORDER BY r.rank LIMIT %(longest_line)s
        ) first
    ) ready
WHERE e.waiting > 0 AND ready.jobs > 0 ORDER BY e.id;

-- name: find_arrivals
-- Read the jobs of a pool that arrived within the window. Ids are ordered by time, so the hour is a range of the
-- primary key, and so are the executions of its jobs. If there are more than can be replayed, every n-th is taken,
-- tenant by tenant: in the order of arrival, a tenant that submits in the rhythm of the count would be taken always or
-- never.
WITH arrived AS (
    SELECT j.id, j.tenant_id, j.queue_id, j.fair_key, j.kind, greatest(j.created_at, j.run_at) AS at,
        row_number() OVER (ORDER BY j.tenant_id, j.queue_id, j.id) AS n, count(*) OVER () AS total
    FROM scheduling_job j JOIN scheduling_queue q ON q.id = j.queue_id AND q.pool_id = %(pool_id)s AND NOT q.is_paused
        JOIN tenants_tenant t ON t.id = j.tenant_id AND t.status = 'active' AND NOT t.is_paused
    WHERE j.id >= %(floor)s AND j.run_at <= %(now)s AND j.state NOT IN ('scheduled', 'suspended')
        AND NOT (j.state = 'cancelled' AND j.started_at IS NULL)
), chosen AS (
    SELECT *, greatest(1, ceil((total + %(waiting)s) / %(limit)s::float8))::int AS step FROM arrived
), executed AS (
    SELECT x.job_id, sum(x.measured_us) AS cost_us, min(x.predicted_us) FILTER (WHERE x.number = 1) AS predicted_us
    FROM scheduling_execution x WHERE x.id >= %(floor)s AND x.measured_us > 0 GROUP BY 1
)
SELECT c.tenant_id::text AS tenant_id, c.queue_id, c.fair_key,
    least(%(last_us)s, greatest(0, extract(epoch FROM c.at - %(since)s::timestamptz) * 1000000)::bigint) AS at_us,
    r.cost_us::bigint AS cost_us,
    coalesce(r.predicted_us, tc.mean_us, kc.mean_us, (q.expected_seconds * 1000000)::bigint) AS predicted_us, c.step
FROM chosen c JOIN scheduling_queue q ON q.id = c.queue_id
    LEFT JOIN executed r ON r.job_id = c.id
    LEFT JOIN scheduling_tenant_kind_cost tc ON tc.tenant_id = c.tenant_id AND tc.kind = c.kind
    LEFT JOIN scheduling_kind_cost kc ON kc.kind = c.kind
WHERE c.n %% c.step = 0
ORDER BY c.at, c.id;

-- name: read_turnaround
-- Read the median time from dispatch to start of the last jobs with a message of their own.
SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - dispatched_at)), 0)::float8
    AS seconds
FROM (
    SELECT x.started_at, x.dispatched_at FROM scheduling_execution x
        JOIN scheduling_queue q ON q.id = x.queue_id AND q.pool_id = %(pool_id)s
    WHERE x.id >= %(floor)s AND x.started_at IS NOT NULL AND x.measured_us >= %(least_us)s ORDER BY x.id DESC LIMIT 1000
) AS last;

-- name: is_elsewhere
-- Return whether tenants of a pool run jobs in other pools.
SELECT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.pool_id <> %(pool_id)s
    AND l.tenant_id IN (SELECT e.tenant_id FROM scheduling_schedulingentity e JOIN scheduling_queue q
        ON q.id = e.queue_id AND q.pool_id = %(pool_id)s WHERE e.waiting > 0 OR e.in_flight > 0)) AS is_elsewhere;
