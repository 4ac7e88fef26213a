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

-- fragment: add_wait
-- Sum of two histograms, bucket by bucket.
ARRAY[r.wait[1] + excluded.wait[1], r.wait[2] + excluded.wait[2], r.wait[3] + excluded.wait[3],
    r.wait[4] + excluded.wait[4], r.wait[5] + excluded.wait[5], r.wait[6] + excluded.wait[6],
    r.wait[7] + excluded.wait[7], r.wait[8] + excluded.wait[8], r.wait[9] + excluded.wait[9],
    r.wait[10] + excluded.wait[10], r.wait[11] + excluded.wait[11], r.wait[12] + excluded.wait[12],
    r.wait[13] + excluded.wait[13], r.wait[14] + excluded.wait[14], r.wait[15] + excluded.wait[15],
    r.wait[16] + excluded.wait[16], r.wait[17] + excluded.wait[17], r.wait[18] + excluded.wait[18],
    r.wait[19] + excluded.wait[19]]

-- fragment: add_run
-- Sum of two histograms, bucket by bucket.
ARRAY[r.run[1] + excluded.run[1], r.run[2] + excluded.run[2], r.run[3] + excluded.run[3],
    r.run[4] + excluded.run[4], r.run[5] + excluded.run[5], r.run[6] + excluded.run[6],
    r.run[7] + excluded.run[7], r.run[8] + excluded.run[8], r.run[9] + excluded.run[9],
    r.run[10] + excluded.run[10], r.run[11] + excluded.run[11], r.run[12] + excluded.run[12],
    r.run[13] + excluded.run[13], r.run[14] + excluded.run[14], r.run[15] + excluded.run[15],
    r.run[16] + excluded.run[16], r.run[17] + excluded.run[17], r.run[18] + excluded.run[18],
    r.run[19] + excluded.run[19]]

-- fragment: measures
-- Measures of a group of rows.
sum(completed) AS completed, sum(failed) AS failed, sum(dead_letters) AS dead_letters, sum(busy_us) AS busy_us,
-- include: wait_histogram
AS wait,
-- include: run_histogram
AS run

-- fragment: add_minute
-- Add the measures of new rows to a stored row ``r`` of a minute.
completed = r.completed + excluded.completed, failed = r.failed + excluded.failed,
dead_letters = r.dead_letters + excluded.dead_letters, busy_us = r.busy_us + excluded.busy_us,
wait =
-- include: add_wait
, run =
-- include: add_run

-- name: fold_tallies
-- Fold tallies into the rollups by minute and hour; return their number. Slot time is spread over the minutes of its
-- use: minute n reaches from n to n + 1 times 60,000,000 µs.
WITH deleted_tallies AS (
    DELETE FROM scheduling_tally WHERE ctid = ANY (ARRAY(SELECT ctid FROM scheduling_tally LIMIT %(limit)s))
    RETURNING *
), ended AS (
    SELECT tenant_id, queue_id, kind, worker_id, measured_us, wait_us, started_at, is_dead::int AS dead_letters,
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
        CASE WHEN measured_us > 0
            THEN greatest(0, least(to_us, (n + 1) * 60000000) - greatest(from_us, n * 60000000)) ELSE 0 END AS busy_us
    FROM ended
    UNION ALL
    -- Few executions use more minutes than that of their end.
    SELECT tenant_id, queue_id, kind, worker_id, to_timestamp(used * 60), 0, 0, 0, NULL, NULL,
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
), kind AS (
    INSERT INTO scheduling_kind_minute AS r
        (tenant_id, minute, kind, queue_id, completed, failed, dead_letters, busy_us, wait, run)
    SELECT tenant_id, minute, kind, queue_id,
    -- include: measures
    FROM part GROUP BY 1, 2, 3, 4
    ON CONFLICT (tenant_id, minute, kind, queue_id) DO UPDATE SET
    -- include: add_minute
), worker AS (
    INSERT INTO scheduling_series_hour AS r (scope, name, hour, completed, failed, dead_letters, busy_us, wait, run)
    SELECT 'worker', worker_id::text, date_trunc('hour', minute),
    -- include: measures
    FROM part WHERE worker_id IS NOT NULL GROUP BY 2, 3
    ON CONFLICT (scope, tenant_id, hour, name) DO UPDATE SET
    -- include: add_minute
), excused AS (
    -- The shortest target is a minute.
    INSERT INTO scheduling_excused_minute AS r (tenant_id, minute, kind, queue_id, excuse, wait)
    SELECT tenant_id, minute, kind, queue_id, excuse,
    -- include: wait_histogram
    FROM ended CROSS JOIN LATERAL (
    -- include: excuse
    ) AS late
    WHERE wait_us >= 60000000 AND excuse IS NOT NULL AND EXISTS (SELECT FROM scheduling_objective)
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (tenant_id, minute, kind, queue_id, excuse) DO UPDATE SET wait =
    -- include: add_wait
)
SELECT count(*) FROM deleted_tallies;

-- name: note_fold
-- Store the time of the last fold.
INSERT INTO scheduling_rollup_clock (id, folded_at) VALUES (1, now())
ON CONFLICT (id) DO UPDATE SET folded_at = excluded.folded_at;
