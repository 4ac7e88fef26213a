-- name: read_pool
-- Read the slots of a pool and its queues, one a row; without queues, one row without a queue. A paused or drained pool
-- has no slots; the slots of a draining worker count neither as existing nor as used. A message that is being settled,
-- or whose settlement no tick has folded, holds no slot, unless a job of the same tenant or queue could not take it:
-- its tenant is at its cap, or slots are reserved; or, until it is settled, its queue is at its cap. Settled rows have
-- no worker any more. Live executions are read once: the table is small but changes fast, so each read meets dead rows.
-- They are those of the pool and, from before a move, of its queues; a capped queue that has left it is counted by
-- itself. OFFSET keeps a condition on a tenant an index probe. Whether a tenant with jobs left is at its cap is read
-- only if slots are free.
WITH plan AS (
    SELECT strategy, reserved_slots, granularity_seconds FROM scheduling_cfsplan WHERE is_active
), live AS MATERIALIZED (
    SELECT message_id, tenant_id, queue_id, pool_id, worker_id,
        worker_id IS NOT NULL AND token = ANY(%(ending)s::uuid[]) AS is_ending
    FROM scheduling_execution_live WHERE pool_id = %(pool_id)s
        OR queue_id IN (SELECT id FROM scheduling_queue WHERE pool_id = %(pool_id)s)
), by_queue AS MATERIALIZED (
    SELECT queue_id, count(DISTINCT message_id) AS in_flight FROM live GROUP BY 1
), held AS (
    SELECT message_id, tenant_id, queue_id, worker_id, is_ending FROM live WHERE pool_id = %(pool_id)s
    UNION ALL
    SELECT s.message_id, s.tenant_id, s.queue_id, NULL, true
    FROM scheduling_settled s JOIN scheduling_queue q ON q.id = s.queue_id WHERE q.pool_id = %(pool_id)s
        AND (%(free)s::uuid[] IS NULL OR s.tenant_id = ANY(%(free)s::uuid[]))
), used AS (
    SELECT count(DISTINCT l.message_id) AS slots, coalesce(bool_or(l.is_ending), false) AS has_ending
    FROM held l LEFT JOIN scheduling_worker w ON w.id = l.worker_id
    WHERE w.status IS DISTINCT FROM 'draining'
        AND NOT (l.is_ending
            AND NOT EXISTS (SELECT FROM plan WHERE reserved_slots > 0)
            AND NOT EXISTS (SELECT FROM scheduling_queue f JOIN by_queue b ON b.queue_id = f.id
                WHERE f.id = l.queue_id AND f.cap <= CASE WHEN f.pool_id = %(pool_id)s THEN b.in_flight
                    ELSE (SELECT count(DISTINCT message_id) FROM scheduling_execution_live WHERE queue_id = f.id) END)
            AND NOT EXISTS (SELECT FROM scheduling_tenant_capacity c
                JOIN tenants_tenant t ON t.id = c.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
                WHERE c.tenant_id = l.tenant_id AND c.in_flight >=
                -- include: tenant_cap
                OFFSET 0))
), live_slots AS (
    SELECT coalesce(sum(w.slots), 0) AS slots FROM scheduling_worker w
    WHERE w.pool_id = %(pool_id)s AND w.status = 'online'
        AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)
        AND NOT EXISTS (SELECT FROM scheduling_workerpool p WHERE p.id = w.pool_id AND (p.is_paused OR EXISTS (
            SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = p.name)))
)
SELECT live_slots.slots, used.slots AS used_slots, plan.strategy, coalesce(plan.reserved_slots, 0) AS reserved_slots,
    CASE WHEN plan.strategy = 'time_slice' THEN plan.granularity_seconds END AS slice_seconds,
    (SELECT virtual_time FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s) AS pool_virtual_time,
    used.slots < live_slots.slots AND EXISTS (
        SELECT FROM (SELECT DISTINCT tenant_id FROM held) h CROSS JOIN LATERAL (
            SELECT c.tenant_id FROM scheduling_tenant_capacity c
                JOIN tenants_tenant t ON t.id = c.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
            WHERE c.tenant_id = h.tenant_id AND c.in_flight >=
            -- include: tenant_cap
            OFFSET 0
        ) c CROSS JOIN LATERAL (
            SELECT FROM scheduling_schedulingentity e
            WHERE e.tenant_id = c.tenant_id AND e.parent_id IS NULL AND (e.own_rank IS NOT NULL OR e.keys_waiting > 0)
            LIMIT 1
        ) e) AS is_anybody_capped, used.has_ending AS is_end_kept,
    (EXISTS (SELECT FROM tenants_tenantlimit WHERE key = 'memory_mib_now')
        OR EXISTS (SELECT FROM tenants_planlimit WHERE key = 'memory_mib_now'))
    AND EXISTS (SELECT FROM scheduling_workerpool WHERE id = %(pool_id)s AND resource_class <> 'io')
        AS has_memory_limits,
    queue.*
FROM live_slots CROSS JOIN used LEFT JOIN plan ON true LEFT JOIN (
    SELECT q.id AS queue_id, q.name,
        -- include: queue_weight
        AS weight, c.vruntime, c.virtual_time, c.floor, c.was_backlogged,
        q.cap, coalesce(b.in_flight, 0) AS in_flight, q.dispatches_per_minute IS NOT NULL AS has_rate
    FROM scheduling_queue q JOIN scheduling_queue_clock c ON c.queue_id = q.id LEFT JOIN by_queue b ON b.queue_id = q.id
    WHERE q.pool_id = %(pool_id)s AND NOT q.is_paused
) AS queue ON true
ORDER BY queue.queue_id;

-- name: read_tenants_fair
-- Read the first eligible tenants of queues in fair order. ``floor`` keeps the scan clear of dead index entries below
-- the least virtual time.
SELECT
-- include: tenant_columns
FROM unnest(%(queue_ids)s::bigint[], %(floors)s::bigint[], %(limits)s::int[]) AS q(id, floor, most)
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_schedulingentity e WHERE
        -- include: is_wanted_tenant
        AND e.vruntime >= q.floor
        ORDER BY e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank, e.id LIMIT q.most
    ) e
    -- include: plan_and_capacity
;

-- name: read_tenants_fifo
-- Read the first eligible tenants of queues in order of arrival.
SELECT
-- include: tenant_columns
FROM unnest(%(queue_ids)s::bigint[], %(floors)s::bigint[], %(limits)s::int[]) AS q(id, floor, most)
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_schedulingentity e WHERE
        -- include: is_wanted_tenant
        ORDER BY e.head_rank, e.in_flight + e.keys_in_flight, e.id LIMIT q.most
    ) e
    -- include: plan_and_capacity
;

-- fragment: tenant_columns
-- The weight and the cap of a tenant are its current ones: an edited plan applies to waiting jobs without a write.
e.queue_id,
-- include: tenant_cap
- coalesce(c.in_flight, 0) AS room,
e.in_flight AS own_in_flight, e.waiting AS own_waiting, e.keys_waiting, e.own_rank,
e.id AS entity_id, e.tenant_id,
-- include: tenant_weight
AS weight_milli, e.vruntime, e.in_flight + e.keys_in_flight AS in_flight, e.head_rank,
e.waiting + e.keys_waiting AS waiting, least(e.estimate_us, %(slice_us)s::bigint) AS estimate_us, e.own_vruntime,
e.virtual_time

-- fragment: is_wanted_tenant
-- Eligibility is the condition of the index, so no ineligible tenant hides an eligible one.
e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL
AND (%(only)s::bigint[] IS NULL OR e.id = ANY(%(only)s::bigint[]))
AND (%(free)s::uuid[] IS NULL OR e.tenant_id = ANY(%(free)s::uuid[]))

-- fragment: plan_and_capacity
JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = e.tenant_id
