-- name: compare_kinds
-- Compare the minutes of the kinds of tenants with a recount of history. One statement is one snapshot: rows that a
-- fold moves meanwhile are on one side or the other, never on both. An execution may end long after its id was created,
-- so its ids begin before the window.
WITH rolled AS (
    SELECT tenant_id, queue_id, kind, minute, sum(completed) AS completed, sum(failed) AS failed FROM (
        SELECT tenant_id, queue_id, kind, minute, completed, failed FROM scheduling_kind_minute WHERE
        -- include: in_page
        AND minute >= %(since)s AND minute < %(before)s AND (completed > 0 OR failed > 0)
        UNION ALL
        SELECT tenant_id, queue_id, kind, date_trunc('minute', ended_at),
            (outcome = ANY (%(completed)s))::int, (outcome = ANY (%(failed)s))::int
        FROM scheduling_tally WHERE
        -- include: in_page
        AND ended_at >= %(since)s AND ended_at < %(before)s AND outcome = ANY (%(ran)s)
    ) AS rows GROUP BY 1, 2, 3, 4
), recount AS (
    SELECT tenant_id, queue_id, kind, date_trunc('minute', ended_at) AS minute,
        count(*) FILTER (WHERE outcome = ANY (%(completed)s)) AS completed,
        count(*) FILTER (WHERE outcome = ANY (%(failed)s)) AS failed
    FROM scheduling_execution WHERE
    -- include: in_page
    AND id >= %(floor)s AND ended_at >= %(since)s AND ended_at < %(before)s
        AND outcome = ANY (%(ran)s)
    GROUP BY 1, 2, 3, 4
)
SELECT 'kind-minute' AS rollup, concat_ws(' ', tenant_id, queue_id, kind, minute) AS "row",
    concat_ws('/', r.completed, r.failed) AS rolled, concat_ws('/', c.completed, c.failed) AS recounted
FROM rolled r FULL JOIN recount c USING (tenant_id, queue_id, kind, minute)
WHERE (r.completed, r.failed) IS DISTINCT FROM (c.completed, c.failed);

-- name: compare_waits
-- Compare the waits of kinds, by the buckets of their histograms, with a recount of history.
WITH rolled AS (
    SELECT tenant_id, queue_id, kind, minute, bucket, sum(n) AS n FROM (
        SELECT tenant_id, queue_id, kind, minute, u.place - 1 AS bucket, u.n FROM scheduling_kind_minute
            CROSS JOIN unnest(wait) WITH ORDINALITY AS u(n, place) WHERE
        -- include: in_page
        AND minute >= %(since)s AND minute < %(before)s AND u.n > 0
        UNION ALL
        SELECT tenant_id, queue_id, kind, date_trunc('minute', ended_at),
            width_bucket(wait_us / 1e6::float8, %(bounds)s::float8[]), 1
        FROM scheduling_tally WHERE
        -- include: in_page
        AND ended_at >= %(since)s AND ended_at < %(before)s AND wait_us IS NOT NULL
    ) AS rows GROUP BY 1, 2, 3, 4, 5
), recount AS (
    SELECT tenant_id, queue_id, kind, date_trunc('minute', ended_at) AS minute,
        width_bucket(wait_us / 1e6::float8, %(bounds)s::float8[]) AS bucket, count(*) AS n
    FROM scheduling_execution WHERE
    -- include: in_page
    AND id >= %(floor)s AND ended_at >= %(since)s AND ended_at < %(before)s AND wait_us IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
)
SELECT 'kind-minute waits' AS rollup, concat_ws(' ', tenant_id, queue_id, kind, minute, bucket) AS "row",
    coalesce(r.n::text, '') AS rolled, coalesce(c.n::text, '') AS recounted
FROM rolled r FULL JOIN recount c USING (tenant_id, queue_id, kind, minute, bucket) WHERE r.n IS DISTINCT FROM c.n;

-- name: compare_excused
-- Compare the waits that are excused with a recount of history, since the first of the objectives.
WITH ended AS (
    SELECT true AS is_rolled, tenant_id, queue_id, kind, ended_at, started_at, wait_us FROM scheduling_tally WHERE
    -- include: in_page
    AND wait_us >= 60000000
    UNION ALL
    SELECT false, tenant_id, queue_id, kind, ended_at, started_at, wait_us FROM scheduling_execution WHERE
    -- include: in_page
    AND id >= %(floor)s AND wait_us >= 60000000
), part AS (
    SELECT is_rolled, tenant_id, queue_id, kind, date_trunc('minute', ended_at) AS minute, excuse, 1 AS n
    FROM ended CROSS JOIN LATERAL (
    -- include: excuse
    ) AS late WHERE ended_at >= %(since)s AND ended_at < %(before)s AND excuse IS NOT NULL
    UNION ALL
    SELECT true, tenant_id, queue_id, kind, minute, excuse, (SELECT sum(n) FROM unnest(wait) AS n)
    FROM scheduling_excused_minute WHERE
    -- include: in_page
    AND minute >= %(since)s AND minute < %(before)s
), compared AS (
    SELECT tenant_id, queue_id, kind, minute, excuse, sum(n) FILTER (WHERE is_rolled) AS rolled,
        sum(n) FILTER (WHERE NOT is_rolled) AS recounted
    FROM part WHERE minute >= (SELECT min(created_at) FROM scheduling_objective) GROUP BY 1, 2, 3, 4, 5
)
SELECT 'excused-minute' AS rollup, concat_ws(' ', tenant_id, queue_id, kind, minute, excuse) AS "row",
    coalesce(rolled::text, '') AS rolled, coalesce(recounted::text, '') AS recounted
FROM compared WHERE rolled IS DISTINCT FROM recounted;

-- name: compare_tenants
-- Compare the minutes of tenants with those of their kinds. One fold writes both, so neither is ahead of the other.
WITH kind AS (
    SELECT tenant_id, queue_id, minute, sum(completed) AS completed, sum(failed) AS failed,
        sum(dead_letters) AS dead_letters, sum(busy_us) AS busy_us
    FROM scheduling_kind_minute WHERE
    -- include: in_page
    AND minute >= %(since)s AND minute < %(before)s GROUP BY 1, 2, 3
), tenant AS (
    SELECT tenant_id, queue_id, minute, completed, failed, dead_letters, busy_us FROM scheduling_tenant_minute WHERE
    -- include: in_page
    AND minute >= %(since)s AND minute < %(before)s
)
SELECT 'tenant-minute' AS rollup, concat_ws(' ', tenant_id, queue_id, minute) AS "row",
    concat_ws('/', t.completed, t.failed, t.busy_us) AS rolled,
    concat_ws('/', k.completed, k.failed, k.busy_us) AS recounted
FROM tenant t FULL JOIN kind k USING (tenant_id, queue_id, minute)
WHERE (t.completed, t.failed, t.dead_letters, t.busy_us)
    IS DISTINCT FROM (k.completed, k.failed, k.dead_letters, k.busy_us);

-- name: compare_busy
-- Compare the slot time and the run times of tenants with a recount of history. Slot time of a minute comes from all
-- executions that ran in it, even if they ended later. Histograms of run times count executions that ran.
WITH used AS (
    SELECT true AS is_rolled, tenant_id, queue_id, started_at, measured_us FROM scheduling_tally WHERE
    -- include: in_page
    AND measured_us > 0 AND ended_at >= %(since)s AND started_at < %(before)s
    UNION ALL
    SELECT false, tenant_id, queue_id, started_at, measured_us FROM scheduling_execution WHERE
    -- include: in_page
    AND id >= %(floor)s AND measured_us > 0 AND ended_at >= %(since)s AND started_at < %(before)s
), span AS (
    SELECT is_rolled, tenant_id, queue_id, (extract(epoch FROM started_at) * 1000000)::bigint AS from_us,
        (extract(epoch FROM started_at) * 1000000)::bigint + measured_us AS to_us
    FROM used
), part AS (
    SELECT is_rolled, tenant_id, queue_id, to_timestamp(n * 60) AS minute,
        least(to_us, (n + 1) * 60000000) - greatest(from_us, n * 60000000) AS busy_us
    FROM span CROSS JOIN LATERAL generate_series(from_us / 60000000, (to_us - 1) / 60000000) AS n
    UNION ALL
    SELECT true, tenant_id, queue_id, minute, busy_us FROM scheduling_tenant_minute WHERE
    -- include: in_page
    AND minute >= %(since)s AND minute < %(before)s AND busy_us > 0
), compared AS (
    SELECT tenant_id, queue_id, minute, coalesce(sum(busy_us) FILTER (WHERE is_rolled), 0) AS rolled,
        coalesce(sum(busy_us) FILTER (WHERE NOT is_rolled), 0) AS recounted
    FROM part WHERE minute >= %(since)s AND minute < %(before)s GROUP BY 1, 2, 3
)
SELECT 'tenant-minute busy' AS rollup, concat_ws(' ', tenant_id, queue_id, minute) AS "row", rolled::text AS rolled,
    recounted::text AS recounted
FROM compared WHERE rolled <> recounted
UNION ALL
SELECT 'tenant-minute runs', concat_ws(' ', tenant_id, queue_id, minute), (SELECT sum(n) FROM unnest(run) AS n)::text,
    (completed + failed)::text
FROM scheduling_tenant_minute WHERE
-- include: in_page
AND minute >= %(since)s AND minute < %(before)s
    AND (SELECT sum(n) FROM unnest(run) AS n) <> completed + failed;

-- name: compare_queues
-- Compare the minutes of queues with those of tenants. One fold writes both, so neither is ahead of the other.
WITH tenant AS (
    SELECT queue_id, minute, sum(completed) AS completed, sum(failed) AS failed, sum(dead_letters) AS dead_letters,
        sum(busy_us) AS busy_us
    FROM scheduling_tenant_minute WHERE minute >= %(since)s AND minute < %(before)s GROUP BY 1, 2
), queue AS (
    SELECT queue_id, minute, completed, failed, dead_letters, busy_us
    FROM scheduling_queue_minute WHERE minute >= %(since)s AND minute < %(before)s
)
SELECT 'queue-minute' AS rollup, concat_ws(' ', queue_id, minute) AS "row",
    concat_ws('/', q.completed, q.failed, q.busy_us) AS rolled,
    concat_ws('/', t.completed, t.failed, t.busy_us) AS recounted
FROM queue q FULL JOIN tenant t USING (queue_id, minute)
WHERE (q.completed, q.failed, q.dead_letters, q.busy_us)
    IS DISTINCT FROM (t.completed, t.failed, t.dead_letters, t.busy_us);

-- name: read_last_hour
-- Read the end of the last hour whose executions are all committed.
SELECT date_trunc('hour', now() - make_interval(secs => %(commit_seconds)s));
