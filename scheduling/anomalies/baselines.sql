-- Summaries of series by the hour, and the series to learn.

-- name: minutes_of_hour
-- Counts by minute of the series with the most runs in the last day, those without a tenant first.
WITH chosen AS (
    SELECT scope, CASE WHEN scope = 'tenant' THEN name::uuid ELSE tenant_id END AS tenant_id, name
    FROM scheduling_series_hour
    WHERE hour > %(since)s::timestamptz - interval '1 day' AND hour <= %(since)s
        AND (tenant_id IS NULL AND scope IN ('kind', 'queue', 'tenant') OR tenant_id IS NOT NULL AND scope = 'kind')
    GROUP BY scope, tenant_id, name ORDER BY (tenant_id IS NULL) DESC, sum(completed + failed) DESC LIMIT %(series)s
)
SELECT l.* FROM (
-- include: series_minutes
) AS l JOIN chosen c ON c.scope = l.scope AND c.name = l.name AND c.tenant_id IS NOT DISTINCT FROM l.tenant_id
ORDER BY l.scope, l.tenant_id, l.name;

-- name: series_to_learn
-- Series whose baseline is computed again: every day, or every hour while their history is short.
SELECT s.scope, s.tenant_id, s.name
FROM (SELECT scope, tenant_id, name FROM scheduling_series_summary GROUP BY 1, 2, 3
        HAVING min(hour) <= %(until)s::timestamptz - interval '1 day' AND max(hour) > %(until)s::timestamptz - interval '1 day') AS s
    LEFT JOIN scheduling_series_baseline b ON b.scope = s.scope AND b.name = s.name
        AND b.tenant_id IS NOT DISTINCT FROM s.tenant_id AND b.measure = 'rate'
WHERE b.learned_at IS NULL
    OR b.learned_at <= %(now)s::timestamptz - CASE WHEN b.hours < %(weekly)s THEN interval '1 hour' ELSE interval '1 day' END
LIMIT %(limit)s;
