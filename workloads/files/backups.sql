-- name: read_contents
-- Return hash, size and keys of each content; tenants that store the same bytes have a key each.
SELECT sha256, size_bytes, min(key) AS key, array_agg(key ORDER BY key) AS keys
FROM files_content GROUP BY sha256, size_bytes ORDER BY sha256;
