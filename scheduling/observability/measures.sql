-- name: find_oldest
-- Read by queue since when its first jobs wait: the heads of at most 500 tenants, the longest waiting first, since a
-- job's own rank orders it inside its tenant only.
SELECT head.queue_id, min(j.run_at) AS since FROM (
    SELECT e.queue_id, r.job_id FROM (
        SELECT id, queue_id FROM scheduling_schedulingentity WHERE waiting > 0 ORDER BY head_rank LIMIT 500
    ) e CROSS JOIN LATERAL (
        SELECT job_id FROM scheduling_job_ready WHERE entity_id = e.id ORDER BY rank, job_id LIMIT 1
    ) r
) head JOIN scheduling_job j ON j.id = head.job_id GROUP BY 1;

-- name: read_queues
-- Read waiting jobs and jobs in flight by queue.
SELECT q.id AS queue_id, q.name, p.name AS pool, now() AS now, coalesce(e.waiting, 0)::bigint AS waiting,
    coalesce(e.predicted_us, 0)::float8 AS predicted_us, coalesce(l.dispatched, 0) AS dispatched,
    coalesce(l.executing, 0) AS executing, coalesce(l.messages, 0) AS messages, s.unread_since IS NOT NULL AS is_unread
FROM scheduling_queue q JOIN scheduling_workerpool p ON p.id = q.pool_id
LEFT JOIN (
    SELECT queue_id, sum(waiting) AS waiting, sum(waiting::numeric * estimate_us) AS predicted_us
    FROM scheduling_schedulingentity WHERE waiting > 0 GROUP BY 1
) e ON e.queue_id = q.id
LEFT JOIN scheduling_queue_standing s ON s.queue_id = q.id
LEFT JOIN (
    SELECT queue_id, count(*) FILTER (WHERE started_at IS NULL) AS dispatched,
        count(*) FILTER (WHERE started_at IS NOT NULL) AS executing, count(DISTINCT message_id) AS messages
    FROM scheduling_execution_live GROUP BY 1
) l ON l.queue_id = q.id
ORDER BY 2;

-- name: count_due
-- Count scheduled jobs and jobs in backoff, by queue. LATERAL with LIMIT reads each state by its key, regardless of the
-- planner's estimate of the table of jobs.
SELECT e.queue_id, count(*) FILTER (WHERE j.state = 'scheduled') AS scheduled,
    count(*) FILTER (WHERE j.state = 'retryable') AS backing_off
FROM (SELECT job_id, entity_id FROM scheduling_job_due ORDER BY due_at LIMIT %(limit)s) d
    CROSS JOIN LATERAL (SELECT state FROM scheduling_job WHERE id = d.job_id LIMIT 1) j
    JOIN scheduling_schedulingentity e ON e.id = d.entity_id
GROUP BY 1;

-- name: count_suspended
-- Count suspended jobs by queue.
SELECT j.queue_id, count(*) AS jobs
FROM (SELECT job_id FROM scheduling_job_suspended LIMIT %(limit)s) s
    CROSS JOIN LATERAL (SELECT queue_id FROM scheduling_job WHERE id = s.job_id LIMIT 1) j
GROUP BY 1;

-- name: count_workers
-- Count workers by pool and status.
SELECT p.name AS pool, count(*) AS workers,
    CASE WHEN w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s) THEN w.status ELSE 'silent' END
        AS status
FROM scheduling_worker w JOIN scheduling_workerpool p ON p.id = w.pool_id WHERE w.status <> 'stopped' GROUP BY 1, 3;

-- name: read_ticks
-- Read the age of each pool's last tick.
SELECT p.name AS pool, extract(epoch FROM now() - c.ticked_at)::float8 AS age
FROM scheduling_pool_clock c JOIN scheduling_workerpool p ON p.id = c.pool_id WHERE c.ticked_at IS NOT NULL;

-- name: read_rollup_lag
-- Read the age of the last fold of tallies.
SELECT extract(epoch FROM now() - min(folded_at))::float8 AS lag FROM scheduling_rollup_clock;
