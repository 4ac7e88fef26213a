-- Reads of the duty that judges the last minutes.

-- name: has_late_counts
-- Whether executions that ended some seconds ago are not counted yet: then nothing is judged.
SELECT EXISTS (SELECT FROM scheduling_tally WHERE ended_at < %(as_of)s::timestamptz - interval '5 seconds');

-- name: recent_minutes
-- Counts by minute of the series that are judged.
SELECT l.* FROM (
-- include: series_minutes
) AS l JOIN (SELECT DISTINCT scope, tenant_id, name FROM scheduling_series_baseline) AS b
    ON b.scope = l.scope AND b.name = l.name AND b.tenant_id IS NOT DISTINCT FROM l.tenant_id;

-- name: usual_now
-- What is usual at an hour of the week for each measure of the series that had runs within a day.
SELECT b.scope, b.tenant_id, b.name, b.measure, b.below, b.above, b.hours,
    b.ranges[least(%(hour)s + 1, array_length(b.ranges, 1)):least(%(hour)s + 1, array_length(b.ranges, 1))] AS ranges
FROM scheduling_series_baseline b
WHERE EXISTS (SELECT FROM scheduling_series_summary s WHERE s.scope = b.scope AND s.name = b.name
    AND s.tenant_id IS NOT DISTINCT FROM b.tenant_id AND s.hour > %(as_of)s::timestamptz - interval '26 hours');
