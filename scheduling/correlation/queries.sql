-- name: jobs_of_request
-- The jobs that a request changed. Events have no index by request: at most ``most`` events of the time range are read.
WITH event AS MATERIALIZED (
    SELECT job_id, request_id FROM scheduling_jobevent WHERE id >= %(since)s AND id < %(until)s ORDER BY id LIMIT %(most)s
)
SELECT DISTINCT job_id FROM event WHERE request_id = %(request_id)s LIMIT %(limit)s;

-- name: family
-- A job, its ancestors and its descendants.
WITH RECURSIVE up AS (
    SELECT id, tenant_id, parent_id, 0 AS depth FROM scheduling_job WHERE id = %(job_id)s
    UNION ALL
    SELECT p.id, p.tenant_id, p.parent_id, up.depth + 1
    FROM up JOIN scheduling_job p ON p.tenant_id = up.tenant_id AND p.id = up.parent_id WHERE up.depth < %(ancestors)s
), down AS (
    SELECT id, tenant_id FROM scheduling_job WHERE id = %(job_id)s
    UNION
    SELECT c.id, c.tenant_id FROM down JOIN scheduling_job c ON c.tenant_id = down.tenant_id AND c.parent_id = down.id
)
SELECT id AS job_id FROM up UNION (SELECT id FROM down LIMIT %(limit)s);

-- name: rows_of_jobs
-- The ids of each job's first events and executions, and of the first and last lines of its log, with their table.
WITH job AS (SELECT * FROM unnest(%(jobs)s::uuid[], %(tenants)s::uuid[]) AS j(id, tenant_id))
SELECT 'event' AS what, r.id FROM job j CROSS JOIN LATERAL (
    SELECT e.id FROM scheduling_jobevent e WHERE e.tenant_id = j.tenant_id AND e.job_id = j.id AND e.id >= %(since)s
        AND e.name <> %(output)s
    ORDER BY e.id LIMIT %(per_job)s
) r
UNION ALL
SELECT 'attempt', r.id FROM job j CROSS JOIN LATERAL (
    SELECT e.id FROM scheduling_execution e WHERE e.tenant_id = j.tenant_id AND e.job_id = j.id AND e.id >= %(since)s
    ORDER BY e.id LIMIT %(per_job)s
) r
UNION ALL
SELECT 'log', r.id FROM job j CROSS JOIN LATERAL (
    (SELECT l.id FROM scheduling_joblog l WHERE l.tenant_id = j.tenant_id AND l.job_id = j.id AND l.id >= %(since)s
        AND l.level >= %(level)s ORDER BY l.id LIMIT %(lines)s)
    UNION
    (SELECT l.id FROM scheduling_joblog l WHERE l.tenant_id = j.tenant_id AND l.job_id = j.id AND l.id >= %(since)s
        AND l.level >= %(level)s ORDER BY l.id DESC LIMIT %(lines)s)
) r;
