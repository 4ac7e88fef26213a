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

-- name: count_nodes
-- Count what the entities of one job have done at each node.
SELECT node.key AS node_id,
    count(*) FILTER (WHERE node.value ->> 's' <> 's')::int AS begun,
    count(*) FILTER (WHERE node.value ->> 's' = 'd')::int AS done,
    count(*) FILTER (WHERE entity.state = 'error' AND node.value ? 'e')::int AS failed,
    count(*) FILTER (WHERE node.value ->> 's' = 's')::int AS skipped,
    sum((node.value ->> 't')::float) AS seconds,
    (array_agg(entity.name || ': ' || (node.value ->> 'e') ORDER BY entity.position)
        FILTER (WHERE node.value ? 'e'))[1:5] AS first_errors
FROM rag_pipeline_pipelineentity AS entity, jsonb_each(entity.nodes) AS node
WHERE entity.run_id = %(run_id)s AND entity.job_id = %(job_id)s
GROUP BY node.key;
