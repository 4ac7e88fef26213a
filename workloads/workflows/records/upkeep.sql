-- name: find_old_runs
-- Find the first tenant with runs whose jobs were deleted. A job is deleted only after it has ended, so the run has
-- ended too.
-- include: probe_due_tenants
FROM workflow_storage_workflowrun r
WHERE r.tenant_id = d.tenant_id AND r.id < d.floor
    AND NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = r.job_id AND j.tenant_id = r.tenant_id)
-- include: until_first_due
;

-- name: prune_runs
-- Delete the oldest such runs of one tenant with their nodes; return the keys of their files.
WITH rows_to_delete AS (
    SELECT r.id, r.tenant_id FROM workflow_storage_workflowrun r
    WHERE r.tenant_id = %(tenant_id)s AND r.id < %(floor)s
        AND NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = r.job_id AND j.tenant_id = r.tenant_id)
    ORDER BY r.id LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED
), node AS (
    DELETE FROM workflow_storage_noderun n USING rows_to_delete d WHERE n.tenant_id = d.tenant_id AND n.run_id = d.id
    RETURNING n.inputs_key, n.outputs_key
), run AS (
    DELETE FROM workflow_storage_workflowrun r USING rows_to_delete d WHERE r.id = d.id
    RETURNING r.inputs_key, r.outputs_key
)
SELECT %(tenant_id)s::uuid AS tenant_id, (SELECT count(*) FROM run) AS runs, (SELECT count(*) FROM node) AS nodes, (
    SELECT coalesce(array_agg(DISTINCT key), '{}') FROM (SELECT * FROM run UNION ALL SELECT * FROM node) AS deleted_values,
        LATERAL (VALUES (deleted_values.inputs_key), (deleted_values.outputs_key)) AS named(key) WHERE key IS NOT NULL
) AS keys;
