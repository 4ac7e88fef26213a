-- name: read_page
-- Scan a page of events and read those for subscribers. A row contains the lower half of its transaction's number;
-- every visible row's transaction has begun. A settlement always moves its job; of other events only those named here
-- do. OFFSET keeps each look-up an index probe.
WITH upcoming AS MATERIALIZED (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS number
), scanned AS MATERIALIZED (
    SELECT e.id, e.tenant_id, e.job_id, e.execution_id, e.at, e.name, e.state, (e.xmin::text)::bigint AS written_by
    FROM scheduling_jobevent e WHERE e.id >= %(first)s ORDER BY e.id LIMIT %(scanned)s
), wanted AS MATERIALIZED (
    SELECT w.*, row_number() OVER (PARTITION BY w.tenant_id ORDER BY w.id) AS number
    FROM scanned w CROSS JOIN upcoming u
        CROSS JOIN LATERAL (SELECT u.number - ((u.number - w.written_by) & 4294967295) AS number) t
    WHERE t.number >= %(settled)s AND t.number < %(until)s AND w.tenant_id = ANY(%(tenants)s)
        AND w.state = ANY(%(states)s) AND w.name <> 'execution.closed'
        AND (w.name LIKE 'execution.%%' OR w.name IN ('job.cancelled', 'job.discarded', 'job.quarantined'))
), returned AS (
    SELECT w.id, w.tenant_id, w.job_id, w.at, w.state, j.kind, q.name AS queue, j.tags, j.fair_key,
        j.idempotency_key AS key, j.batch_id, j.parent_id, j.priority, j.attempt AS failed_attempts,
        j.started_at IS NOT NULL AS has_started,
        coalesce(nullif(x.error_type, ''), j.error_type) AS error_type,
        CASE WHEN x.error_type <> '' THEN x.error_message ELSE j.error_message END AS error_message
    FROM wanted w
        CROSS JOIN LATERAL (SELECT o.kind, o.queue_id, o.tags, o.fair_key, o.idempotency_key, o.batch_id, o.parent_id,
                o.priority, o.attempt, o.started_at, o.error_type, o.error_message
            FROM scheduling_job o WHERE o.tenant_id = w.tenant_id AND o.id = w.job_id OFFSET 0) j
        JOIN scheduling_queue q ON q.id = j.queue_id
        LEFT JOIN LATERAL (SELECT o.error_type, o.error_message FROM scheduling_execution o
            WHERE o.tenant_id = w.tenant_id AND o.id = w.execution_id OFFSET 0) x ON true
    WHERE w.number <= %(per_tenant)s AND j.kind <> ALL(%(kinds)s)
    ORDER BY w.id LIMIT %(limit)s
)
SELECT (SELECT count(*) FROM scanned) AS scanned, (SELECT id FROM scanned ORDER BY id DESC LIMIT 1) AS last_scanned,
    (SELECT array_agg(ARRAY[w.tenant_id, w.id]) FROM wanted w WHERE w.number = %(per_tenant)s AND EXISTS (
        SELECT FROM wanted n WHERE n.tenant_id = w.tenant_id AND n.number = %(per_tenant)s + 1)) AS cut, returned.*
FROM (VALUES (1)) AS one LEFT JOIN returned ON true ORDER BY returned.id;
