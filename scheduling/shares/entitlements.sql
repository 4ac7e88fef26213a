-- name: count_in_flight
-- Count executions in flight by queue and tenant.
SELECT queue_id, tenant_id, count(*) FILTER (WHERE started_at IS NULL) AS dispatched,
    count(started_at) AS executing, coalesce(sum(1.0 / size), 0)::float8 AS slots,
    coalesce(sum(greatest(0, extract(epoch FROM %(now)s::timestamptz - greatest(started_at, %(since)s))) / size),
        0)::float8 AS busy_seconds
FROM (SELECT *,
    -- include: slot_sharers
    AS size FROM scheduling_execution_live) l
GROUP BY 1, 2;
