-- name: read_parents
-- The texts of the parents of given chunks. A chunk that was added by hand follows the one whose location it has, so
-- one behind the last chunk of a parent is less than one place away. The delimiter of each text stands before it.
SELECT child.id, string_agg(chunk.text, coalesce(chunk.location ->> 'joint', E'\n')
    ORDER BY coalesce(chunk.place, chunk.position::float)) AS text
FROM unnest(%(ids)s::uuid[], %(documents)s::uuid[], %(firsts)s::float[], %(lasts)s::float[])
    AS child(id, document_id, first, last)
JOIN retrieval_chunk chunk ON chunk.tenant_id = %(tenant_id)s AND chunk.document_id = child.document_id
    AND chunk.is_served AND coalesce(chunk.place, chunk.position::float) BETWEEN child.first AND child.last + 1
    AND chunk.location -> 'parent' = jsonb_build_array(child.first, child.last)
WHERE chunk.is_enabled
GROUP BY child.id;
