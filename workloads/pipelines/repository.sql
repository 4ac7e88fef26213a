-- name: count_states
-- Set a run's counters to the counts of its entities.
UPDATE rag_pipeline_pipelinerun AS run SET
    entities_completed = counted.completed, entities_error = counted.error, entities_cancelled = counted.cancelled
FROM (
    SELECT count(*) FILTER (WHERE state = 'completed') AS completed,
        count(*) FILTER (WHERE state = 'error') AS error,
        count(*) FILTER (WHERE state = 'cancelled') AS cancelled
    FROM rag_pipeline_pipelineentity WHERE run_id = %(run_id)s
) AS counted
WHERE run.id = %(run_id)s;
