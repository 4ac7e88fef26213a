-- name: heartbeat
-- Record that a worker is alive, and renew the leases of its executions.
WITH beat AS (
    -- A requested drain outlives the worker's own status online.
    UPDATE scheduling_worker SET heartbeat_at = now(), stopped_at = NULL,
        status = CASE WHEN status = 'draining' AND %(status)s = 'online' THEN status ELSE %(status)s END,
        queues = coalesce(%(queues)s::jsonb, queues),
        clock_skew_seconds = %(clock)s - extract(epoch FROM clock_timestamp()),
        canary_at = coalesce(now() - make_interval(secs => %(canary_age)s), canary_at)
    WHERE id = %(worker_id)s RETURNING id, status, pool_id
), noted AS (
    INSERT INTO scheduling_worker_minute AS m (worker_id, minute, heartbeats, busy, memory_kib, begun)
    SELECT id, date_trunc('minute', now()), 1, %(busy)s::int, %(memory_kib)s::bigint, %(begun)s::int FROM beat
    ON CONFLICT (worker_id, minute) DO UPDATE SET heartbeats = m.heartbeats + 1, busy = m.busy + excluded.busy,
        memory_kib = greatest(m.memory_kib, excluded.memory_kib), begun = m.begun + excluded.begun
), held AS (
    -- Executions that are being settled are not renewed: one long lock would delay all the others.
    SELECT l.id FROM scheduling_execution_live l
        JOIN unnest(%(execution_ids)s::uuid[]) AS held(id) USING (id)
    WHERE l.worker_id = %(worker_id)s ORDER BY l.id FOR NO KEY UPDATE OF l SKIP LOCKED
), renewed AS (
    UPDATE scheduling_execution_live l
    SET lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
    FROM held WHERE l.id = held.id
    RETURNING l.id, l.job_id, l.cancel_requested_at IS NOT NULL AS is_cancel_requested,
        l.yield_requested_at IS NOT NULL AS is_yield_requested
), ours AS (
    SELECT * FROM renewed
    UNION ALL
    SELECT l.id, l.job_id, l.cancel_requested_at IS NOT NULL, l.yield_requested_at IS NOT NULL
    FROM scheduling_execution_live l
        JOIN unnest(%(execution_ids)s::uuid[]) AS busy(id) USING (id)
    WHERE l.worker_id = %(worker_id)s AND l.id NOT IN (SELECT id FROM held)
)
SELECT (SELECT status FROM beat) AS status,
    ARRAY(SELECT q.name FROM scheduling_queue q JOIN beat USING (pool_id) ORDER BY q.name) AS queue_names,
    r.id AS execution_id, r.is_cancel_requested, coalesce(d.deadline_at <= now(), false) AS is_deadline_passed,
    r.is_yield_requested
FROM (SELECT) one
LEFT JOIN ours r ON true
LEFT JOIN scheduling_job_deadline d ON d.job_id = r.job_id;
