-- name: group_errors
-- Group the newest errors of a range by tenant and fingerprint; ``counts`` are those in the parts ``buckets`` of it.
WITH recent AS (
    SELECT id, tenant_id, job_id, kind, error_type, error_message, error_fingerprint, at
    FROM scheduling_joberror
    WHERE id >= %(since)s AND id < %(until)s AND (%(tenant_id)s::uuid IS NULL OR tenant_id = %(tenant_id)s)
    ORDER BY id DESC LIMIT %(window)s
)
SELECT g.*, sum(g.count) OVER ()::bigint AS looked_at, l.kind, l.error_type AS type,
    l.error_message AS message, l.job_id, t.slug
FROM (
    SELECT tenant_id, fingerprint, sum(count)::bigint AS count, min(first_at) AS first_at, max(last_at) AS last_at,
        max(last_id)::uuid AS last_id, array_agg(DISTINCT kind) AS kinds, array_agg(bucket) AS buckets,
        array_agg(count) AS counts
    FROM (
        SELECT tenant_id, error_fingerprint AS fingerprint, kind, count(*) AS count, min(at) AS first_at,
            max(at) AS last_at, max(id::text) AS last_id,
            width_bucket(extract(epoch FROM at)::float8, %(from)s, %(to)s, %(buckets)s) AS bucket
        FROM recent GROUP BY tenant_id, error_fingerprint, kind, bucket
    ) p GROUP BY tenant_id, fingerprint
) g JOIN recent l ON l.id = g.last_id JOIN tenants_tenant t ON t.id = g.tenant_id
ORDER BY g.count DESC, g.last_id DESC LIMIT %(groups)s;
