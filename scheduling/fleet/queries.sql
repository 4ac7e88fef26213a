-- name: read_pools
-- Read the pools with the slots and queues of their live workers.
SELECT p.name, coalesce(q.names, '{}') AS queues, coalesce(w.workers, 0) AS workers, coalesce(w.slots, 0) AS slots,
    w.oldest_canary AS oldest_canary_seconds, w.worst_skew AS worst_skew_seconds
FROM scheduling_workerpool p
LEFT JOIN (
    SELECT pool_id, array_agg(name ORDER BY name) AS names FROM scheduling_queue GROUP BY 1
) q ON q.pool_id = p.id
LEFT JOIN (
    SELECT pool_id, count(*)::int AS workers, sum(slots)::int AS slots,
        max(extract(epoch FROM now() - canary_at))::float8 AS oldest_canary,
        (array_agg(clock_skew_seconds ORDER BY abs(clock_skew_seconds) DESC NULLS LAST))[1] AS worst_skew
    FROM scheduling_worker
    WHERE status = 'online' AND heartbeat_at > now() - make_interval(secs => %(lease)s) GROUP BY 1
) w ON w.pool_id = p.id
ORDER BY 1;

-- name: read_processes
-- Read the age of the youngest heartbeat of each role, and the worst clock skew among all live processes.
SELECT role, min(extract(epoch FROM now() - heartbeat_at))::float8 AS age,
    (array_agg(clock_skew_seconds ORDER BY abs(clock_skew_seconds) DESC NULLS LAST)
        FILTER (WHERE heartbeat_at > now() - make_interval(secs => %(lease)s)))[1] AS skew
FROM scheduling_process_heartbeat GROUP BY role;
