-- Fragments of the counts of series.

-- fragment: series_minutes
-- Counts of each kind, queue, tenant, and kind of a tenant by minute.
SELECT CASE WHEN grouping(kind) = 0 THEN 'kind' WHEN grouping(q.name) = 0 THEN 'queue' ELSE 'tenant' END AS scope,
    CASE WHEN grouping(m.tenant_id) = 0 THEN m.tenant_id END AS tenant_id, coalesce(kind, q.name, m.tenant_id::text) AS name,
    minute, sum(completed + failed)::bigint AS ended, sum(failed)::bigint AS failed,
    sum(result_bytes)::bigint AS result_bytes,
-- include: sum_wait
AS wait,
-- include: sum_run
AS run
FROM scheduling_kind_minute m JOIN scheduling_queue q ON q.id = m.queue_id
WHERE minute >= %(since)s AND minute < %(until)s
GROUP BY GROUPING SETS ((minute, kind), (minute, q.name), (minute, m.tenant_id), (minute, m.tenant_id, kind))
