-- fragment: sums
-- Measures of a group of rows that have measures themselves.
sum(completed)::bigint AS completed, sum(failed)::bigint AS failed, sum(dead_letters)::bigint AS dead_letters,
    sum(busy_us)::bigint AS busy_us,
-- include: sum_wait
AS wait,
-- include: sum_run
AS run

-- name: fold_series
-- Add what folds have counted since the last turn to the hours of series: kinds and queues of each tenant, and kinds,
-- queues and tenants of all; and to the objectives, by minute and hour. Return the number of rows.
WITH news AS (
    DELETE FROM scheduling_series_tally
    WHERE ctid = ANY (ARRAY(SELECT ctid FROM scheduling_series_tally LIMIT %(limit)s))
    RETURNING *
), line AS (
    SELECT tenant_id, kind, queue_id, date_trunc('hour', minute) AS hour,
    -- include: sums
    FROM news WHERE excuse IS NULL GROUP BY 1, 2, 3, 4
), series AS (
    INSERT INTO scheduling_series_hour AS r
        (scope, tenant_id, name, hour, completed, failed, dead_letters, busy_us, wait, run)
    SELECT CASE WHEN grouping(kind) = 0 THEN 'kind' WHEN grouping(q.name) = 0 THEN 'queue' ELSE 'tenant' END,
        CASE WHEN grouping(kind) = 0 OR grouping(q.name) = 0 THEN tenant_id END,
        coalesce(kind, q.name, tenant_id::text), hour,
    -- include: sums
    FROM line JOIN scheduling_queue q ON q.id = line.queue_id
    GROUP BY GROUPING SETS ((hour, kind), (hour, q.name), (hour, tenant_id), (hour, tenant_id, kind),
        (hour, tenant_id, q.name))
    ON CONFLICT (scope, tenant_id, hour, name) DO UPDATE SET
    -- include: add_minute
), waits AS (
    SELECT tenant_id, kind, minute, coalesce(excuse, '') AS excuse, wait FROM news
    WHERE EXISTS (SELECT FROM scheduling_objective)
),
-- include: counted
, minutes AS (
    INSERT INTO scheduling_objective_minute AS r (objective_id, tenant_id, minute, good, late, excused)
    SELECT id, tenant_id, at, good, late, excused FROM counted WHERE is_minute
    ON CONFLICT (objective_id, minute) DO UPDATE SET
    -- include: add_counts
), hours AS (
    INSERT INTO scheduling_objective_hour AS r (objective_id, tenant_id, hour, good, late, excused)
    SELECT id, tenant_id, at, good, late, excused FROM counted WHERE NOT is_minute
    ON CONFLICT (objective_id, hour) DO UPDATE SET
    -- include: add_counts
)
SELECT count(*) FROM news;

-- fragment: add_counts
-- Add counts of an objective to those of a stored row ``r``.
good = r.good + excluded.good, late = r.late + excluded.late, excused = (
    SELECT coalesce(jsonb_object_agg(key, n), '{}') FROM (
        SELECT key, sum(value::bigint) AS n
        FROM (SELECT * FROM jsonb_each_text(r.excused) UNION ALL
            SELECT * FROM jsonb_each_text(excluded.excused)) AS parts
        GROUP BY 1
    ) AS added
)

-- name: compare_objectives
-- Compare the counts of one hour of each objective with the minutes of kinds. A tenant may have had another tier then,
-- so objectives of tiers are left out, and so is an hour to which the next turn adds.
WITH waits AS (
    SELECT tenant_id, kind, minute, '' AS excuse, wait FROM scheduling_kind_minute
    WHERE minute >= %(hour)s AND minute < %(hour)s::timestamptz + interval '1 hour'
    UNION ALL
    SELECT tenant_id, kind, minute, excuse, wait FROM scheduling_excused_minute
    WHERE minute >= %(hour)s AND minute < %(hour)s::timestamptz + interval '1 hour'
),
-- include: counted
SELECT o.id, concat_ws('/', h.good, h.late, h.excused) AS rolled, concat_ws('/', c.good, c.late, c.excused) AS recounted
FROM scheduling_objective o LEFT JOIN counted c ON c.id = o.id AND NOT c.is_minute
    LEFT JOIN scheduling_objective_hour h ON h.objective_id = o.id AND h.hour = %(hour)s
WHERE o.tier_id IS NULL AND o.created_at < %(hour)s AND NOT EXISTS (SELECT FROM scheduling_series_tally t
        WHERE t.minute >= %(hour)s AND t.minute < %(hour)s::timestamptz + interval '1 hour')
    AND (h.good, h.late, h.excused) IS DISTINCT FROM (c.good, c.late, c.excused);

-- fragment: counted
-- Jobs of each objective by minute and by hour, from ``waits``: in time, late, and late but excused. Tenants without an
-- objective of their own are added up first.
of_tier AS (
    SELECT own.tenant_id, p.tier_id, w.kind, w.minute, w.excuse,
    -- include: sum_wait
    AS wait
    FROM waits w JOIN tenants_tenant t ON t.id = w.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
        LEFT JOIN (SELECT DISTINCT tenant_id FROM scheduling_objective) AS own ON own.tenant_id = w.tenant_id
    GROUP BY 1, 2, 3, 4, 5
), numbers AS (
    SELECT o.id, o.tenant_id, grouping(w.minute) = 0 AS is_minute,
        coalesce(w.minute, date_trunc('hour', w.minute)) AS at, w.excuse, sum(s.good)::bigint AS good,
        sum(s.late)::bigint AS late
    FROM scheduling_objective o JOIN of_tier w ON (o.tenant_id IS NULL OR o.tenant_id = w.tenant_id)
            AND o.kind IN ('', w.kind) AND (o.tier_id IS NULL OR o.tier_id = w.tier_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(n) FILTER (WHERE seconds <= o.target_seconds), 0) AS good,
                coalesce(sum(n) FILTER (WHERE seconds > o.target_seconds OR seconds IS NULL), 0) AS late
            FROM unnest(w.wait, %(bounds)s::float8[]) AS u(n, seconds)
        ) AS s
    GROUP BY GROUPING SETS ((o.id, o.tenant_id, w.minute, w.excuse),
        (o.id, o.tenant_id, date_trunc('hour', w.minute), w.excuse))
), counted AS (
    SELECT id, tenant_id, is_minute, at, coalesce(sum(good) FILTER (WHERE excuse = ''), 0)::bigint AS good,
        sum(CASE WHEN excuse = '' THEN late ELSE -late END)::bigint AS late,
        coalesce(jsonb_object_agg(excuse, late) FILTER (WHERE excuse <> '' AND late > 0), '{}') AS excused
    FROM numbers GROUP BY 1, 2, 3, 4 HAVING sum(good) + sum(late) > 0
)
