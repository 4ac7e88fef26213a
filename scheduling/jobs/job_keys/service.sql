-- name: lock_keys
-- Lock idempotency keys of a tenant for this transaction; return those that another transaction has locked.
SELECT key FROM unnest(%(keys)s::text[]) AS key
WHERE NOT pg_try_advisory_xact_lock(hashtextextended(%(tenant_id)s::text || ':' || key, %(key_lock)s));

-- name: find_repeated
-- Read the jobs of a tenant that have one of the keys.
SELECT id FROM scheduling_job WHERE tenant_id = %(tenant_id)s AND idempotency_key = ANY(%(keys)s::text[]);

-- name: find_holders
-- Read which jobs of a tenant have unique keys.
SELECT u.kind, u.unique_key, u.job_id
FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS w(kind, unique_key)
    JOIN scheduling_unique_key u
        ON u.tenant_id = %(tenant_id)s AND u.kind = w.kind AND u.unique_key = w.unique_key;

-- name: claim_keys
-- Give free unique keys to jobs; return those that got theirs. A key that another transaction is giving or freeing is
-- waited for, in one order, so that two submissions of several keys do not deadlock.
INSERT INTO scheduling_unique_key (tenant_id, kind, unique_key, job_id)
SELECT %(tenant_id)s, w.kind, w.unique_key, w.job_id
FROM unnest(%(kinds)s::text[], %(keys)s::text[], %(job_ids)s::uuid[]) AS w(kind, unique_key, job_id)
ORDER BY w.kind, w.unique_key
ON CONFLICT DO NOTHING
RETURNING job_id;
