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

-- name: fold_keys
-- Consume the wakes of a pool and write the lines of keys. Return the number of wakes in each row, with the news of one
-- tenant if there are any. A wake and the job behind it were committed together, so the snapshot of the statement that
-- deletes the first contains the second: no wake is lost.
WITH woken AS (
    DELETE FROM scheduling_wake WHERE ctid = ANY (ARRAY(
        SELECT w.ctid FROM scheduling_wake w JOIN scheduling_queue q ON q.id = w.queue_id
        WHERE q.pool_id = %(pool_id)s AND (%(free)s::uuid[] IS NULL OR w.tenant_id = ANY(%(free)s::uuid[]))
        ORDER BY w.is_bulk LIMIT %(limit)s
    ))
    RETURNING entity_id, waiting_delta
), news AS (
    SELECT e.id, e.parent_id, sum(w.waiting_delta) AS delta
    FROM woken w JOIN scheduling_schedulingentity e ON e.id = w.entity_id GROUP BY 1
), key AS (
    UPDATE scheduling_schedulingentity k SET
        waiting = k.waiting + n.delta,
        head_rank = coalesce(head.rank, k.head_rank),
        is_runnable = head.rank IS NOT NULL,
        vruntime = CASE WHEN head.rank IS NOT NULL AND NOT k.is_runnable THEN greatest(k.vruntime, e.virtual_time)
            ELSE k.vruntime END
    FROM news n JOIN scheduling_schedulingentity e ON e.id = n.parent_id
        LEFT JOIN LATERAL (
            SELECT r.rank FROM scheduling_job_ready r WHERE r.entity_id = n.id ORDER BY r.rank, r.job_id LIMIT 1
        ) head ON true
    WHERE k.id = n.id
)
SELECT woken.count AS wakes, tenant.* FROM (SELECT count(*) FROM woken) woken LEFT JOIN (
    SELECT coalesce(parent_id, id) AS entity_id,
        coalesce(sum(delta) FILTER (WHERE parent_id IS NULL), 0)::int AS delta,
        coalesce(sum(delta) FILTER (WHERE parent_id IS NOT NULL), 0)::int AS keys_delta
    FROM news GROUP BY 1
) tenant ON true;

-- name: fold_tenants
-- Write the lines of tenants with news, after those of their keys.
WITH recomputed AS (
    SELECT e.id, n.delta, n.keys_delta, own.rank AS own_rank, least(own.rank, key.head_rank) AS head_rank,
        -- include: tenant_weight
        AS weight_milli,
        (own.rank IS NOT NULL OR key.head_rank IS NOT NULL) AND t.status = 'active' AND NOT t.is_paused
            AND coalesce(c.in_flight, 0) <
            -- include: tenant_cap
            AND
            -- include: has_worker_time
            AS is_runnable,
        clock.virtual_time
    FROM unnest(%(ids)s::bigint[], %(deltas)s::int[], %(keys_deltas)s::int[]) AS n(id, delta, keys_delta)
        -- OFFSET puts these first, also in a plan made while the other tables were almost empty.
        CROSS JOIN LATERAL (SELECT * FROM scheduling_schedulingentity o WHERE o.id = n.id OFFSET 0) e
        -- A queue that was copied in has none yet; the wakes are consumed by this statement all the same.
        LEFT JOIN scheduling_queue_clock clock ON clock.queue_id = e.queue_id
        JOIN tenants_tenant t ON t.id = e.tenant_id
        JOIN tenants_plan p ON p.id = t.plan_id
        LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = e.tenant_id
        LEFT JOIN LATERAL (
            SELECT r.rank FROM scheduling_job_ready r WHERE r.entity_id = e.id ORDER BY r.rank, r.job_id LIMIT 1
        ) own ON true
        LEFT JOIN LATERAL (
            SELECT k.head_rank FROM scheduling_schedulingentity k
            WHERE k.parent_id = e.id AND k.is_runnable AND e.keys_waiting + n.keys_delta > 0
            ORDER BY k.head_rank, k.in_flight, k.id LIMIT 1
        ) key ON true
)
UPDATE scheduling_schedulingentity e SET
    waiting = e.waiting + l.delta,
    keys_waiting = e.keys_waiting + l.keys_delta,
    head_rank = coalesce(l.head_rank, e.head_rank),
    own_rank = l.own_rank,
    weight_milli = l.weight_milli,
    is_runnable = l.is_runnable,
    vruntime = CASE WHEN l.is_runnable AND NOT e.is_runnable THEN greatest(e.vruntime, l.virtual_time)
        ELSE e.vruntime END,
    own_vruntime = CASE WHEN l.own_rank IS NOT NULL AND e.own_rank IS NULL THEN greatest(e.own_vruntime, e.virtual_time)
        ELSE e.own_vruntime END
FROM recomputed l WHERE e.id = l.id;
