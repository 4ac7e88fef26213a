-- name: stop_ticks
-- Take the locks of pools, whose ticks wait until this transaction ends.
SELECT pg_advisory_xact_lock(%(tick_lock)s::int, pool_id) FROM unnest(%(pool_ids)s::int[]) AS pool_id;
