-- fragment: counted
-- Jobs of each objective by minute and, without a minute, in the whole hour: in time, late, and late but excused.
waits AS (
    SELECT own.tenant_id, p.tier_id, c.kind, c.minute, c.excuse,
    -- include: sum_wait
    AS wait
    FROM (
        SELECT tenant_id, kind, minute, '' AS excuse, wait FROM scheduling_kind_minute
        WHERE minute >= %(hour)s AND minute < %(hour)s::timestamptz + interval '1 hour'
        UNION ALL
        SELECT tenant_id, kind, minute, excuse, wait FROM scheduling_excused_minute
        WHERE minute >= %(hour)s AND minute < %(hour)s::timestamptz + interval '1 hour'
    ) AS c JOIN tenants_tenant t ON t.id = c.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
        LEFT JOIN (SELECT DISTINCT tenant_id FROM scheduling_objective) AS own ON own.tenant_id = c.tenant_id
    GROUP BY 1, 2, 3, 4, 5
), numbers AS (
    SELECT o.id, o.tenant_id, w.minute, w.excuse, sum(s.good)::bigint AS good, sum(s.late)::bigint AS late
    FROM scheduling_objective o JOIN waits w ON (o.tenant_id IS NULL OR o.tenant_id = w.tenant_id)
            AND o.kind IN ('', w.kind) AND (o.tier_id IS NULL OR o.tier_id = w.tier_id)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(n) FILTER (WHERE seconds <= o.target_seconds), 0) AS good,
                coalesce(sum(n) FILTER (WHERE seconds > o.target_seconds OR seconds IS NULL), 0) AS late
            FROM unnest(w.wait, %(bounds)s::float8[]) AS u(n, seconds)
        ) AS s
    GROUP BY GROUPING SETS ((o.id, o.tenant_id, w.minute, w.excuse), (o.id, o.tenant_id, w.excuse))
), counted AS (
    SELECT id, tenant_id, minute, coalesce(sum(good) FILTER (WHERE excuse = ''), 0)::bigint AS good,
        sum(CASE WHEN excuse = '' THEN late ELSE -late END)::bigint AS late,
        coalesce(jsonb_object_agg(excuse, late) FILTER (WHERE excuse <> '' AND late > 0), '{}') AS excused
    FROM numbers GROUP BY 1, 2, 3 HAVING sum(good) + sum(late) > 0
)

-- name: count_hour
-- Count the jobs of each objective in one hour again.
WITH
-- include: counted
, minutes AS (
    INSERT INTO scheduling_objective_minute AS r (objective_id, tenant_id, minute, good, late, excused)
    SELECT id, tenant_id, minute, good, late, excused FROM counted WHERE minute IS NOT NULL
    ON CONFLICT (objective_id, minute) DO UPDATE SET
    -- include: counts
)
INSERT INTO scheduling_objective_hour AS r (objective_id, tenant_id, hour, good, late, excused)
SELECT id, tenant_id, %(hour)s::timestamptz, good, late, excused FROM counted WHERE minute IS NULL
ON CONFLICT (objective_id, hour) DO UPDATE SET
-- include: counts

-- name: compare_hour
-- Compare the counts of one hour with its minutes. A tenant may have had another tier then, so those are left out.
WITH
-- include: counted
SELECT o.id, concat_ws('/', h.good, h.late, h.excused) AS stored, concat_ws('/', c.good, c.late, c.excused) AS recounted
FROM scheduling_objective o LEFT JOIN counted c ON c.id = o.id AND c.minute IS NULL
    LEFT JOIN scheduling_objective_hour h ON h.objective_id = o.id AND h.hour = %(hour)s
WHERE o.tier_id IS NULL AND o.created_at < %(hour)s
    AND (h.good, h.late, h.excused) IS DISTINCT FROM (c.good, c.late, c.excused);

-- fragment: counts
-- Replace the counts of a stored row.
good = excluded.good, late = excluded.late, excused = excluded.excused
