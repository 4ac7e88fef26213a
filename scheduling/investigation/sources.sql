-- name: executions
-- The executions around the onset in groups, at most ``half`` before it and after it: how many failed, and their slot
-- time. With a fingerprint, failures are those with it. They are found along the primary key.
WITH cause AS MATERIALIZED (
    SELECT execution_id FROM scheduling_joberror
    WHERE %(fingerprint)s::text <> '' AND id >= %(since)s AND id < %(until)s AND error_fingerprint = %(fingerprint)s
    ORDER BY id DESC LIMIT 2 * %(half)s
), sample AS MATERIALIZED (
    (SELECT e.*, false AS is_after FROM scheduling_execution e WHERE id >= %(since)s AND id < %(onset)s
        AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s) AND (%(kind)s::text = '' OR kind = %(kind)s)
        AND (%(queue)s::bigint IS NULL OR queue_id = %(queue)s) ORDER BY id DESC LIMIT %(half)s)
    UNION ALL
    (SELECT e.*, true FROM scheduling_execution e WHERE id >= %(onset)s AND id < %(until)s
        AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s) AND (%(kind)s::text = '' OR kind = %(kind)s)
        AND (%(queue)s::bigint IS NULL OR queue_id = %(queue)s) ORDER BY id DESC LIMIT %(half)s)
)
SELECT t.slug AS tenant, s.tenant_id, q.name AS queue, s.kind, coalesce(w.hostname || ':' || w.pid, '') AS worker,
    coalesce(w.version, '') AS version, coalesce(j.meta ->> 'template', '') AS template, count(*) AS ended,
    count(*) FILTER (WHERE s.outcome = ANY (%(failed)s)
        AND (%(fingerprint)s = '' OR s.id IN (SELECT execution_id FROM cause))) AS failed,
    coalesce(sum(s.measured_us) FILTER (WHERE s.is_after), 0)::float8 AS used,
    coalesce(sum(s.measured_us) FILTER (WHERE NOT s.is_after), 0)::float8 AS used_before
FROM sample s JOIN tenants_tenant t ON t.id = s.tenant_id
    LEFT JOIN scheduling_queue q ON q.id = s.queue_id
    LEFT JOIN scheduling_worker w ON w.id = s.worker_id
    LEFT JOIN scheduling_job j ON j.tenant_id = s.tenant_id AND j.id = s.job_id
GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- name: submissions
-- The jobs that were submitted around the onset in groups, at most ``half`` before it and after it.
WITH sample AS MATERIALIZED (
    (SELECT tenant_id, queue_id, kind, meta, false AS is_after FROM scheduling_job
        WHERE id >= %(since)s AND id < %(onset)s AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s)
        AND (%(queue)s::bigint IS NULL OR queue_id = %(queue)s) ORDER BY id DESC LIMIT %(half)s)
    UNION ALL
    (SELECT tenant_id, queue_id, kind, meta, true FROM scheduling_job
        WHERE id >= %(onset)s AND id < %(until)s AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s)
        AND (%(queue)s::bigint IS NULL OR queue_id = %(queue)s) ORDER BY id DESC LIMIT %(half)s)
)
SELECT t.slug AS tenant, s.tenant_id, q.name AS queue, s.kind, coalesce(s.meta ->> 'template', '') AS template,
    count(*) FILTER (WHERE s.is_after) AS after, count(*) FILTER (WHERE NOT s.is_after) AS before
FROM sample s JOIN tenants_tenant t ON t.id = s.tenant_id JOIN scheduling_queue q ON q.id = s.queue_id
GROUP BY 1, 2, 3, 4, 5;
