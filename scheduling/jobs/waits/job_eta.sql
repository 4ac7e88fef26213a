-- name: count_ahead
-- Count the jobs of a line from its head to a job by kind, with the predicted cost of each kind and the error of its
-- recent predictions. With no measured time the error is unknown, which counts as the whole time.
WITH line AS (
    SELECT id FROM scheduling_schedulingentity
    WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s AND fair_key = %(fair_key)s
), ahead AS (
    SELECT r.kind, count(*) AS jobs FROM (
        SELECT r.kind FROM scheduling_job_ready r
        WHERE r.entity_id = (SELECT id FROM line) AND (r.rank, r.job_id) < (%(rank)s, %(job_id)s)
        ORDER BY r.rank, r.job_id LIMIT %(limit)s + 1
    ) r GROUP BY 1
)
SELECT a.jobs, coalesce(tc.mean_us, kc.mean_us, (q.expected_seconds * 1000000)::bigint) AS mean_us,
    coalesce(tc.error_us / nullif(tc.total_us, 0), kc.error_us / nullif(kc.total_us, 0), 1) AS error,
    coalesce(tc.bias_us / nullif(tc.total_us, 0), kc.bias_us / nullif(kc.total_us, 0), 0) AS bias
FROM ahead a JOIN scheduling_queue q ON q.id = %(queue_id)s
    LEFT JOIN scheduling_tenant_kind_cost tc ON tc.tenant_id = %(tenant_id)s AND tc.kind = a.kind
    LEFT JOIN scheduling_kind_cost kc ON kc.kind = a.kind;

-- name: count_behind
-- Count the jobs behind and those of the whole line, if more are ahead than are counted.
SELECT e.waiting, (SELECT count(*) FROM (
    SELECT FROM scheduling_job_ready r
    WHERE r.entity_id = e.id AND (r.rank, r.job_id) > (%(rank)s, %(job_id)s) LIMIT %(limit)s + 1) AS counted) AS behind
FROM scheduling_schedulingentity e
WHERE e.tenant_id = %(tenant_id)s AND e.queue_id = %(queue_id)s AND e.fair_key = %(fair_key)s;

-- name: count_queue_ahead
-- Sum up the earlier jobs of all tenants of a queue, in order of arrival.
SELECT count(*) AS jobs, coalesce(sum(estimate_us), 0)::float8 AS work_us FROM (
    SELECT e.estimate_us FROM scheduling_schedulingentity e
        JOIN scheduling_job_ready r ON r.entity_id = e.id AND (r.rank, r.job_id) < (%(rank)s, %(job_id)s)
    WHERE e.queue_id = %(queue_id)s AND e.is_runnable LIMIT %(limit)s + 1
) AS ahead;

-- name: read_running
-- Estimate how long each message in flight will still hold its slot. One beyond its prediction is assumed to take as
-- long again.
SELECT m.tenant_ids, greatest(m.predicted_us - m.us, m.us - m.predicted_us, m.predicted_us / 10.0)::float8
    AS left_us
FROM (
    SELECT array_agg(DISTINCT l.tenant_id) AS tenant_ids,
        sum(coalesce(l.whole_us, l.predicted_us))::float8 AS predicted_us,
        coalesce(1000000 * extract(epoch FROM clock_timestamp() - min(l.started_at)), 0)::float8 AS us
    FROM scheduling_execution_live l WHERE l.pool_id = %(pool_id)s GROUP BY l.message_id
) m;

-- name: read_backlogs
-- Sum up the work of other tenants in the queues of a pool. Tenants of a queue whose work lasts about as long for their
-- weight are one row.
SELECT queue_id, sum(weight)::float8 AS weight, sum(work_us)::float8 AS work_us, sum(cap)::float8 AS cap,
    sum(waiting)::float8 AS jobs, sum(weight * vruntime)::float8 / sum(weight)::float8 AS vruntime
FROM (
    SELECT e.queue_id, e.weight_milli / 1000.0 AS weight, e.waiting + e.keys_waiting AS waiting, e.vruntime,
        (e.waiting + e.keys_waiting)::numeric * e.estimate_us AS work_us,
        -- include: tenant_cap
        AS cap
    FROM scheduling_queue q JOIN scheduling_schedulingentity e ON e.queue_id = q.id
        JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
    WHERE q.pool_id = %(pool_id)s AND NOT q.is_paused AND e.parent_id IS NULL AND e.waiting + e.keys_waiting > 0
        AND (e.is_runnable OR e.in_flight + e.keys_in_flight > 0)
        AND NOT (e.tenant_id = %(tenant_id)s AND e.queue_id = %(queue_id)s)
) AS tenants
WHERE weight > 0 AND work_us > 0
GROUP BY queue_id, floor(ln(work_us / weight));

-- name: read_own
-- Read weight and virtual time of a tenant's line.
SELECT weight_milli / 1000.0 AS weight, vruntime FROM scheduling_schedulingentity
WHERE tenant_id = %(tenant_id)s AND queue_id = %(queue_id)s AND parent_id IS NULL;
