-- name: check_executions
-- Find executions in flight that contradict their jobs.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id, fence, started_at, lease_expires_at FROM scheduling_execution_live WHERE
    -- include: piece_by_id
)
SELECT f.code, l.tenant_id, l.id::text AS subject
FROM piece l LEFT JOIN scheduling_job j ON j.id = l.job_id AND j.tenant_id = l.tenant_id
    CROSS JOIN LATERAL (VALUES
        ('execution_astray', j.id IS NULL OR j.state NOT IN ('dispatched', 'executing')),
        ('fence_differs', j.state IN ('dispatched', 'executing') AND j.fence <> l.fence),
        ('execution_phase_differs', (j.state = 'executing' AND l.started_at IS NULL)
            OR (j.state = 'dispatched' AND l.started_at IS NOT NULL)),
        ('lease_long_past', l.lease_expires_at < now() - make_interval(secs => %(grace)s))
    ) AS f(code, is_wrong)
WHERE f.is_wrong;

-- name: lock_executions
-- Lock executions in flight, before their jobs and in one order, as settlement does.
SELECT l.id, l.tenant_id, l.entity_id, l.queue_id, l.job_id, l.fence, l.started_at IS NOT NULL AS has_begun
FROM scheduling_execution_live l WHERE l.id = ANY (%(ids)s::uuid[]) ORDER BY l.id FOR NO KEY UPDATE;

-- name: lock_jobs
-- Lock the jobs of executions, and return their states.
SELECT id, state FROM scheduling_job WHERE id = ANY (%(job_ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: begin_jobs
-- Set dispatched jobs to executing.
UPDATE scheduling_job SET state = 'executing' WHERE id = ANY (%(job_ids)s::uuid[]) AND state = 'dispatched';

-- name: raise_fences_of_jobs
-- Raise the fences of jobs to those of their executions.
UPDATE scheduling_job j SET fence = l.fence FROM scheduling_execution_live l
WHERE l.id = ANY (%(ids)s::uuid[]) AND j.id = l.job_id AND j.fence < l.fence;

-- name: raise_fences_of_executions
-- Raise the fences of executions to those of their jobs.
UPDATE scheduling_execution_live l SET fence = j.fence FROM scheduling_job j
WHERE l.id = ANY (%(ids)s::uuid[]) AND j.id = l.job_id AND l.fence < j.fence;
