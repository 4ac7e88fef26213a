-- name: find_next
-- Read the eligible tenants of least virtual time of each queue. The floor keeps the scan clear of dead index entries
-- below the least virtual time.
SELECT q.id AS queue_id, c.virtual_time, e.tenant_id, t.slug, t.name, e.vruntime, e.weight_milli,
    e.in_flight + e.keys_in_flight AS in_flight, e.waiting + e.keys_waiting AS waiting
FROM unnest(%(queues)s::bigint[]) AS q(id) JOIN scheduling_queue_clock c ON c.queue_id = q.id
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_schedulingentity e
        WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL AND e.vruntime >= c.floor
        ORDER BY e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank, e.id LIMIT %(limit)s
    ) e JOIN tenants_tenant t ON t.id = e.tenant_id
ORDER BY q.id, e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank, e.id;
