-- fragment: wait_histogram
-- Waits until the start by the buckets of scheduling.statistics.histogram.
ARRAY[count(*) FILTER (WHERE wait_bucket = 0), count(*) FILTER (WHERE wait_bucket = 1),
    count(*) FILTER (WHERE wait_bucket = 2), count(*) FILTER (WHERE wait_bucket = 3),
    count(*) FILTER (WHERE wait_bucket = 4), count(*) FILTER (WHERE wait_bucket = 5),
    count(*) FILTER (WHERE wait_bucket = 6), count(*) FILTER (WHERE wait_bucket = 7),
    count(*) FILTER (WHERE wait_bucket = 8), count(*) FILTER (WHERE wait_bucket = 9),
    count(*) FILTER (WHERE wait_bucket = 10), count(*) FILTER (WHERE wait_bucket = 11),
    count(*) FILTER (WHERE wait_bucket = 12), count(*) FILTER (WHERE wait_bucket = 13),
    count(*) FILTER (WHERE wait_bucket = 14), count(*) FILTER (WHERE wait_bucket = 15),
    count(*) FILTER (WHERE wait_bucket = 16), count(*) FILTER (WHERE wait_bucket = 17),
    count(*) FILTER (WHERE wait_bucket = 18)]::int[]

-- fragment: run_histogram
-- Run times by the buckets of scheduling.statistics.histogram.
ARRAY[count(*) FILTER (WHERE run_bucket = 0), count(*) FILTER (WHERE run_bucket = 1),
    count(*) FILTER (WHERE run_bucket = 2), count(*) FILTER (WHERE run_bucket = 3),
    count(*) FILTER (WHERE run_bucket = 4), count(*) FILTER (WHERE run_bucket = 5),
    count(*) FILTER (WHERE run_bucket = 6), count(*) FILTER (WHERE run_bucket = 7),
    count(*) FILTER (WHERE run_bucket = 8), count(*) FILTER (WHERE run_bucket = 9),
    count(*) FILTER (WHERE run_bucket = 10), count(*) FILTER (WHERE run_bucket = 11),
    count(*) FILTER (WHERE run_bucket = 12), count(*) FILTER (WHERE run_bucket = 13),
    count(*) FILTER (WHERE run_bucket = 14), count(*) FILTER (WHERE run_bucket = 15),
    count(*) FILTER (WHERE run_bucket = 16), count(*) FILTER (WHERE run_bucket = 17),
    count(*) FILTER (WHERE run_bucket = 18)]::int[]

-- fragment: measures
-- Measures of a group of rows.
sum(completed) AS completed, sum(failed) AS failed, sum(dead_letters) AS dead_letters, sum(busy_us) AS busy_us,
-- include: wait_histogram
AS wait,
-- include: run_histogram
AS run

-- name: fold_tallies
-- Fold tallies into the rollups by minute and hour; return their number. Slot time is spread over the minutes of its
-- use: minute n reaches from n to n + 1 times 60,000,000 µs.
WITH deleted_tallies AS (
    DELETE FROM scheduling_tally WHERE ctid = ANY (ARRAY(SELECT ctid FROM scheduling_tally LIMIT %(limit)s))
    RETURNING *
), ended AS (
    SELECT tenant_id, queue_id, kind, worker_id, measured_us, wait_us, started_at, is_dead::int AS dead_letters,
        coalesce(result_bytes, 0) AS result_bytes,
        date_trunc('minute', ended_at) AS minute, extract(epoch FROM date_trunc('minute', ended_at))::bigint / 60 AS n,
        (extract(epoch FROM started_at) * 1000000)::bigint AS from_us,
        (extract(epoch FROM started_at) * 1000000)::bigint + measured_us AS to_us,
        (outcome = ANY (%(completed)s))::int AS completed, (outcome = ANY (%(failed)s))::int AS failed,
        CASE WHEN wait_us IS NOT NULL THEN width_bucket(wait_us / 1e6::float8, %(bounds)s::float8[]) END AS wait_bucket,
        CASE WHEN outcome = ANY (%(ran)s)
            THEN width_bucket(measured_us / 1e6::float8, %(bounds)s::float8[]) END AS run_bucket
    FROM deleted_tallies
), part AS (
    SELECT tenant_id, queue_id, kind, worker_id, minute, completed, failed, dead_letters, wait_bucket, run_bucket,
        result_bytes,
        CASE WHEN measured_us > 0
            THEN greatest(0, least(to_us, (n + 1) * 60000000) - greatest(from_us, n * 60000000)) ELSE 0 END AS busy_us
    FROM ended
    UNION ALL
    -- Few executions use more minutes than that of their end.
    SELECT tenant_id, queue_id, kind, worker_id, to_timestamp(used * 60), 0, 0, 0, NULL, NULL, 0,
        least(to_us, (used + 1) * 60000000) - greatest(from_us, used * 60000000)
    FROM ended CROSS JOIN LATERAL generate_series(from_us / 60000000, (to_us - 1) / 60000000) AS used
    WHERE measured_us > 0 AND (from_us < n * 60000000 OR to_us > (n + 1) * 60000000) AND used <> n
), tenant AS (
    INSERT INTO scheduling_tenant_minute AS r
        (tenant_id, minute, queue_id, completed, failed, dead_letters, busy_us, wait, run)
    SELECT tenant_id, minute, queue_id,
    -- include: measures
    FROM part GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, minute, queue_id) DO UPDATE SET
    -- include: add_minute
), queue AS (
    INSERT INTO scheduling_queue_minute AS r (minute, queue_id, completed, failed, dead_letters, busy_us, wait, run)
    SELECT minute, queue_id,
    -- include: measures
    FROM part GROUP BY 1, 2
    ON CONFLICT (minute, queue_id) DO UPDATE SET
    -- include: add_minute
), line AS (
    SELECT tenant_id, minute, kind, queue_id,
    -- include: measures
    , sum(result_bytes) AS result_bytes FROM part GROUP BY 1, 2, 3, 4
), news AS (
    INSERT INTO scheduling_series_tally
        (tenant_id, minute, kind, queue_id, completed, failed, dead_letters, busy_us, wait, run)
    SELECT tenant_id, minute, kind, queue_id, completed, failed, dead_letters, busy_us, wait, run FROM line
), kind AS (
    INSERT INTO scheduling_kind_minute AS r
        (tenant_id, minute, kind, queue_id, completed, failed, dead_letters, busy_us, wait, run, result_bytes)
    SELECT * FROM line
    ON CONFLICT (tenant_id, minute, kind, queue_id) DO UPDATE SET result_bytes = r.result_bytes + excluded.result_bytes,
    -- include: add_minute
), worker AS (
    INSERT INTO scheduling_series_hour AS r (scope, name, hour, completed, failed, dead_letters, busy_us, wait, run)
    -- A wait until the first start says nothing about the worker.
    SELECT 'worker', worker_id::text, date_trunc('hour', minute), sum(completed), sum(failed), sum(dead_letters),
        sum(busy_us), array_fill(0, ARRAY[19]),
    -- include: run_histogram
    FROM part WHERE worker_id IS NOT NULL GROUP BY 2, 3
    ON CONFLICT (scope, tenant_id, hour, name) DO UPDATE SET
    -- include: add_minute
), late AS (
    -- The shortest target is a minute.
    SELECT tenant_id, minute, kind, queue_id, excuse,
    -- include: wait_histogram
    AS wait FROM ended CROSS JOIN LATERAL (
    -- include: excuse
    ) AS found
    WHERE wait_us >= 60000000 AND excuse IS NOT NULL AND EXISTS (SELECT FROM scheduling_objective)
    GROUP BY 1, 2, 3, 4, 5
), late_news AS (
    INSERT INTO scheduling_series_tally (tenant_id, minute, kind, queue_id, excuse, wait) SELECT * FROM late
), excused AS (
    INSERT INTO scheduling_excused_minute AS r (tenant_id, minute, kind, queue_id, excuse, wait) SELECT * FROM late
    ON CONFLICT (tenant_id, minute, kind, queue_id, excuse) DO UPDATE SET wait =
    -- include: add_wait
)
SELECT count(*) FROM deleted_tallies;

-- name: note_fold
-- Store the time of the last fold.
INSERT INTO scheduling_rollup_clock (id, folded_at) VALUES (1, now())
ON CONFLICT (id) DO UPDATE SET folded_at = excluded.folded_at;
