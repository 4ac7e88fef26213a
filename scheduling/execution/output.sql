-- name: read_output_size
-- Read how many events the output of a job has, their bytes and the last id. The job's age bounds the days to scan.
SELECT count(*) AS rows, coalesce(sum(octet_length(data::text)), 0)::bigint AS bytes,
    (array_agg(id ORDER BY id DESC))[1] AS last_id FROM scheduling_jobevent
WHERE tenant_id = %(tenant_id)s AND job_id = %(job_id)s AND id >= %(job_id)s AND name = %(name)s;

-- name: append_output
-- Append output of a job that runs under a fence. The job's row is locked, so that no output follows its end.
WITH job AS (
    SELECT id, tenant_id FROM scheduling_job
    WHERE id = %(job_id)s AND fence = %(fence)s AND state = 'executing' FOR NO KEY UPDATE
)
INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
SELECT r.id, job.tenant_id, job.id, %(execution_id)s, statement_timestamp(), %(name)s, 'executing', 'system', '', r.data
FROM job CROSS JOIN jsonb_to_recordset(%(rows)s::jsonb) AS r(id uuid, data jsonb) ORDER BY r.id
-- A write whose commit succeeded although its answer was lost is repeated.
ON CONFLICT DO NOTHING;
