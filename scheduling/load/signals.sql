-- name: read_pools
-- Return for each pool the time of its ticks, unless its last one is old, and, while its slots are in use, how long the
-- longest-waiting job has waited that could start and whose tenant has neither now, nor in this or the last minute, the
-- slots that it is entitled to. Jobs that wait although slots are free, or for lack of a worker, are a fault and no load.
WITH
-- include: live
,
-- include: oldest
, entitled AS (
    SELECT q.pool_id, min(o.oldest_at) AS oldest_at
    FROM oldest o JOIN scheduling_queue q ON q.id = o.queue_id AND NOT q.is_paused
    WHERE EXISTS (SELECT FROM scheduling_schedulingentity e
            WHERE e.tenant_id = o.tenant_id AND e.queue_id = o.queue_id AND e.parent_id IS NULL AND e.is_runnable)
        AND NOT EXISTS (
            SELECT FROM scheduling_share_minute m
                LEFT JOIN live l ON l.tenant_id = m.tenant_id AND l.queue_id = m.queue_id
                LEFT JOIN scheduling_tenant_minute u
                    ON u.tenant_id = m.tenant_id AND u.minute = m.minute AND u.queue_id = m.queue_id
            WHERE m.tenant_id = o.tenant_id AND m.queue_id = o.queue_id
                AND m.minute >= date_trunc('minute', now()) - interval '1 minute' AND m.backlogged_us > 0
                AND greatest(l.slots_milli * m.backlogged_us / 1000, u.busy_us) >= %(fair)s::float8 * m.entitled_us)
    GROUP BY 1
)
, filled AS (
    SELECT w.pool_id FROM scheduling_worker w
    WHERE w.status = 'online' AND w.heartbeat_at > now() - make_interval(secs => %(lease)s)
    GROUP BY 1 HAVING sum(w.slots) * 900 <= (
        SELECT sum(l.slots_milli) FROM live l JOIN scheduling_queue q ON q.id = l.queue_id WHERE q.pool_id = w.pool_id)
)
SELECT p.name, extract(epoch FROM now() - e.oldest_at)::float8 AS oldest_wait,
    CASE WHEN c.picked_at > now() - make_interval(secs => %(recent)s) THEN c.tick_us / 1000.0::float8 END AS tick
FROM scheduling_workerpool p LEFT JOIN scheduling_pool_clock c ON c.pool_id = p.id
    LEFT JOIN entitled e ON e.pool_id = p.id AND NOT p.is_paused
        AND p.id IN (SELECT pool_id FROM filled);

-- name: read_connections
-- Return the part of the allowed connections that are in use, in percent.
SELECT (100.0 * sum(numbackends) / current_setting('max_connections')::int)::float8 FROM pg_stat_database;

-- name: respond
-- Return at once, to measure how long a round trip takes.
SELECT 1;
