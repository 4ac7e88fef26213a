-- name: read_backlogs
-- Sum up the predicted work of the tenants in each queue: of waiting jobs, and half of each job in flight, whose start is
-- not read. A tenant uses no more slots than it has jobs. Tenants whose work lasts about as long for their weight are one
-- row.
SELECT queue_id, sum(weight)::float8 AS weight, sum(work_us)::float8 AS work_us, sum(cap)::float8 AS cap,
    sum(jobs)::float8 AS jobs
FROM (
    SELECT e.queue_id, e.weight_milli / 1000.0 AS weight, n.jobs, n.jobs * e.estimate_us AS work_us,
        least(e.waiting + e.keys_waiting + e.in_flight + e.keys_in_flight,
        -- include: tenant_cap
        ) AS cap
    FROM scheduling_schedulingentity e
        JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
        CROSS JOIN LATERAL (
            SELECT e.waiting + e.keys_waiting + (e.in_flight + e.keys_in_flight) / 2.0 AS jobs) n
    WHERE e.parent_id IS NULL AND (e.is_runnable OR e.in_flight + e.keys_in_flight > 0)
) AS tenants
WHERE weight > 0 AND work_us > 0
GROUP BY queue_id, floor(ln(work_us / weight));
