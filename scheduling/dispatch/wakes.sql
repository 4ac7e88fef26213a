-- name: append_wakes
-- Append wakes of single lines.
INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(entity_ids)s::bigint[], %(queue_ids)s::bigint[],
    %(waiting_deltas)s::int[]);

-- name: wake_tenants
-- Append a wake for each line of tenants. Lines that are not runnable come first: weights and caps are read at each
-- pick anyway.
INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta, is_bulk)
SELECT tenant_id, id, queue_id, 0, %(is_bulk)s::bool FROM scheduling_schedulingentity
WHERE tenant_id = ANY(%(tenant_ids)s::uuid[]) AND parent_id IS NULL
ORDER BY waiting + keys_waiting = 0, is_runnable;

-- name: wake_pool
-- Append a wake for each line of a tenant with waiting jobs in the queues of a pool.
INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta, is_bulk)
SELECT e.tenant_id, e.id, e.queue_id, 0, true
FROM scheduling_queue q JOIN scheduling_schedulingentity e ON e.queue_id = q.id
WHERE q.pool_id = %(pool_id)s AND e.parent_id IS NULL AND e.waiting + e.keys_waiting > 0;
