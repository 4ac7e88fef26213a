-- name: count_causes
-- Count a page of errors by tenant and fingerprint, along the primary key.
WITH page AS MATERIALIZED (
    SELECT id, tenant_id, error_fingerprint AS fingerprint, kind, error_message, job_id, at
    FROM scheduling_joberror WHERE id > %(since)s AND id < %(until)s ORDER BY id LIMIT %(page)s
), counted AS (
    INSERT INTO scheduling_alert_cause AS c (tenant_id, fingerprint, kind, message, job_id, first_at, last_at, count)
    SELECT tenant_id, fingerprint, (array_agg(kind ORDER BY id))[1], 
        -- A sealed text is not copied: alerts are sent, and stored in plain.
        (array_agg(CASE WHEN error_message LIKE '$sealed:%%' THEN '' ELSE left(error_message, 200) END ORDER BY id))[1],
        (array_agg(job_id ORDER BY id))[1], min(at), max(at), count(*)
    FROM page WHERE fingerprint <> '' GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (tenant_id, fingerprint) DO UPDATE
    SET last_at = greatest(c.last_at, excluded.last_at), count = c.count + excluded.count
)
SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last_id;
