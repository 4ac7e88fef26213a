-- name: lock_keys
-- Lock idempotency keys of a tenant for this transaction; return those that another transaction has locked.
SELECT key FROM unnest(%(keys)s::text[]) AS key
WHERE NOT pg_try_advisory_xact_lock(hashtextextended(%(tenant_id)s::text || ':' || key, %(key_lock)s));

-- name: find_repeated
-- Read the jobs of a tenant that have one of the keys.
SELECT id FROM scheduling_job WHERE tenant_id = %(tenant_id)s AND idempotency_key = ANY(%(keys)s::text[]);
