-- name: is_queue_busy
-- Return whether jobs wait or run in a queue.
SELECT EXISTS (SELECT FROM scheduling_schedulingentity e JOIN scheduling_queue q ON q.id = e.queue_id
        WHERE q.name = %(name)s AND e.waiting > 0)
    OR EXISTS (SELECT FROM scheduling_wake w JOIN scheduling_queue q ON q.id = w.queue_id
        WHERE q.name = %(name)s AND w.waiting_delta > 0)
    OR EXISTS (SELECT FROM scheduling_execution_live l JOIN scheduling_queue q ON q.id = l.queue_id
        WHERE q.name = %(name)s);

-- name: is_kind_busy
-- Return whether jobs of a kind wait or run.
SELECT EXISTS (SELECT FROM scheduling_execution_live WHERE kind = %(name)s)
    OR EXISTS (SELECT FROM scheduling_job_held WHERE kind = %(name)s)
    OR EXISTS (SELECT FROM scheduling_job_due WHERE kind = %(name)s)
    OR EXISTS (SELECT FROM scheduling_job_ready WHERE kind = %(name)s);

-- name: is_pool_busy
-- Return whether jobs run in a pool.
SELECT EXISTS (SELECT FROM scheduling_execution_live l JOIN scheduling_workerpool p ON p.id = l.pool_id
    WHERE p.name = %(name)s);

-- name: note_drained_tenants
-- Mark draining tenants without remaining jobs as drained; return them.
UPDATE tenants_tenant t SET drained_at = statement_timestamp()
WHERE t.draining_at <= statement_timestamp() - make_interval(secs => %(settling_seconds)s) AND t.drained_at IS NULL
    AND NOT EXISTS (SELECT FROM scheduling_schedulingentity e WHERE e.tenant_id = t.id AND e.waiting > 0)
    AND NOT EXISTS (SELECT FROM scheduling_wake w WHERE w.tenant_id = t.id AND w.waiting_delta > 0)
    AND NOT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.tenant_id = t.id)
RETURNING t.id;
