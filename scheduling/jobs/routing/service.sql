-- name: read_routes
-- Read the rules and the tiers' queues as one JSON document: each process reads it each half second.
WITH rules AS (
    SELECT * FROM scheduling_routingrule WHERE is_active
), targets AS (
    SELECT t.*, q.name FROM scheduling_routing_target t JOIN rules ON rules.id = t.rule_id AND rules.balance <> ''
        JOIN scheduling_queue q ON q.id = t.queue_id
), tiers AS (
    SELECT t.tier_id, t.region, t.queue_id, coalesce(t.io_queue_id, t.queue_id) AS io_queue_id
    FROM scheduling_cfsplantier t JOIN scheduling_cfsplan p ON p.id = t.plan_id WHERE p.is_active
), queues AS (
    SELECT * FROM scheduling_queue WHERE id IN (
        SELECT queue_id FROM rules UNION SELECT queue_id FROM targets UNION SELECT queue_id FROM tiers
        UNION SELECT io_queue_id FROM tiers)
)
SELECT json_build_object(
    'rules', (SELECT coalesce(json_agg(r ORDER BY r.position), '[]') FROM rules r),
    'targets', (SELECT coalesce(json_agg(t ORDER BY t.name), '[]') FROM targets t),
    'tiers', (SELECT coalesce(json_object_agg(t.tier_id, t.regions ORDER BY t.tier_id), '{}') FROM (
        SELECT tier_id, json_object_agg(region,
            json_build_object('cpu', queue_id, 'io', io_queue_id) ORDER BY region) AS regions
        FROM tiers GROUP BY tier_id) t),
    'queues', (SELECT coalesce(json_agg(q ORDER BY q.id), '[]') FROM queues q),
    'pools', (SELECT coalesce(json_agg(p ORDER BY p.id), '[]') FROM scheduling_workerpool p
        WHERE p.id IN (SELECT pool_id FROM queues))
);
