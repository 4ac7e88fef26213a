-- name: create_partition
-- Create a partition for a range of ids.
SELECT public.create_partition(%(table)s::text, %(from_id)s::uuid, %(to_id)s::uuid);

-- name: drop_partition
-- Drop a partition.
SELECT public.drop_partition(%(partition)s::text);
