-- name: probe_tenants
-- Lock every row of a tenant that a tick may write or refer to, if that needs no waiting. Return the tenants with the
-- server process that holds one of their rows. Rows that another pool's tick holds count as free: that ends at once.
WITH place AS MATERIALIZED (
    SELECT id FROM scheduling_queue WHERE pool_id = %(pool_id)s
), candidate AS MATERIALIZED (
    SELECT tenant_id FROM scheduling_settled WHERE queue_id = ANY(ARRAY(SELECT id FROM place))
    UNION (SELECT tenant_id FROM scheduling_wake WHERE queue_id = ANY(ARRAY(SELECT id FROM place))
        ORDER BY is_bulk LIMIT %(wakes)s)
    UNION SELECT e.tenant_id FROM place CROSS JOIN LATERAL (
        SELECT tenant_id FROM scheduling_schedulingentity e
        WHERE e.queue_id = place.id AND e.is_runnable AND e.parent_id IS NULL ORDER BY e.vruntime LIMIT %(jobs)s) e
    UNION SELECT e.tenant_id FROM place CROSS JOIN LATERAL (
        SELECT tenant_id FROM scheduling_schedulingentity e
        WHERE e.queue_id = place.id AND e.is_runnable AND e.parent_id IS NULL ORDER BY e.head_rank LIMIT %(jobs)s) e
    UNION (SELECT tenant_id FROM scheduling_circuit_news ORDER BY id LIMIT %(news)s)
    UNION SELECT tenant_id FROM scheduling_execution_live WHERE pool_id = %(pool_id)s
    UNION SELECT name::uuid FROM scheduling_pool_clock CROSS JOIN LATERAL jsonb_object_keys(locked_tenants) AS name
        WHERE pool_id = %(pool_id)s
), tenant AS (
    SELECT t.id FROM tenants_tenant t JOIN candidate c ON c.tenant_id = t.id FOR KEY SHARE OF t SKIP LOCKED
), capacity AS (
    SELECT r.tenant_id FROM scheduling_tenant_capacity r JOIN candidate USING (tenant_id)
    FOR NO KEY UPDATE OF r SKIP LOCKED
), entity AS (
    SELECT r.id FROM scheduling_schedulingentity r JOIN candidate USING (tenant_id)
    WHERE r.queue_id = ANY(ARRAY(SELECT id FROM place)) FOR NO KEY UPDATE OF r SKIP LOCKED
), usage AS (
    SELECT r.tenant_id, r.key, r.period FROM tenants_tenantusage r JOIN candidate USING (tenant_id)
    WHERE r.key = ANY(%(keys)s) FOR NO KEY UPDATE OF r SKIP LOCKED
), cost AS (
    SELECT r.tenant_id, r.kind FROM scheduling_tenant_kind_cost r JOIN candidate USING (tenant_id)
    FOR NO KEY UPDATE OF r SKIP LOCKED
), breaker AS (
    SELECT r.id FROM scheduling_circuit_breaker r JOIN candidate USING (tenant_id) FOR NO KEY UPDATE OF r SKIP LOCKED
), held AS (
    SELECT r.id AS tenant_id, r.xmax AS holder FROM tenants_tenant r JOIN candidate c ON c.tenant_id = r.id
    WHERE r.id NOT IN (SELECT id FROM tenant)
    UNION ALL SELECT r.tenant_id, r.xmax FROM scheduling_tenant_capacity r JOIN candidate USING (tenant_id)
    WHERE r.tenant_id NOT IN (SELECT tenant_id FROM capacity)
    UNION ALL SELECT r.tenant_id, r.xmax FROM scheduling_schedulingentity r JOIN candidate USING (tenant_id)
    WHERE r.queue_id = ANY(ARRAY(SELECT id FROM place)) AND r.id NOT IN (SELECT id FROM entity)
    UNION ALL SELECT r.tenant_id, r.xmax FROM tenants_tenantusage r JOIN candidate USING (tenant_id)
    WHERE r.key = ANY(%(keys)s) AND (r.tenant_id, r.key, r.period) NOT IN (SELECT * FROM usage)
    UNION ALL SELECT r.tenant_id, r.xmax FROM scheduling_tenant_kind_cost r JOIN candidate USING (tenant_id)
    WHERE (r.tenant_id, r.kind) NOT IN (SELECT * FROM cost)
    UNION ALL SELECT r.tenant_id, r.xmax FROM scheduling_circuit_breaker r JOIN candidate USING (tenant_id)
    WHERE r.id NOT IN (SELECT id FROM breaker)
), granted AS MATERIALIZED (
    SELECT pid, locktype, transactionid, classid FROM pg_locks WHERE granted AND EXISTS (SELECT FROM held)
), foreign_held AS (
    SELECT h.tenant_id, max(g.pid) AS pid
    FROM held h LEFT JOIN granted g ON g.locktype = 'transactionid' AND g.transactionid = h.holder
    WHERE NOT EXISTS (SELECT FROM granted t
        WHERE t.pid = g.pid AND t.locktype = 'advisory' AND t.classid = %(tick_lock)s::oid)
    GROUP BY 1
)
SELECT c.tenant_id, f.tenant_id IS NOT NULL AS is_held, f.pid, p.locked_tenants ? c.tenant_id::text AS is_noted
FROM scheduling_pool_clock p CROSS JOIN candidate c LEFT JOIN foreign_held f USING (tenant_id)
WHERE p.pool_id = %(pool_id)s;

-- name: find_capacity_holders
-- Read which server processes other than ticks hold the capacities of tenants.
SELECT c.tenant_id, g.pid
FROM scheduling_tenant_capacity c JOIN pg_locks g
    ON g.granted AND g.locktype = 'transactionid' AND g.transactionid = c.xmax AND g.pid <> pg_backend_pid()
WHERE c.tenant_id = ANY(%(tenants)s::uuid[]) AND NOT EXISTS (SELECT FROM pg_locks t
    WHERE t.granted AND t.pid = g.pid AND t.locktype = 'advisory' AND t.classid = %(tick_lock)s::oid);

-- name: note_locked_tenants
-- Record in the clock of a pool which tenants are locked, and drop old entries.
UPDATE scheduling_pool_clock p SET locked_tenants = (
    SELECT coalesce(jsonb_object_agg(name, entry), '{}') FROM (
        SELECT h.tenant_id::text AS name, jsonb_build_object(
            'seen', extract(epoch FROM clock_timestamp())::float8, 'pid', h.pid, 'is_whole', %(is_whole)s::bool,
            'since', coalesce((p.locked_tenants -> h.tenant_id::text ->> 'since')::float8,
                extract(epoch FROM clock_timestamp())::float8)) AS entry
        FROM unnest(%(tenants)s::uuid[], %(pids)s::int[]) AS h(tenant_id, pid)
        UNION ALL
        SELECT name, CASE WHEN name::uuid = ANY(%(free)s::uuid[]) THEN entry || '{"is_whole": false}' ELSE entry END
        FROM jsonb_each(p.locked_tenants) AS e(name, entry)
        WHERE name::uuid <> ALL(%(tenants)s::uuid[])
            AND (entry ->> 'seen')::float8 > extract(epoch FROM clock_timestamp())::float8 - %(careful_seconds)s
    ) AS entries
)
WHERE p.pool_id = %(pool_id)s;

-- name: return_free_tenants
-- Wake tenants that were skipped for long and are free again, as after a pause: the fold of the wake moves them to the
-- level of their siblings.
WITH back AS (
    SELECT name::uuid AS tenant_id
    FROM scheduling_pool_clock CROSS JOIN LATERAL jsonb_each(locked_tenants) AS e(name, entry)
    WHERE pool_id = %(pool_id)s AND name::uuid = ANY(%(free)s::uuid[]) AND (entry ->> 'is_whole')::bool
        AND (entry ->> 'seen')::float8 - (entry ->> 'since')::float8 >= %(pause_seconds)s
), entity AS (
    UPDATE scheduling_schedulingentity e SET is_runnable = false
    FROM back b, scheduling_queue q
    WHERE e.tenant_id = b.tenant_id AND e.parent_id IS NULL AND q.id = e.queue_id AND q.pool_id = %(pool_id)s
    RETURNING e.tenant_id, e.id, e.queue_id
)
INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
SELECT tenant_id, id, queue_id, 0 FROM entity;
