"""The statements that fold what ended into the rollups and recount them, to be read from top to bottom."""

from __future__ import annotations

from scheduling.histogram import BUCKETS
from tenants.selectors.tenant_pages import IN_PAGE


def _histogram(bucket: str) -> str:
    counts = ", ".join(f"count(*) FILTER (WHERE {bucket} = {number})" for number in range(BUCKETS))
    return f"ARRAY[{counts}]::int[]"


def _sum_arrays(table: str, column: str) -> str:
    arrays = f"{table}.{column}, excluded.{column}"
    return f"(SELECT array_agg(a + b ORDER BY n) FROM unnest({arrays}) WITH ORDINALITY AS u(a, b, n))"  # noqa: S608 - our names


_MEASURES = f"""
    sum(completed) AS completed, sum(failed) AS failed, sum(dead_letters) AS dead_letters, sum(busy_us) AS busy_us,
    {_histogram("wait_bucket")} AS wait, {_histogram("run_bucket")} AS run
"""
_ADD_MINUTE = f"""
    completed = r.completed + excluded.completed, failed = r.failed + excluded.failed,
    dead_letters = r.dead_letters + excluded.dead_letters, busy_us = r.busy_us + excluded.busy_us,
    wait = {_sum_arrays("r", "wait")}, run = {_sum_arrays("r", "run")}
"""
# Slot time is spread over the minutes in which it was used: minute n reaches from n to n + 1 times 60,000,000 µs.
FOLD = f"""
WITH gone AS (
    DELETE FROM scheduling_tally WHERE ctid = ANY (ARRAY(SELECT ctid FROM scheduling_tally LIMIT %(limit)s))
    RETURNING *
), ended AS (
    SELECT tenant_id, queue_id, kind, outcome, measured_us, is_dead::int AS dead_letters,
        date_trunc('minute', ended_at) AS minute, date_trunc('hour', ended_at) AS hour,
        (outcome = ANY (%(completed)s))::int AS completed, (outcome = ANY (%(failed)s))::int AS failed,
        CASE WHEN wait_us IS NOT NULL THEN width_bucket(wait_us / 1e6::float8, %(bounds)s::float8[]) END AS wait_bucket,
        CASE WHEN outcome = ANY (%(ran)s)
            THEN width_bucket(measured_us / 1e6::float8, %(bounds)s::float8[]) END AS run_bucket
    FROM gone
), span AS (
    SELECT tenant_id, queue_id, (extract(epoch FROM started_at) * 1000000)::bigint AS from_us,
        (extract(epoch FROM started_at) * 1000000)::bigint + measured_us AS to_us
    FROM gone WHERE measured_us > 0
), part AS (
    SELECT tenant_id, queue_id, minute, completed, failed, dead_letters, 0::bigint AS busy_us, wait_bucket, run_bucket
    FROM ended
    UNION ALL
    SELECT tenant_id, queue_id, to_timestamp(n * 60), 0, 0, 0,
        least(to_us, (n + 1) * 60000000) - greatest(from_us, n * 60000000), NULL, NULL
    FROM span CROSS JOIN LATERAL generate_series(from_us / 60000000, (to_us - 1) / 60000000) AS n
), tenant AS (
    INSERT INTO scheduling_tenant_minute AS r
        (tenant_id, minute, queue_id, completed, failed, dead_letters, busy_us, wait, run)
    SELECT tenant_id, minute, queue_id, {_MEASURES} FROM part GROUP BY 1, 2, 3
    ON CONFLICT (tenant_id, minute, queue_id) DO UPDATE SET {_ADD_MINUTE}
), queue AS (
    INSERT INTO scheduling_queue_minute AS r (minute, queue_id, completed, failed, dead_letters, busy_us, wait, run)
    SELECT minute, queue_id, {_MEASURES} FROM part GROUP BY 1, 2
    ON CONFLICT (minute, queue_id) DO UPDATE SET {_ADD_MINUTE}
), kind AS (
    INSERT INTO scheduling_kind_hour AS r (kind, hour, outcome, executions, dead_letters, worker_us, wait, run)
    SELECT kind, hour, outcome, count(*) FILTER (WHERE outcome <> ''), sum(dead_letters), sum(measured_us),
        {_histogram("wait_bucket")}, {_histogram("run_bucket")}
    FROM ended GROUP BY 1, 2, 3
    ON CONFLICT (kind, hour, outcome) DO UPDATE SET
        executions = r.executions + excluded.executions, dead_letters = r.dead_letters + excluded.dead_letters,
        worker_us = r.worker_us + excluded.worker_us,
        wait = {_sum_arrays("r", "wait")}, run = {_sum_arrays("r", "run")}
)
SELECT count(*) FROM gone
"""  # noqa: S608 - put together of this module's own texts
NOTE = """
INSERT INTO scheduling_rollup_clock (id, folded_at) VALUES (1, now())
ON CONFLICT (id) DO UPDATE SET folded_at = excluded.folded_at
"""
# One statement is one snapshot: what a fold moves meanwhile is on one side or the other of it, never on both.
# An execution may end long after its id was made, so its ids begin before the window.
TENANT_DIFFERENCES = f"""
WITH rolled AS (
    SELECT tenant_id, queue_id, minute, sum(completed) AS completed, sum(failed) AS failed FROM (
        SELECT tenant_id, queue_id, minute, completed, failed FROM scheduling_tenant_minute
        WHERE {IN_PAGE} AND minute >= %(since)s AND minute < %(before)s AND (completed > 0 OR failed > 0)
        UNION ALL
        SELECT tenant_id, queue_id, date_trunc('minute', ended_at),
            (outcome = ANY (%(completed)s))::int, (outcome = ANY (%(failed)s))::int
        FROM scheduling_tally
        WHERE {IN_PAGE} AND ended_at >= %(since)s AND ended_at < %(before)s AND outcome = ANY (%(ran)s)
    ) AS rows GROUP BY 1, 2, 3
), recount AS (
    SELECT tenant_id, queue_id, date_trunc('minute', ended_at) AS minute,
        count(*) FILTER (WHERE outcome = ANY (%(completed)s)) AS completed,
        count(*) FILTER (WHERE outcome = ANY (%(failed)s)) AS failed
    FROM scheduling_execution
    WHERE {IN_PAGE} AND id >= %(floor)s AND ended_at >= %(since)s AND ended_at < %(before)s
        AND outcome = ANY (%(ran)s)
    GROUP BY 1, 2, 3
)
SELECT 'tenant-minute', concat_ws(' ', tenant_id, queue_id, minute),
    concat_ws('/', r.completed, r.failed), concat_ws('/', c.completed, c.failed)
FROM rolled r FULL JOIN recount c USING (tenant_id, queue_id, minute)
WHERE (r.completed, r.failed) IS DISTINCT FROM (c.completed, c.failed)
"""  # noqa: S608 - constants
# Slot time of a minute comes from whatever ran in it, whenever that ended. Histograms of run times count what ran.
TENANT_BUSY_DIFFERENCES = f"""
WITH used AS (
    SELECT true AS is_rolled, tenant_id, queue_id, started_at, measured_us FROM scheduling_tally
    WHERE {IN_PAGE} AND measured_us > 0 AND ended_at >= %(since)s AND started_at < %(before)s
    UNION ALL
    SELECT false, tenant_id, queue_id, started_at, measured_us FROM scheduling_execution
    WHERE {IN_PAGE} AND id >= %(floor)s AND measured_us > 0 AND ended_at >= %(since)s AND started_at < %(before)s
), span AS (
    SELECT is_rolled, tenant_id, queue_id, (extract(epoch FROM started_at) * 1000000)::bigint AS from_us,
        (extract(epoch FROM started_at) * 1000000)::bigint + measured_us AS to_us
    FROM used
), part AS (
    SELECT is_rolled, tenant_id, queue_id, to_timestamp(n * 60) AS minute,
        least(to_us, (n + 1) * 60000000) - greatest(from_us, n * 60000000) AS busy_us
    FROM span CROSS JOIN LATERAL generate_series(from_us / 60000000, (to_us - 1) / 60000000) AS n
    UNION ALL
    SELECT true, tenant_id, queue_id, minute, busy_us FROM scheduling_tenant_minute
    WHERE {IN_PAGE} AND minute >= %(since)s AND minute < %(before)s AND busy_us > 0
), compared AS (
    SELECT tenant_id, queue_id, minute, coalesce(sum(busy_us) FILTER (WHERE is_rolled), 0) AS rolled,
        coalesce(sum(busy_us) FILTER (WHERE NOT is_rolled), 0) AS recounted
    FROM part WHERE minute >= %(since)s AND minute < %(before)s GROUP BY 1, 2, 3
)
SELECT 'tenant-minute busy', concat_ws(' ', tenant_id, queue_id, minute), rolled::text, recounted::text
FROM compared WHERE rolled <> recounted
UNION ALL
SELECT 'tenant-minute runs', concat_ws(' ', tenant_id, queue_id, minute), (SELECT sum(n) FROM unnest(run) AS n)::text,
    (completed + failed)::text
FROM scheduling_tenant_minute
WHERE {IN_PAGE} AND minute >= %(since)s AND minute < %(before)s
    AND (SELECT sum(n) FROM unnest(run) AS n) <> completed + failed
"""  # noqa: S608 - constants
# Both are written by one fold, so neither is ahead of the other.
QUEUE_DIFFERENCES = """
WITH tenant AS (
    SELECT queue_id, minute, sum(completed) AS completed, sum(failed) AS failed, sum(dead_letters) AS dead_letters,
        sum(busy_us) AS busy_us
    FROM scheduling_tenant_minute WHERE minute >= %(since)s AND minute < %(before)s GROUP BY 1, 2
), queue AS (
    SELECT queue_id, minute, completed, failed, dead_letters, busy_us
    FROM scheduling_queue_minute WHERE minute >= %(since)s AND minute < %(before)s
)
SELECT 'queue-minute', concat_ws(' ', queue_id, minute), concat_ws('/', q.completed, q.failed, q.busy_us),
    concat_ws('/', t.completed, t.failed, t.busy_us)
FROM queue q FULL JOIN tenant t USING (queue_id, minute)
WHERE (q.completed, q.failed, q.dead_letters, q.busy_us)
    IS DISTINCT FROM (t.completed, t.failed, t.dead_letters, t.busy_us)
"""
# What ended in hours that are over changes no more, so a recount of it page by page is as good as one snapshot.
KIND_RECOUNT = f"""
SELECT concat_ws(' ', kind, outcome, date_trunc('hour', ended_at)), count(*), sum(measured_us)::bigint
FROM scheduling_execution
WHERE {IN_PAGE} AND id >= %(floor)s AND ended_at >= %(since)s AND ended_at < %(before)s GROUP BY 1
"""  # noqa: S608 - constants
KIND_ROLLED = """
SELECT concat_ws(' ', kind, outcome, hour), sum(executions)::bigint, sum(worker_us)::bigint FROM (
    SELECT kind, hour, outcome, executions, worker_us FROM scheduling_kind_hour
    WHERE hour >= %(since)s AND hour < %(before)s AND outcome <> ''
    UNION ALL
    SELECT kind, date_trunc('hour', ended_at), outcome, 1, measured_us FROM scheduling_tally
    WHERE ended_at >= %(since)s AND ended_at < %(before)s AND outcome <> ''
) AS rows GROUP BY 1
"""
