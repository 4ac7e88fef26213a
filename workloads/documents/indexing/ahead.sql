-- name: first_jobs
-- Read the jobs of a kind that a pool will run next: those that were dispatched and have not begun, then the first ones
-- of each line. Of a line few jobs are read, whatever their kinds.
WITH lines AS (
    SELECT e.id FROM scheduling_schedulingentity e JOIN scheduling_queue q ON q.id = e.queue_id
        JOIN scheduling_workerpool p ON p.id = q.pool_id
    WHERE p.name = %(pool)s AND e.waiting > 0 ORDER BY e.vruntime, e.id LIMIT %(lines)s
), next AS (
    SELECT l.job_id, 0 AS nth FROM scheduling_execution_live l JOIN scheduling_workerpool p ON p.id = l.pool_id
    WHERE p.name = %(pool)s AND l.kind = %(kind)s AND l.started_at IS NULL
    UNION ALL
    SELECT r.job_id, r.nth FROM lines CROSS JOIN LATERAL (
        SELECT h.job_id, h.kind, row_number() OVER (ORDER BY h.rank, h.job_id) AS nth FROM (
            SELECT job_id, rank, kind FROM scheduling_job_ready WHERE entity_id = lines.id
            ORDER BY rank, job_id LIMIT %(of_line)s
        ) h
    ) r WHERE r.kind = %(kind)s
)
SELECT j.id, j.tenant_id FROM next JOIN scheduling_job j ON j.id = next.job_id
ORDER BY next.nth, j.id LIMIT %(most)s;
