-- name: close_entities
-- End the open entities of jobs that have ended. A missing job was pruned, hence had ended. A young one may not be
-- visible yet.
UPDATE rag_pipeline_pipelineentity AS entity SET
    state = CASE WHEN dead.state IN ('discarded', 'quarantined') THEN 'error' ELSE 'cancelled' END,
    error_code = left(coalesce(nullif(dead.error_type, ''), dead.state, 'job_gone'), 64),
    error_message = CASE WHEN dead.error_message LIKE '$sealed:%%' THEN dead.error_message
        ELSE left(coalesce(dead.error_message, ''), 1000) END,
    ended_at = now()
FROM (
    SELECT open.id, job.state, job.error_type, job.error_message
    FROM (
        SELECT id, tenant_id, job_id FROM rag_pipeline_pipelineentity
        WHERE state IN ('waiting', 'running') AND created_at < now() - interval '10 seconds' AND id > %(after)s
        ORDER BY id LIMIT %(rows)s
    ) AS open LEFT JOIN scheduling_job AS job ON job.id = open.job_id AND job.tenant_id = open.tenant_id
    WHERE job.id IS NULL OR job.state
    -- include: in_terminal_states
) AS dead
WHERE entity.id = dead.id AND entity.state IN ('waiting', 'running');

-- name: find_last_open
-- Find the end of the next open entities.
SELECT id FROM rag_pipeline_pipelineentity WHERE state IN ('waiting', 'running') AND id > %(after)s
ORDER BY id OFFSET %(before_last)s LIMIT 1;

-- name: find_runs
-- Find open runs that have no open entity.
SELECT run.id FROM rag_pipeline_pipelinerun AS run
WHERE run.state IN ('waiting', 'running') AND run.created_at < now() - interval '10 seconds' AND NOT EXISTS (
    SELECT FROM rag_pipeline_pipelineentity AS entity
    WHERE entity.tenant_id = run.tenant_id AND entity.run_id = run.id AND entity.state IN ('waiting', 'running')
) ORDER BY run.id LIMIT %(runs)s;
