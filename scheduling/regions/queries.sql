-- name: read_regions
-- Read the regions of the pools with their live slots and jobs, and what stops if each is lost: the tenants that allow no
-- other region with live slots, those with the most waiting jobs first, and their waiting jobs there.
WITH pools AS (
    SELECT p.id, p.name, p.region, count(w.id) AS workers, coalesce(sum(w.slots), 0) AS slots
    FROM scheduling_workerpool p LEFT JOIN scheduling_worker w ON w.pool_id = p.id AND w.status = 'online'
        AND w.heartbeat_at > now() - make_interval(secs => %(lease)s)
    GROUP BY 1
), lines AS (
    SELECT p.region, e.tenant_id, sum(e.waiting + e.keys_waiting) AS waiting
    FROM scheduling_schedulingentity e JOIN scheduling_queue q ON q.id = e.queue_id JOIN pools p ON p.id = q.pool_id
    WHERE e.parent_id IS NULL AND e.waiting + e.keys_waiting > 0 GROUP BY 1, 2
), stuck AS (
    SELECT r.region, t.slug, coalesce(l.waiting, 0) AS waiting
    FROM (SELECT DISTINCT region FROM pools WHERE region <> '') r
        JOIN tenants_tenant t ON r.region = ANY(t.allowed_regions) AND NOT EXISTS (
            SELECT FROM pools o WHERE o.region <> r.region AND o.region = ANY(t.allowed_regions) AND o.slots > 0)
        LEFT JOIN lines l ON l.region = r.region AND l.tenant_id = t.id
)
SELECT p.region AS name, array_agg(p.name ORDER BY p.name)::text[] AS pools, sum(p.workers)::int AS workers,
    sum(p.slots)::int AS slots,
    (SELECT coalesce(sum(o.slots), 0) FROM pools o WHERE o.region <> p.region)::int AS slots_left,
    (SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l JOIN pools o ON o.id = l.pool_id
     WHERE o.region = p.region)::int AS in_flight,
    (SELECT coalesce(sum(l.waiting), 0) FROM lines l WHERE l.region = p.region)::bigint AS waiting,
    (SELECT count(*) FROM stuck s WHERE s.region = p.region)::int AS stuck_tenants,
    (SELECT coalesce(sum(s.waiting), 0) FROM stuck s WHERE s.region = p.region)::bigint AS stuck_jobs,
    ARRAY(SELECT s.slug FROM stuck s WHERE s.region = p.region ORDER BY s.waiting DESC, s.slug LIMIT 10)::text[]
        AS stuck_slugs
FROM pools p WHERE p.region <> '' GROUP BY p.region ORDER BY 1;
