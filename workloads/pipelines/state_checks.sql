-- name: find_without_job
-- Find open entities whose jobs were deleted.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id FROM rag_pipeline_pipelineentity WHERE
    -- include: piece_by_id
    AND created_at > now() - interval '1 day' AND state IN ('waiting', 'running')
)
SELECT 'pipeline_entity_without_job' AS code, p.tenant_id, p.id::text AS subject FROM piece p
WHERE NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = p.job_id AND j.tenant_id = p.tenant_id);

-- name: find_wrong_counts
-- Find ended runs whose counters differ from their entities.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, state, entities_total, entities_completed, entities_error, entities_cancelled
    FROM rag_pipeline_pipelinerun WHERE
    -- include: piece_by_id
    AND state NOT IN ('waiting', 'running')
)
SELECT 'pipeline_run_counts' AS code, p.tenant_id, p.id::text AS subject FROM piece p
WHERE (p.entities_total, p.entities_completed, p.entities_error, p.entities_cancelled) <> (
    SELECT count(*), count(*) FILTER (WHERE e.state = 'completed'), count(*) FILTER (WHERE e.state = 'error'),
        count(*) FILTER (WHERE e.state = 'cancelled')
    FROM rag_pipeline_pipelineentity e WHERE e.tenant_id = p.tenant_id AND e.run_id = p.id
);

-- name: find_wrong_chunks
-- Find completed entities whose documents have other chunks, or are not completed. Documents that were deleted or are
-- being re-indexed are left out.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, document_id, chunks_total FROM rag_pipeline_pipelineentity WHERE
    -- include: piece_by_id
    AND state = 'completed' AND ended_at > now() - interval '1 day'
)
SELECT 'pipeline_entity_chunks' AS code, p.tenant_id, p.id::text AS subject FROM piece p
JOIN retrieval_document d ON d.id = p.document_id AND d.tenant_id = p.tenant_id
JOIN rag_pipeline_pipelineentity e ON e.id = p.id
WHERE d.job_id = e.job_id AND (d.status <> 'completed' OR d.chunks_done <> p.chunks_total);
