-- name: find_used_slices
-- Lock the live executions of a pool that have used up their slice. In a merged message it is unknown which member
-- runs; such jobs are shorter than any slice. Workers renew leases on the same rows, and a settlement deletes
-- them: a locked row is left to the next tick.
SELECT l.id FROM scheduling_execution_live l
WHERE l.pool_id = %(pool_id)s AND
    -- include: is_slice_used
    AND (%(free)s::uuid[] IS NULL OR l.tenant_id = ANY(%(free)s::uuid[]))
    AND (l.is_list
        OR NOT EXISTS (SELECT FROM scheduling_execution_live o WHERE o.message_id = l.message_id AND o.id <> l.id))
ORDER BY l.id FOR NO KEY UPDATE OF l SKIP LOCKED;

-- name: charge_slices
-- Charge another slice to executions. Weights are those of the dispatch, at which the settlement corrects the charge. A
-- clock moves to the start of the last slice, but not past a waiting child: otherwise arrivals would queue behind
-- service that none has received. The statement reads the virtual times from before its own charges.
WITH continued AS (
    UPDATE scheduling_execution_live l SET
        predicted_us = l.predicted_us + s.slices * s.slice_us, whole_us = coalesce(l.whole_us, l.predicted_us)
    FROM (
        SELECT l.id, u.charge_id, p.granularity_seconds * 1000000::bigint AS slice_us,
            1 + floor((least(extract(epoch FROM now() - l.started_at) * 1000000, %(most_us)s) - l.predicted_us)
                / (p.granularity_seconds * 1000000::bigint))::bigint AS slices
        FROM unnest(%(ids)s::uuid[], %(charge_ids)s::uuid[]) AS u(id, charge_id)
            JOIN scheduling_execution_live l ON l.id = u.id
            JOIN scheduling_cfsplan p ON p.is_active AND p.strategy = 'time_slice'
    ) s
    WHERE l.id = s.id
    RETURNING l.id, l.tenant_id, l.job_id, l.entity_id, l.queue_id, l.weight_milli, l.queue_weight_milli, s.charge_id,
        l.predicted_us, l.rate_milli, s.slices * s.slice_us AS cost_us, s.slice_us
), charge AS (
    INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at)
    SELECT charge_id, tenant_id, job_id, id, queue_id, 'slice',
        -- include: predicted_charge
        - div((predicted_us - cost_us)::numeric * rate_milli, 1000), now()
    FROM continued
), line AS (
    SELECT g.entity_id, e.parent_id, sum(cost_us * 1000)::bigint AS key_service, max(slice_us * 1000) AS key_slice,
        sum(div(cost_us::numeric * 1000000, g.weight_milli))::bigint AS service,
        max(slice_us * 1000000 / g.weight_milli) AS slice
    FROM continued g JOIN scheduling_schedulingentity e ON e.id = g.entity_id GROUP BY 1, 2
), key AS (
    UPDATE scheduling_schedulingentity k SET vruntime = k.vruntime + l.key_service
    FROM line l WHERE k.id = l.entity_id AND l.parent_id IS NOT NULL
    RETURNING k.parent_id, k.vruntime - l.key_slice AS start_tag
), tenant AS (
    SELECT coalesce(parent_id, entity_id) AS id, sum(service)::bigint AS service, max(slice) AS slice,
        coalesce(sum(key_service) FILTER (WHERE parent_id IS NULL), 0)::bigint AS own_service,
        max(key_slice) FILTER (WHERE parent_id IS NULL) AS own_slice
    FROM line GROUP BY 1
), entity AS (
    UPDATE scheduling_schedulingentity e SET
        vruntime = e.vruntime + t.service,
        own_vruntime = e.own_vruntime + t.own_service,
        virtual_time = greatest(e.virtual_time, least(
            greatest(e.own_vruntime + t.own_service - t.own_slice,
                (SELECT max(k.start_tag) FROM key k WHERE k.parent_id = e.id)),
            CASE WHEN e.own_rank IS NOT NULL THEN e.own_vruntime END,
            (SELECT min(k.vruntime) FROM scheduling_schedulingentity k WHERE k.parent_id = e.id AND k.is_runnable)))
    FROM tenant t WHERE e.id = t.id
    RETURNING e.queue_id, e.vruntime - t.slice AS start_tag
), queue AS (
    UPDATE scheduling_queue_clock c SET
        vruntime = c.vruntime + q.service,
        virtual_time = greatest(c.virtual_time, least(
            (SELECT max(e.start_tag) FROM entity e WHERE e.queue_id = c.queue_id),
            (SELECT min(e.vruntime) FROM scheduling_schedulingentity e
             WHERE e.queue_id = c.queue_id AND e.parent_id IS NULL AND e.is_runnable)))
    FROM (
        SELECT queue_id, sum(div(cost_us::numeric * 1000000, queue_weight_milli))::bigint AS service,
            max(slice_us * 1000000 / queue_weight_milli) AS slice
        FROM continued GROUP BY 1
    ) q WHERE c.queue_id = q.queue_id
    RETURNING c.vruntime - q.slice AS start_tag
)
UPDATE scheduling_pool_clock c SET virtual_time = q.start_tag
FROM (
    SELECT least(max(start_tag), (
        SELECT min(w.vruntime) FROM scheduling_queue_clock w JOIN scheduling_queue s ON s.id = w.queue_id
        WHERE s.pool_id = %(pool_id)s AND w.was_backlogged
    )) AS start_tag FROM queue
) q
WHERE c.pool_id = %(pool_id)s AND q.start_tag > c.virtual_time;
