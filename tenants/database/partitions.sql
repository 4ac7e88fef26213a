-- name: find_partitions_without
-- Read the partitions of a table that lack their part of an index of the table. Later partitions get it
-- with the table.
SELECT c.relname AS name, left(c.relname, 40) || '_' || left(md5(%(index)s::text), 8) AS own_name
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %(table)s::text::regclass AND NOT EXISTS (
    SELECT FROM pg_inherits child JOIN pg_index x ON x.indexrelid = child.inhrelid
    WHERE child.inhparent = %(index)s::text::regclass AND x.indrelid = c.oid
);

-- name: create_partition
-- Create a partition for a range of ids.
SELECT public.create_partition(%(table)s::text, %(from_id)s::uuid, %(to_id)s::uuid);

-- name: drop_partition
-- Drop a partition.
SELECT public.drop_partition(%(partition)s::text);
