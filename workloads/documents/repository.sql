-- name: append_chunks
-- Store the next chunks of a document. The first statement moves the mark only from where these chunks begin: a batch
-- is stored once or not at all.
WITH document AS (
    UPDATE retrieval_document SET chunks_done = chunks_done + %(count)s
    WHERE id = %(document_id)s AND job_id = %(job_id)s AND chunks_done = %(first)s
    RETURNING id, tenant_id, dataset_id, kept_chunks, is_pause_asked
)
INSERT INTO retrieval_chunk (id, tenant_id, dataset_id, document_id, position, text, location, embedding, search,
    is_served, vector_digest)
SELECT row.id, document.tenant_id, document.dataset_id, document.id, row.position, row.text,
    row.location::jsonb, row.embedding::vector, row.search::tsvector, document.kept_chunks = 0, row.digest
FROM document, unnest(%(ids)s::uuid[], %(positions)s::int[], %(texts)s::text[], %(locations)s::text[],
    %(embeddings)s::text[], %(searches)s::text[], %(digests)s::uuid[])
    AS row(id, position, text, location, embedding, search, digest)
RETURNING (SELECT is_pause_asked FROM document) AS is_pause_asked;

-- name: hold_model
-- Lock a dataset against a change of its embedding model, if it has this one. Others may hold it at the same time.
SELECT id FROM retrieval_dataset WHERE id = %(dataset_id)s AND embedding_model = %(model)s FOR SHARE;
