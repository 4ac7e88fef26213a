-- name: lock_contents
-- Lock contents by their keys, always in one order.
SELECT pg_advisory_xact_lock(hashtextextended(key, %(content_lock)s::int))
FROM (SELECT unnest(%(keys)s::text[]) AS key ORDER BY 1) AS keys;
