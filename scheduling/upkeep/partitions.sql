-- name: find_partitions
-- Read the partitions of a table with their bounds.
SELECT child.relname AS name, pg_get_expr(child.relpartbound, child.oid) AS bounds
FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_class child ON child.oid = i.inhrelid
WHERE parent.relname = %(table)s AND parent.relnamespace = 'public'::regnamespace;

-- name: estimate_rows
-- Estimate the rows of tables from the catalog: no role may read a partition past its parent, and a count would scan
-- every day.
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class WHERE relname = ANY (%(tables)s::text[]);
