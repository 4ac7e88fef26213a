-- fragment: matching_documents
-- The documents with a value in a range of each condition of a filter. The comparisons of texts are leakproof, so that
-- row-level security lets them be conditions of the index of values; those of JSON and of arrays are not.
SELECT document_id FROM (
    SELECT DISTINCT asked.condition, value.document_id
    FROM unnest(%(conditions)s::int[], %(names)s::text[], %(lows)s::text[], %(highs)s::text[])
        AS asked(condition, name, low, high)
    JOIN retrieval_documentvalue value ON value.tenant_id = %(tenant_id)s AND value.dataset_id = %(dataset_id)s
        AND value.name = asked.name AND value.key >= asked.low AND value.key < asked.high
) AS found
GROUP BY document_id HAVING count(*) = %(conditions_count)s;

-- fragment: served_by_model
-- Of a dataset: its chunks, none unless the vectors that serve are of the model of the query's vector.
-- The model changes in one statement elsewhere; this condition is of the snapshot in which the vectors are read.
chunk.tenant_id = %(tenant_id)s AND chunk.dataset_id = %(dataset_id)s AND EXISTS (
    SELECT FROM retrieval_dataset WHERE id = %(dataset_id)s AND embedding_model = %(model)s
)

-- fragment: searched_documents
-- Without the documents that are switched off: they are read once, by their own small index, and hashed.
AND chunk.document_id NOT IN (SELECT id FROM retrieval_document
    WHERE tenant_id = %(tenant_id)s AND dataset_id = %(dataset_id)s AND NOT is_enabled)

-- name: rank_exactly
-- Rank the chunks of a dataset by all their distances. `+ 0` makes the distance an expression that no index orders:
-- whatever indexes exist, the planner computes every distance within the dataset. A dataset with its own index uses
-- `rank_by_index`.
SELECT chunk.id, -(chunk.embedding <#> %(vector)s::vector) AS score FROM retrieval_chunk chunk
WHERE chunk.is_served AND chunk.is_enabled AND chunk.embedding IS NOT NULL AND
-- include: served_by_model
-- include: searched_documents
ORDER BY (chunk.embedding <#> %(vector)s::vector) + 0, chunk.id LIMIT %(limit)s;

-- name: rank_filtered
-- Rank the chunks of the documents that match a filter by all their distances.
SELECT chunk.id, -(chunk.embedding <#> %(vector)s::vector) AS score FROM retrieval_chunk chunk
WHERE chunk.is_served AND chunk.is_enabled AND chunk.embedding IS NOT NULL AND chunk.document_id IN (
-- include: matching_documents
) AND
-- include: served_by_model
-- include: searched_documents
ORDER BY (chunk.embedding <#> %(vector)s::vector) + 0, chunk.id LIMIT %(limit)s;

-- name: rank_by_index
-- Rank the chunks of a dataset by the index of its vectors. `vector(512)` stands for the type of the index, and 512 for
-- the dimensions of the dataset's model. With a filter the scan goes on until enough chunks match, but ends after
-- `hnsw.max_scan_tuples`: then it may find fewer.
SELECT chunk.id, -(chunk.embedding <#> %(vector)s::vector) AS score FROM retrieval_chunk chunk
WHERE chunk.is_served AND chunk.is_enabled AND vector_dims(chunk.embedding) = 512
    AND (NOT %(is_filtered)s::boolean OR chunk.document_id IN (
-- include: matching_documents
    )) AND
-- include: served_by_model
-- include: searched_documents
ORDER BY (chunk.embedding::vector(512)) <#> %(vector)s::vector(512) LIMIT %(limit)s;

-- name: measure_similarity
-- The similarity of given chunks of a dataset, which the ranking by words found.
SELECT chunk.id, -(chunk.embedding <#> %(vector)s::vector) AS score FROM retrieval_chunk chunk
WHERE chunk.id = ANY(%(chunks)s::uuid[]) AND chunk.embedding IS NOT NULL AND
-- include: served_by_model

-- fragment: newest_vectors
-- Chunks of a dataset whose model has just changed, each with its vector of the new model wherever it is stored.
SELECT chunk.id, -(coalesce(next.embedding, chunk.embedding) <#> %(vector)s::vector) AS score
FROM retrieval_chunk chunk LEFT JOIN retrieval_nextvector next ON next.id = chunk.id
WHERE (next.embedding IS NOT NULL OR chunk.embedding IS NOT NULL) AND
-- include: served_by_model

-- name: rank_moving
-- Rank the chunks of a dataset whose new vectors are being moved to their chunks.
-- include: newest_vectors
-- include: searched_documents
AND chunk.is_served AND chunk.is_enabled
AND (NOT %(is_filtered)s::boolean OR chunk.document_id IN (
-- include: matching_documents
))
ORDER BY score DESC, chunk.id LIMIT %(limit)s;

-- name: measure_moving
-- As `measure_similarity`, while the new vectors are being moved to their chunks.
-- include: newest_vectors
AND chunk.id = ANY(%(chunks)s::uuid[]);

-- name: rank_by_text
-- Rank the chunks of a dataset by words. Any term may match; each weighs by its rarity in the dataset, one that no
-- chunk contains as if half a chunk did. The score is divided by that of a chunk whose text consists of all terms, so
-- that scores of different queries and datasets can be compared. A term is rare if at most one chunk in a hundred
-- contains it. The weights are those of D (text) to A (heading). A filter
-- is applied at the end, so that it changes no score. No index on `search`: `@@` is not leakproof, so under
-- row-level security the tenant's rows are filtered first in any case. OFFSET 0 keeps the scan of the chunks outside,
-- so that they are read once and not once per term. Each step is materialized, since the planner's estimates of their
-- sizes are too poor to choose the order.
WITH hit AS MATERIALIZED (
    SELECT chunk.id, chunk.document_id, term.number, ts_rank('{0.5, 0.5, 0.5, 0.8}', chunk.search, term.query) AS rank
    FROM retrieval_chunk chunk CROSS JOIN LATERAL (
        SELECT query, number FROM unnest(%(terms)s::tsquery[]) WITH ORDINALITY AS listed(query, number)
        WHERE chunk.search @@ query OFFSET 0
    ) AS term
    WHERE chunk.tenant_id = %(tenant_id)s AND chunk.dataset_id = %(dataset_id)s AND chunk.is_served
        AND chunk.is_enabled
-- include: searched_documents
        AND chunk.search @@ %(any_term)s::tsquery
), total AS MATERIALIZED (
    SELECT greatest(sum(CASE WHEN kept_chunks > 0 THEN kept_chunks ELSE chunks_done END), 1)::float AS chunks
    FROM retrieval_document
    WHERE tenant_id = %(tenant_id)s AND dataset_id = %(dataset_id)s AND is_enabled
), weight AS MATERIALIZED (
    SELECT number, count(hit.id) AS found, ln(1 + (SELECT chunks FROM total) / greatest(count(hit.id), 0.5)) AS idf
    FROM generate_series(1, cardinality(%(terms)s::tsquery[])) AS number LEFT JOIN hit USING (number) GROUP BY number
), asked AS MATERIALIZED (
    SELECT 0.5 * sum(idf) AS best,
        avg((found BETWEEN 1 AND greatest(1, 0.01 * (SELECT chunks FROM total)))::int)::float AS rare_share
    FROM weight
)
SELECT hit.id, sum(hit.rank * weight.idf) / (SELECT best FROM asked) AS score, (SELECT rare_share FROM asked)
FROM hit JOIN weight USING (number)
WHERE NOT %(is_filtered)s::boolean OR hit.document_id IN (
-- include: matching_documents
)
GROUP BY hit.id ORDER BY score DESC, hit.id LIMIT %(limit)s;
