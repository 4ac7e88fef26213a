-- name: append_logs
-- Store the log lines that fit, and count the others. All that was offered counts towards the cap, so a line that does
-- not fit excludes every later one. Jobs are written in the order of their ids, so that two flushes of the same jobs do
-- not deadlock.
WITH given AS (
    SELECT w.*, coalesce((%(levels)s::jsonb ->> (
        SELECT s.stored ->> %(level_key)s FROM tenants_tenantsettings s WHERE s.tenant_id = w.tenant_id
    ))::int, %(default_level)s) AS lowest, EXISTS (
        SELECT FROM scheduling_log_volume v
        WHERE v.tenant_id = w.tenant_id AND v.day = (now() AT TIME ZONE 'UTC')::date AND v.bytes >= v.allowed
    ) AS is_over
    FROM jsonb_to_recordset(%(writes)s::jsonb)
        AS w(job_id uuid, tenant_id uuid, execution_id uuid, attempt int, dropped int, full_line_id uuid)
), line AS (
    -- Over the tenant's volume of the day, a line that is no error counts as one that does not fit.
    SELECT l.*, sum(l.size) OVER (PARTITION BY l.job_id ORDER BY l.id)
        + CASE WHEN g.is_over AND l.level < %(kept_level)s THEN %(cap)s ELSE 0 END AS upto
    FROM jsonb_to_recordset(%(lines)s::jsonb)
        AS l(job_id uuid, id uuid, level int, message text, fields jsonb, sealed jsonb, at timestamptz,
            size bigint)
        JOIN given g ON g.job_id = l.job_id
    WHERE l.level >= g.lowest
), offer AS (
    SELECT g.*, coalesce(l.bytes, 0)::bigint AS bytes, coalesce(l.lines, 0) AS lines, coalesce(l.beyond, 0) AS beyond
    FROM given g LEFT JOIN (
        SELECT job_id, sum(size) AS bytes, count(*) AS lines, count(*) FILTER (WHERE upto > %(cap)s) AS beyond
        FROM line GROUP BY job_id
    ) l ON l.job_id = g.job_id
), tally AS (
    INSERT INTO scheduling_joblogtally AS t (job_id, tenant_id, offered_bytes, dropped_lines, full_line_id)
    SELECT job_id, tenant_id, bytes, dropped + beyond, CASE WHEN bytes > %(cap)s THEN full_line_id END
    FROM offer WHERE lines + dropped > 0 ORDER BY job_id
    ON CONFLICT (job_id) DO UPDATE SET
        offered_bytes = t.offered_bytes + excluded.offered_bytes,
        dropped_lines = t.dropped_lines + (SELECT o.dropped FROM offer o WHERE o.job_id = excluded.job_id)
            + (SELECT count(*) FROM line l WHERE l.job_id = excluded.job_id AND t.offered_bytes + l.upto > %(cap)s),
        full_line_id = coalesce(t.full_line_id, CASE WHEN t.offered_bytes + excluded.offered_bytes > %(cap)s
            THEN (SELECT o.full_line_id FROM offer o WHERE o.job_id = excluded.job_id) END)
    RETURNING job_id, offered_bytes, full_line_id
), stored AS (
    INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, sealed, at)
    SELECT l.id, o.tenant_id, o.job_id, o.execution_id, o.attempt, l.level, l.message, l.fields, l.sealed, l.at
    FROM line l JOIN tally t USING (job_id) JOIN offer o USING (job_id)
    WHERE t.offered_bytes - o.bytes + l.upto <= %(cap)s
    -- A flush whose commit succeeded although its answer was lost is repeated.
    ON CONFLICT DO NOTHING
), full_line AS (
    INSERT INTO scheduling_joblog (id, tenant_id, job_id, execution_id, attempt, level, message, fields, at)
    SELECT g.full_line_id, g.tenant_id, g.job_id, g.execution_id, g.attempt, %(full_level)s, %(full)s, '{}',
        clock_timestamp()
    FROM given g JOIN tally t USING (job_id) WHERE t.full_line_id = g.full_line_id
)
SELECT g.job_id, g.lowest, coalesce(t.offered_bytes > %(cap)s, false) AS is_full
FROM given g LEFT JOIN tally t ON t.job_id = g.job_id;
