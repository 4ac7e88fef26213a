-- name: is_index_valid
-- Return whether an index is valid.
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%(name)s::text);

-- name: find_indexes
-- Return the names of the indexes of datasets.
SELECT relname FROM pg_class WHERE relkind = 'i' AND relname LIKE 'retrieval\_chunk\_hnsw\_%%';
