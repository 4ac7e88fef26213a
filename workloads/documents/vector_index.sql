-- name: is_index_valid
-- Read whether an index is whole.
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%(name)s::text);

-- name: find_indexes
-- Read the names of the indexes of datasets.
SELECT relname FROM pg_class WHERE relkind = 'i' AND relname LIKE 'retrieval\_chunk\_hnsw\_%%';
