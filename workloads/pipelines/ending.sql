-- name: end_runs
-- End runs that have no open entity. A run with a cancelled entity is cancelled, whatever the others' states.
UPDATE rag_pipeline_pipelinerun AS run SET
    entities_completed = counted.completed, entities_error = counted.error, entities_cancelled = counted.cancelled,
    state = CASE WHEN counted.cancelled > 0 THEN 'cancelled' WHEN counted.error = 0 THEN 'completed'
        WHEN counted.completed = 0 THEN 'failed' ELSE 'partial' END,
    ended_at = now()
FROM (
    SELECT run_id, count(*) FILTER (WHERE state = 'completed') AS completed,
        count(*) FILTER (WHERE state = 'error') AS error,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
        count(*) FILTER (WHERE state IN ('waiting', 'running')) AS open
    FROM rag_pipeline_pipelineentity WHERE run_id = ANY(%(runs)s) GROUP BY run_id
) AS counted
WHERE run.id = counted.run_id AND counted.open = 0 AND run.state IN ('waiting', 'running')
RETURNING run.id;
