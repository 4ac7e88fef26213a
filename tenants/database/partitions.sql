-- fragment: create_partition_function
-- Create the function that makes a partition; it runs once, in a migration. SECURITY DEFINER runs as the owner, so the
-- search path is fixed and every name is checked and quoted.
CREATE FUNCTION public.create_partition(parent text, from_id uuid, to_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition text := left(parent, 48) || '_' || left(replace(from_id::text, '-', ''), 12);
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = parent AND c.relkind = 'p'
    ) THEN
        RAISE EXCEPTION 'public.% is not a partitioned table', parent USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, parent, from_id, to_id);
    RETURN partition;
END $$

-- fragment: drop_partition_function
-- Create the function that drops a partition.
CREATE FUNCTION public.drop_partition(partition text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = partition AND c.relispartition
          AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
    ) THEN
        RAISE EXCEPTION 'public.% is not a partition that can be dropped', partition
            USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('DROP TABLE public.%I', partition);
END $$

-- name: find_partitions_without
-- Read the partitions of a table that have no index of theirs under an index of the table. Later partitions get theirs
-- with the table.
SELECT c.relname AS name, left(c.relname, 40) || '_' || left(md5(%(index)s::text), 8) AS own_name
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %(table)s::text::regclass AND NOT EXISTS (
    SELECT FROM pg_inherits child JOIN pg_index x ON x.indexrelid = child.inhrelid
    WHERE child.inhparent = %(index)s::text::regclass AND x.indrelid = c.oid
);

-- name: create_partition
-- Make a partition for the ids of a span.
SELECT public.create_partition(%(table)s::text, %(from_id)s::uuid, %(to_id)s::uuid);

-- name: drop_partition
-- Drop a partition.
SELECT public.drop_partition(%(partition)s::text);
