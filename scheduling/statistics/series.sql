-- fragment: sum_run
-- Sum of the histograms of run times of a group of rows, bucket by bucket.
ARRAY[sum(run[1]), sum(run[2]), sum(run[3]), sum(run[4]), sum(run[5]), sum(run[6]), sum(run[7]), sum(run[8]),
    sum(run[9]), sum(run[10]), sum(run[11]), sum(run[12]), sum(run[13]), sum(run[14]), sum(run[15]), sum(run[16]),
    sum(run[17]), sum(run[18]), sum(run[19])]::int[]

-- fragment: sums
-- Measures of a group of rows that have measures themselves.
sum(completed)::bigint AS completed, sum(failed)::bigint AS failed, sum(dead_letters)::bigint AS dead_letters,
    sum(busy_us)::bigint AS busy_us,
-- include: sum_wait
AS wait,
-- include: sum_run
AS run

-- name: find_stale_hours
-- Find the hours of the last two days that differ from the minutes of queues, which are few: the running hour, and
-- earlier ones to which a late fold has added.
SELECT date_trunc('hour', minute) AS hour, sum(completed), sum(failed), sum(dead_letters), sum(busy_us)
FROM scheduling_queue_minute WHERE minute >= date_trunc('hour', now() - interval '2 days') GROUP BY 1
EXCEPT
SELECT hour, sum(completed), sum(failed), sum(dead_letters), sum(busy_us) FROM scheduling_series_hour
WHERE scope = 'queue' AND tenant_id IS NULL AND hour >= date_trunc('hour', now() - interval '2 days') GROUP BY 1
ORDER BY 1 DESC;

-- name: fold_hour
-- Sum up the minutes of one hour: kinds and queues of each tenant, and kinds, queues and tenants of all. Of the tenants
-- the greatest have a row.
WITH line AS (
    SELECT tenant_id, kind, queue_id,
    -- include: sums
    FROM scheduling_kind_minute
    WHERE minute >= %(hour)s AND minute < %(hour)s::timestamptz + interval '1 hour' GROUP BY 1, 2, 3
), series AS (
    SELECT CASE WHEN grouping(kind) = 0 THEN 'kind' WHEN grouping(q.name) = 0 THEN 'queue' ELSE 'tenant' END AS scope,
        CASE WHEN grouping(kind) = 0 OR grouping(q.name) = 0 THEN tenant_id END AS tenant_id,
        coalesce(kind, q.name, tenant_id::text) AS name,
    -- include: sums
    FROM line JOIN scheduling_queue q ON q.id = line.queue_id
    GROUP BY GROUPING SETS ((kind), (q.name), (tenant_id), (tenant_id, kind), (tenant_id, q.name))
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY scope ORDER BY completed + failed DESC) AS place FROM series
)
INSERT INTO scheduling_series_hour AS s
    (scope, tenant_id, name, hour, completed, failed, dead_letters, busy_us, wait, run)
SELECT scope, tenant_id, name, %(hour)s::timestamptz, completed, failed, dead_letters, busy_us, wait, run FROM ranked r
WHERE scope <> 'tenant' OR place <= %(tenants)s OR EXISTS (SELECT FROM scheduling_series_hour o
    WHERE o.scope = r.scope AND o.tenant_id IS NULL AND o.hour = %(hour)s AND o.name = r.name)
ON CONFLICT (scope, tenant_id, hour, name) DO UPDATE SET completed = excluded.completed, failed = excluded.failed,
    dead_letters = excluded.dead_letters, busy_us = excluded.busy_us, wait = excluded.wait, run = excluded.run;
