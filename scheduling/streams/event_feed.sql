-- name: read_horizon
-- Read the bounds of the transactions that are open.
SELECT pg_snapshot_xmin(s)::text::bigint AS settled, pg_snapshot_xmax(s)::text::bigint AS upcoming
FROM pg_current_snapshot() AS s;

-- fragment: feed_head
-- Beginning of a feed. A row contains the lower half of its transaction's number; every visible row's transaction has
-- begun.
WITH now AS MATERIALIZED (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next)
SELECT t.number, coalesce(j.kind, '') AS kind, e.id, e.tenant_id, e.job_id, e.execution_id, e.at, e.name, e.state,
    e.actor, e.request_id, e.data::text AS data
FROM now CROSS JOIN scheduling_jobevent e
    CROSS JOIN LATERAL (SELECT now.next - ((now.next - (e.xmin::text)::bigint) & 4294967295) AS number) t
    LEFT JOIN scheduling_job j ON j.tenant_id = e.tenant_id AND j.id = e.job_id
WHERE e.tenant_id = ANY(%(tenants)s) AND e.id >= %(floor)s
    AND (e.name <> %(output)s OR e.job_id = ANY(%(outputs_of)s))

-- fragment: feed_tail
-- End of a feed: after a position and before a transaction.
AND t.number < %(until)s AND (t.number, e.id) > (%(transaction)s, %(event)s)
ORDER BY t.number, e.id LIMIT %(limit)s

-- name: read_feed
-- Read the next events of tenants.
-- include: feed_head
-- include: feed_tail
;

-- name: read_feed_of_job
-- Read the next events of one job.
-- include: feed_head
AND e.job_id = %(job)s
-- include: feed_tail
;
