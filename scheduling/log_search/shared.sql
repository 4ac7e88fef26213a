-- fragment: line_facts
-- The facts of the job and the execution of a line, and its table; a job may be gone before its log. The bounds of the
-- executions exclude the partitions of other days.
j.kind, q.name AS queue, w.hostname AS worker, w.version, t.slug, j.trace_id AS trace,
    split_part(j.meta ->> 'template', '@', 1) AS template
FROM scheduling_joblog l
    JOIN tenants_tenant t ON t.id = l.tenant_id
    LEFT JOIN scheduling_job j ON j.tenant_id = l.tenant_id AND j.id = l.job_id
    LEFT JOIN scheduling_queue q ON q.id = j.queue_id
    LEFT JOIN scheduling_execution e ON e.id = l.execution_id AND e.id BETWEEN %(executions_from)s AND %(executions_to)s
    LEFT JOIN scheduling_execution_live x ON x.id = l.execution_id
    LEFT JOIN scheduling_worker w ON w.id = coalesce(e.worker_id, x.worker_id)
