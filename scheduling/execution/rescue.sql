-- name: lock_lost
-- Lock executions whose lease has expired. One of a worker that still beats was lost without a crash. Jobs and tenants
-- are read by key: in a join the planner may read all jobs to find that none is lost. Rows that the settlement would have
-- to wait for are left to the next sweep, or one locked row would delay every lost execution.
WITH lost AS (
    SELECT l.id, l.fence, l.tenant_id, l.job_id, l.worker_id, l.message_id, l.kind, l.is_list,
        l.started_at IS NOT NULL AS has_begun
    FROM scheduling_execution_live l
    WHERE l.lease_expires_at < now() LIMIT %(limit)s FOR NO KEY UPDATE OF l SKIP LOCKED
), job AS (
    SELECT j.id, j.crash_count FROM scheduling_job j
    WHERE j.id = ANY(ARRAY(SELECT job_id FROM lost)) FOR NO KEY UPDATE OF j SKIP LOCKED
), tenant AS (
    SELECT t.id FROM tenants_tenant t
    WHERE t.id = ANY(ARRAY(SELECT tenant_id FROM lost)) FOR KEY SHARE OF t SKIP LOCKED
)
SELECT l.id AS execution_id, l.fence, l.has_begun, j.crash_count,
    (SELECT count(o.started_at) FROM scheduling_execution_live o WHERE o.worker_id = l.worker_id) = 1
        AND NOT EXISTS (SELECT FROM scheduling_worker w WHERE w.id = l.worker_id AND w.status <> 'stopped'
            AND w.heartbeat_at >= now() - make_interval(secs => %(lease_seconds)s)) AS was_alone,
    NOT l.is_list AND (SELECT count(*) FROM scheduling_execution_live o WHERE o.message_id = l.message_id) > 1
        AS was_merged,
    l.kind
FROM lost l JOIN job j ON j.id = l.job_id JOIN tenant t ON t.id = l.tenant_id;

-- name: stop_silent_workers
-- Record workers without a heartbeat as stopped.
UPDATE scheduling_worker SET status = 'stopped', stopped_at = now()
WHERE status <> 'stopped' AND heartbeat_at < now() - make_interval(secs => %(lease_seconds)s);

-- name: lock_late
-- Lock jobs whose deadline has passed.
SELECT d.job_id FROM scheduling_job_deadline d JOIN scheduling_job j ON j.id = d.job_id
WHERE d.deadline_at <= now() ORDER BY d.deadline_at LIMIT %(limit)s FOR NO KEY UPDATE OF j SKIP LOCKED;
