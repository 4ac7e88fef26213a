-- name: find_executions
-- Read a tenant's last executions, including those in flight.
SELECT id AS execution_id, job_id, queue_id, kind, number, state, predicted_us, measured_us, dispatched_at FROM (
    (SELECT id, job_id, queue_id, kind, number, outcome AS state, predicted_us, measured_us, dispatched_at
     FROM scheduling_execution WHERE tenant_id = %(tenant)s ORDER BY id DESC LIMIT %(looked_at)s)
    UNION ALL
    SELECT id, job_id, queue_id, kind, number, CASE WHEN started_at IS NULL THEN 'dispatched' ELSE 'executing' END,
        coalesce(whole_us, predicted_us), NULL, dispatched_at
    FROM scheduling_execution_live WHERE tenant_id = %(tenant)s
) AS last
WHERE %(queues)s::bigint[] IS NULL OR queue_id = ANY (%(queues)s)
ORDER BY id DESC LIMIT %(shown)s;

-- name: find_events
-- Read the dispatch events of executions.
SELECT execution_id, data::text AS data FROM scheduling_jobevent
WHERE tenant_id = %(tenant)s AND job_id = ANY (%(jobs)s) AND name = 'job.dispatched'
    AND id >= %(since)s AND id < %(until)s AND execution_id = ANY (%(executions)s);
