-- name: find_without_job
-- Find documents whose jobs were deleted before they ended.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id FROM retrieval_document WHERE
    -- include: piece_by_id
    AND created_at > now() - interval '1 day' AND status NOT IN ('completed', 'error')
)
SELECT 'document_without_job' AS code, p.tenant_id, p.id::text AS subject FROM piece p
WHERE NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = p.job_id AND j.tenant_id = p.tenant_id);

-- name: find_orphans
-- Find chunks of no document, or of one of another dataset.
WITH piece AS MATERIALIZED (SELECT id, tenant_id, dataset_id, document_id FROM retrieval_chunk WHERE
    -- include: piece_by_id
)
SELECT 'orphan_chunk' AS code, p.tenant_id, p.id::text AS subject FROM piece p
WHERE NOT EXISTS (
    SELECT FROM retrieval_document d
    WHERE d.id = p.document_id AND d.tenant_id = p.tenant_id AND d.dataset_id = p.dataset_id
);
