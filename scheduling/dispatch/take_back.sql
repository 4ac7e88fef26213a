-- name: find_take_backs
-- Read executions that wait in lists of a pool and should not begin, with the causes. Those of a tenant or queue that is
-- ahead of another one are read of one place in each queue: the one that is free soonest without them, unless a place of
-- the pool is free as soon anyway. So one job cuts one list, and none while a slot is about to be free.
WITH live AS MATERIALIZED (
    SELECT l.id, l.fence, l.token, l.tenant_id, l.job_id, l.queue_id, l.message_id, l.kind, l.worker_id, l.weight_milli,
        l.queue_weight_milli, l.hold_id IS NOT NULL AND l.started_at IS NULL AS is_held,
        -- What its tenant and its queue were charged before this dispatch.
        e.vruntime - sum(div(l.predicted_us::numeric * 1000000, l.weight_milli))
            OVER (PARTITION BY e.id ORDER BY l.id DESC) AS start_tag,
        c.vruntime - sum(div(l.predicted_us::numeric * 1000000, l.queue_weight_milli))
            OVER (PARTITION BY l.queue_id ORDER BY l.id DESC) AS queue_tag,
        -- One that exceeds its prediction is expected to run as long again as it has exceeded it.
        CASE WHEN l.started_at IS NULL THEN l.predicted_us
            ELSE abs(l.predicted_us - 1000000 * extract(epoch FROM clock_timestamp() - l.started_at)) END AS left_us
    FROM scheduling_execution_live l JOIN scheduling_schedulingentity line ON line.id = l.entity_id
        JOIN scheduling_schedulingentity e ON e.id = coalesce(line.parent_id, line.id)
        JOIN scheduling_queue_clock c ON c.queue_id = l.queue_id
    WHERE l.pool_id = %(pool_id)s
), by_queue AS (
    SELECT queue_id, count(DISTINCT message_id) AS in_flight FROM live GROUP BY 1 HAVING bool_or(is_held)
), plan AS (
    SELECT FROM scheduling_cfsplan WHERE is_active AND strategy = 'nop'
), pool AS (
    -- Ticks cannot serve a tenant whose rows another transaction has locked.
    SELECT locked_tenants AS locked FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s
), first AS (
    -- The first waiting tenant that has nothing in flight: others have a part of what is in flight.
    SELECT q.queue_id, e.vruntime FROM by_queue q CROSS JOIN LATERAL (
        SELECT o.vruntime FROM scheduling_schedulingentity o
        WHERE o.queue_id = q.queue_id AND o.is_runnable AND o.parent_id IS NULL AND o.in_flight + o.keys_in_flight = 0
            AND NOT (SELECT locked FROM pool) ? o.tenant_id::text
        ORDER BY o.vruntime LIMIT 1
    ) e WHERE NOT EXISTS (SELECT FROM plan)
), first_queue AS (
    -- The first queue that has nothing in flight, at the virtual time of what runs if it returns.
    SELECT greatest(min(c.vruntime), (SELECT min(queue_tag) FROM live WHERE is_held)) AS vruntime
    FROM scheduling_queue q JOIN scheduling_queue_clock c ON c.queue_id = q.id
    WHERE q.pool_id = %(pool_id)s AND NOT q.is_paused AND q.dispatches_per_minute IS NULL AND q.cap IS DISTINCT FROM 0
        AND q.id NOT IN (SELECT queue_id FROM live) AND NOT EXISTS (SELECT FROM plan)
        AND EXISTS (SELECT FROM scheduling_schedulingentity e
            WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL
                AND NOT (SELECT locked FROM pool) ? e.tenant_id::text OFFSET 0)
    HAVING count(*) > 0
), judged AS (
    SELECT r.id, r.fence, r.token, r.queue_id, r.message_id, r.left_us, CASE
        WHEN NOT r.is_held THEN NULL
        WHEN t.status <> 'active' OR t.is_paused THEN 'tenant'
        WHEN q.is_paused THEN 'queue'
        WHEN wp.is_paused OR EXISTS (SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = wp.name)
            THEN 'pool'
        WHEN w.status <> 'online' THEN 'worker'
        WHEN r.kind = ANY (ARRAY(SELECT kind FROM scheduling_kindpause)) THEN 'kind'
        WHEN r.kind = ANY (ARRAY(SELECT kind FROM scheduling_circuit_breaker
            WHERE state IN ('open', 'half_open', 'forced_open'))) AND
            -- include: circuit_before
            IS NOT NULL THEN 'circuit'
        WHEN q.cap < b.in_flight OR c.in_flight >
            -- include: tenant_cap
            THEN 'cap'
        WHEN r.start_tag >= f.vruntime + %(ahead_us)s * 1000000::bigint / r.weight_milli
            OR r.queue_tag >= (SELECT vruntime FROM first_queue) + %(ahead_us)s * 1000000::bigint / r.queue_weight_milli
            THEN 'order'
        END AS cause
    FROM live r JOIN tenants_tenant t ON t.id = r.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
        JOIN scheduling_queue q ON q.id = r.queue_id JOIN scheduling_workerpool wp ON wp.id = %(pool_id)s
        LEFT JOIN scheduling_worker w ON w.id = r.worker_id
        LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = r.tenant_id
        LEFT JOIN by_queue b ON b.queue_id = r.queue_id LEFT JOIN first f ON f.queue_id = r.queue_id
), place AS (
    SELECT message_id, queue_id, coalesce(sum(left_us) FILTER (WHERE cause IS NULL), 0) AS kept_us,
        coalesce(sum(left_us) FILTER (WHERE cause IS NULL OR cause = 'order'), 0) AS rest_us,
        bool_or(cause = 'order') AS is_ahead
    FROM judged GROUP BY 1, 2
), chosen AS (
    SELECT DISTINCT ON (queue_id) message_id, kept_us FROM place
    WHERE is_ahead AND kept_us + %(ahead_us)s <= (SELECT min(rest_us) FROM place) ORDER BY queue_id, kept_us, message_id
)
SELECT j.id AS execution_id, j.fence, j.cause, j.token, c.kept_us <= %(soon_us)s AS is_free_soon
FROM judged j LEFT JOIN chosen c ON c.message_id = j.message_id
WHERE j.cause <> 'order' OR (j.cause = 'order' AND c.message_id IS NOT NULL)
ORDER BY j.id LIMIT %(limit)s;

-- name: lock_waiting
-- Lock those of the executions that still wait in a list and that no other transaction has locked, and return their ids.
SELECT l.id FROM scheduling_execution_live l JOIN scheduling_job j ON j.id = l.job_id
WHERE l.id = ANY(%(execution_ids)s::uuid[]) AND l.hold_id IS NOT NULL AND l.started_at IS NULL
ORDER BY l.id FOR NO KEY UPDATE OF l, j SKIP LOCKED;
