-- name: group_errors
-- Group the newest errors of a range by tenant and fingerprint; ``buckets`` has the part of the range of each.
WITH recent AS (
    SELECT id, tenant_id, job_id, kind, error_type, error_message, error_fingerprint, at
    FROM scheduling_joberror
    WHERE id >= %(since)s AND id < %(until)s AND (%(tenant_id)s::uuid IS NULL OR tenant_id = %(tenant_id)s)
    ORDER BY id DESC LIMIT %(window)s
)
SELECT g.*, sum(g.count) OVER ()::bigint AS looked_at, l.kind, l.error_type AS type,
    l.error_message AS message, l.job_id, t.slug
FROM (
    SELECT tenant_id, error_fingerprint AS fingerprint, count(*) AS count, min(at) AS first_at, max(at) AS last_at,
        (array_agg(id ORDER BY id DESC))[1] AS last_id, array_agg(DISTINCT kind) AS kinds,
        array_agg(width_bucket(extract(epoch FROM at)::float8, %(from)s, %(to)s, %(buckets)s)) AS buckets
    FROM recent GROUP BY tenant_id, error_fingerprint
) g JOIN recent l ON l.id = g.last_id JOIN tenants_tenant t ON t.id = g.tenant_id
ORDER BY g.count DESC, g.last_id DESC LIMIT %(groups)s;
