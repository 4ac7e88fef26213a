-- name: measure_queues
-- Write the state of queues; return those whose alarm changed.
WITH live AS (
    SELECT pool_id, slots, queues FROM scheduling_worker
    WHERE status = 'online' AND heartbeat_at > now() - make_interval(secs => %(lease)s)
), pointed_at AS (
    SELECT queue_id FROM scheduling_routingrule WHERE is_active AND queue_id IS NOT NULL
    UNION SELECT g.queue_id FROM scheduling_routing_target g JOIN scheduling_routingrule r ON r.id = g.rule_id
        WHERE r.is_active AND r.balance <> ''
    UNION SELECT unnest(ARRAY[i.queue_id, coalesce(i.io_queue_id, i.queue_id)])
        FROM scheduling_cfsplantier i JOIN scheduling_cfsplan c ON c.id = i.plan_id
        WHERE c.is_active AND EXISTS (SELECT FROM scheduling_routingrule WHERE is_active AND by_tier)
), work AS (
    -- Only if a rule needs it: over runnable lines, so that idle tenants cost nothing.
    SELECT q.pool_id, sum(e.waiting::bigint * e.estimate_us)::bigint AS work_us
    FROM scheduling_schedulingentity e JOIN scheduling_queue q ON q.id = e.queue_id
    WHERE e.is_runnable AND %(sums_work)s::bool GROUP BY 1
), measured AS (
    SELECT q.id AS queue_id, q.name,
        coalesce(CASE WHEN %(keeps_work)s::bool THEN b.work_us ELSE w.work_us END, 0) AS work_us,
        coalesce((SELECT sum(l.slots) FROM live l
                  WHERE l.pool_id = q.pool_id AND jsonb_exists(l.queues, q.name)), 0) AS slots,
        q.id IN (SELECT queue_id FROM pointed_at) OR EXISTS (
            SELECT FROM scheduling_schedulingentity e
            WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL) AS is_needed
    FROM scheduling_queue q LEFT JOIN work w ON w.pool_id = q.pool_id
        LEFT JOIN scheduling_queue_standing b ON b.queue_id = q.id
), before AS (
    SELECT queue_id, unread_since FROM scheduling_queue_standing
), written AS (
    INSERT INTO scheduling_queue_standing AS s (queue_id, work_us, slots, unread_since)
    SELECT queue_id, work_us, slots, CASE WHEN slots = 0 AND is_needed THEN now() END FROM measured
    ON CONFLICT (queue_id) DO UPDATE SET work_us = excluded.work_us, slots = excluded.slots,
        unread_since = CASE WHEN excluded.unread_since IS NOT NULL
            THEN coalesce(s.unread_since, excluded.unread_since) END
    WHERE (s.work_us, s.slots, s.unread_since IS NULL)
        IS DISTINCT FROM (excluded.work_us, excluded.slots, excluded.unread_since IS NULL)
    RETURNING queue_id, unread_since
)
SELECT m.name, w.unread_since IS NOT NULL AS is_on FROM written w JOIN measured m USING (queue_id)
    LEFT JOIN before b USING (queue_id)
WHERE (w.unread_since IS NULL) IS DISTINCT FROM (b.unread_since IS NULL);
