-- name: read_missing
-- Read the next chunks of a dataset that have no vector of its next model, in the order of their ids. Those that do not
-- serve searches yet have an index range of their own.
SELECT id, text, location FROM (
    (SELECT id, text, location FROM retrieval_chunk chunk
    WHERE tenant_id = %(tenant_id)s AND dataset_id = %(dataset_id)s AND is_served AND id > %(after)s
        AND NOT EXISTS (SELECT FROM retrieval_nextvector next WHERE next.id = chunk.id)
    ORDER BY id LIMIT %(limit)s)
    UNION ALL
    (SELECT id, text, location FROM retrieval_chunk chunk
    WHERE tenant_id = %(tenant_id)s AND dataset_id = %(dataset_id)s AND NOT is_served AND id > %(after)s
        AND NOT EXISTS (SELECT FROM retrieval_nextvector next WHERE next.id = chunk.id)
    ORDER BY id LIMIT %(limit)s)
) missing
ORDER BY id LIMIT %(limit)s;

-- name: hold_next_model
-- Lock a dataset against a change of its models, if the vectors of this next model are still collected.
SELECT id FROM retrieval_dataset
WHERE id = %(dataset_id)s AND next_model = %(model)s AND embedding_model <> next_model FOR SHARE;

-- name: store_next
-- Store vectors of the next model. A chunk whose text has changed meanwhile is left out, and read again later; the lock
-- of a chunk prevents that its text changes before this is committed.
WITH held AS (
    SELECT chunk.id, chunk.tenant_id, chunk.dataset_id, chunk.document_id, row.embedding, row.digest
    FROM unnest(%(ids)s::uuid[], %(texts)s::text[], %(embeddings)s::text[], %(digests)s::uuid[])
        AS row(id, text, embedding, digest)
    JOIN retrieval_chunk chunk ON chunk.id = row.id AND chunk.text = row.text
    FOR SHARE OF chunk
)
INSERT INTO retrieval_nextvector (id, tenant_id, dataset_id, document_id, embedding, vector_digest)
SELECT id, tenant_id, dataset_id, document_id, embedding::vector, digest FROM held ON CONFLICT (id) DO NOTHING;

-- fragment: store_moved
-- Give chunks the vectors that were taken out.
UPDATE retrieval_chunk chunk SET embedding = moved.embedding, vector_digest = moved.vector_digest
FROM moved WHERE chunk.id = moved.id

-- name: move_some
-- Move some vectors of the model that serves now to their chunks, and return how many were taken out.
WITH moved AS (
    DELETE FROM retrieval_nextvector WHERE id IN (
        SELECT id FROM retrieval_nextvector WHERE tenant_id = %(tenant_id)s AND dataset_id = %(dataset_id)s
        ORDER BY id LIMIT %(limit)s
    ) RETURNING id, embedding, vector_digest
), stored AS (
-- include: store_moved
)
SELECT count(*) FROM moved;

-- name: move_chunks
-- Move the vectors of given chunks.
WITH moved AS (
    DELETE FROM retrieval_nextvector WHERE id = ANY(%(ids)s::uuid[]) RETURNING id, embedding, vector_digest
)
-- include: store_moved
;

-- name: measure
-- Count the chunks of a dataset, the vectors of its next model, and about the bytes of what is embedded.
SELECT count(*) AS chunks,
    coalesce(sum(octet_length(text) + octet_length(concat(location #>> '{heading,-2}', location #>> '{heading,-1}'))), 0) AS bytes,
    (SELECT count(*) FROM retrieval_nextvector WHERE tenant_id = %(tenant_id)s AND dataset_id = %(dataset_id)s) AS done
FROM retrieval_chunk WHERE tenant_id = %(tenant_id)s AND dataset_id = %(dataset_id)s;
