-- name: find_parts
-- Find the groups of single tenants by one index probe each.
WITH RECURSIVE part AS (
    (SELECT tenant_id, kind, error_fingerprint FROM scheduling_deadletter
    WHERE requeued_at IS NULL AND (%(tenant_id)s::uuid IS NULL OR tenant_id = %(tenant_id)s)
    ORDER BY tenant_id, kind, error_fingerprint LIMIT 1)
    UNION ALL
    SELECT n.tenant_id, n.kind, n.error_fingerprint
    FROM part p CROSS JOIN LATERAL (
        (SELECT d.tenant_id, d.kind, d.error_fingerprint FROM scheduling_deadletter d
        WHERE d.requeued_at IS NULL AND d.tenant_id = p.tenant_id
            AND (d.kind, d.error_fingerprint) > (p.kind, p.error_fingerprint)
        ORDER BY d.kind, d.error_fingerprint LIMIT 1)
        UNION ALL
        (SELECT d.tenant_id, d.kind, d.error_fingerprint FROM scheduling_deadletter d
        WHERE d.requeued_at IS NULL AND d.tenant_id > p.tenant_id AND %(tenant_id)s::uuid IS NULL
        ORDER BY d.tenant_id, d.kind, d.error_fingerprint LIMIT 1)
        LIMIT 1
    ) n
)
SELECT tenant_id, kind, error_fingerprint AS fingerprint FROM part LIMIT %(parts)s;

-- fragment: ends_of_part
-- The letters of part ``p`` in a span. Compared as rows within the tenant, a part's ends are found by that one index
-- alone, however rare the planner believes a cause to be. The tenant is not part of the row, because an index scan
-- starts where its first columns are equal.
FROM scheduling_deadletter d
WHERE d.requeued_at IS NULL AND d.tenant_id = p.tenant_id
    AND (d.kind, d.error_fingerprint, d.id) >= (p.kind, p.error_fingerprint, %(since)s)
    AND (d.kind, d.error_fingerprint, d.id) < (p.kind, p.error_fingerprint, %(until)s)

-- name: describe_parts
-- Count the letters of parts and read the first and the last of each.
SELECT p.tenant_id, t.slug, p.kind, p.error_fingerprint AS fingerprint, c.count, first.created_at AS first_at,
    last.created_at AS last_at, last.id AS last_id, last.job_id, last.error_type, last.error_message
FROM unnest(%(tenants)s::uuid[], %(kinds)s::text[], %(fingerprints)s::text[])
        AS p(tenant_id, kind, error_fingerprint)
    JOIN tenants_tenant t ON t.id = p.tenant_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS count FROM (
            SELECT
            -- include: ends_of_part
            ORDER BY d.kind, d.error_fingerprint, d.id LIMIT %(counted)s + 1
        ) bounded
    ) c
    CROSS JOIN LATERAL (
        SELECT d.created_at
        -- include: ends_of_part
        ORDER BY d.kind, d.error_fingerprint, d.id LIMIT 1
    ) first
    CROSS JOIN LATERAL (
        SELECT d.id, d.job_id, d.created_at, d.error_type, d.error_message
        -- include: ends_of_part
        ORDER BY d.kind DESC, d.error_fingerprint DESC, d.id DESC LIMIT 1
    ) last;
