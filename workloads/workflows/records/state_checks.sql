-- name: check_runs
-- Find open runs whose jobs were deleted or have completed.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id FROM workflow_storage_workflowrun WHERE
    -- include: piece_by_id
    AND state IN ('running', 'waiting') AND NOT is_external
)
SELECT CASE WHEN j.id IS NULL THEN 'workflow_run_without_job' ELSE 'workflow_run_left_open' END AS code,
    p.tenant_id, p.id::text AS subject
FROM piece p LEFT JOIN scheduling_job j ON j.id = p.job_id AND j.tenant_id = p.tenant_id
WHERE j.id IS NULL AND p.id > %(yesterday)s OR j.state = 'completed';

-- name: check_nodes
-- Find nodes that are ahead of their runs.
WITH piece AS MATERIALIZED (SELECT id, tenant_id, run_id, run_version FROM workflow_storage_noderun WHERE
    -- include: piece_by_id
)
SELECT 'workflow_node_ahead' AS code, p.tenant_id, p.id::text AS subject FROM piece p
JOIN workflow_storage_workflowrun r ON r.id = p.run_id AND r.tenant_id = p.tenant_id WHERE p.run_version > r.version;
