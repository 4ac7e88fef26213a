-- name: read_states
-- Return the open jobs as lines of JSON, each with its checkpoint as stored and its live execution, in the order of ids.
SELECT json_build_object(
    'job', j.id, 'tenant', j.tenant_id, 'kind', j.kind, 'state', j.state, 'attempt', j.attempt, 'fence', j.fence,
    'checkpoint', j.checkpoint, 'progress', json_build_array(j.progress_current, j.progress_total),
    'execution', CASE WHEN l.id IS NOT NULL THEN json_build_object(
        'id', l.id, 'number', l.number, 'worker', l.worker_id, 'fence', l.fence, 'dispatched_at', l.dispatched_at,
        'started_at', l.started_at, 'lease_expires_at', l.lease_expires_at) END
)::text AS line
FROM scheduling_job j LEFT JOIN scheduling_execution_live l ON l.tenant_id = j.tenant_id AND l.job_id = j.id
WHERE j.state <> ALL (%(terminal)s::text[]) AND (%(tenant)s::uuid IS NULL OR j.tenant_id = %(tenant)s::uuid)
ORDER BY j.id;
