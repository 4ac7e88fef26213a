-- name: write_minutes
-- Store the last and the worst value of each object in the current minute; rows that they leave unchanged are not locked.
INSERT INTO scheduling_measure_minute AS m (measure, object_key, minute, tenant_id, label, parents, worst, last)
SELECT DISTINCT ON (r.measure, r.object_key) r.measure, r.object_key, date_trunc('minute', now()), r.tenant_id, r.label,
    r.parents, r.value, r.value
FROM jsonb_to_recordset(%(rows)s) AS r(
    measure text, object_key text, tenant_id uuid, label text, parents text[], value float8
)
WHERE NOT EXISTS (
    SELECT FROM scheduling_measure_minute s
    WHERE s.measure = r.measure AND s.minute = date_trunc('minute', now()) AND s.object_key = r.object_key AND s.last = r.value
)
ORDER BY r.measure, r.object_key
ON CONFLICT (measure, minute, object_key) DO UPDATE SET last = excluded.last,
    worst = CASE WHEN m.measure = ANY(%(low_bad)s::text[]) THEN least(m.worst, excluded.worst)
        ELSE greatest(m.worst, excluded.worst) END;
