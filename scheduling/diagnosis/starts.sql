-- name: find_stalled_pools
-- Read the pools in which jobs wait and none has started for a while.
SELECT pool.name FROM scheduling_workerpool pool
WHERE NOT pool.is_paused AND NOT EXISTS (SELECT FROM scheduling_drain d WHERE d.scope = 'pool' AND d.name = pool.name)
    AND (SELECT count(*) = 0 OR sum(w.slots)
            > (SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l
                WHERE l.pool_id = pool.id AND l.started_at IS NOT NULL)
            + coalesce((SELECT reserved_slots FROM scheduling_cfsplan WHERE is_active), 0)
        FROM scheduling_worker w WHERE w.pool_id = pool.id AND w.status = 'online'
            AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s))
    AND NOT EXISTS (SELECT FROM scheduling_execution_live l
        WHERE l.pool_id = pool.id AND l.started_at > now() - %(age)s::interval)
    AND NOT EXISTS (SELECT FROM scheduling_execution x
        WHERE x.id >= %(floor)s AND x.started_at > now() - %(age)s::interval
        AND x.queue_id IN (SELECT id FROM scheduling_queue WHERE pool_id = pool.id))
    AND (EXISTS (SELECT FROM scheduling_execution_live l
            WHERE l.pool_id = pool.id AND l.started_at IS NULL AND l.dispatched_at <= now() - %(age)s::interval)
        OR EXISTS (SELECT FROM scheduling_queue q JOIN scheduling_queue_clock c ON c.queue_id = q.id
            CROSS JOIN LATERAL (
                WITH next AS (
                    SELECT e.id, e.tenant_id FROM scheduling_schedulingentity e
                    WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL
                    ORDER BY e.vruntime, e.in_flight + e.keys_in_flight, e.head_rank, e.id LIMIT %(lines)s
                )
                SELECT id, tenant_id FROM next
                UNION ALL
                SELECT k.id, n.tenant_id FROM next n CROSS JOIN LATERAL (
                    SELECT k.id FROM scheduling_schedulingentity k WHERE k.parent_id = n.id AND k.is_runnable
                    ORDER BY k.vruntime, k.in_flight, k.head_rank, k.id LIMIT 1) k
                -- Jobs that no tick has folded.
                UNION ALL
                SELECT e.id, e.tenant_id
                FROM (SELECT w.entity_id FROM scheduling_wake w WHERE w.queue_id = q.id LIMIT %(lines)s) w
                    JOIN scheduling_schedulingentity e ON e.id = w.entity_id) line
            JOIN tenants_tenant t ON t.id = line.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
            LEFT JOIN scheduling_tenant_capacity tc ON tc.tenant_id = t.id
            CROSS JOIN LATERAL (
                SELECT r.job_id FROM scheduling_job_ready r WHERE r.entity_id = line.id
                ORDER BY r.rank, r.job_id LIMIT 1) head
            JOIN scheduling_job j ON j.id = head.job_id
            WHERE q.pool_id = pool.id AND NOT q.is_paused AND t.status = 'active' AND NOT t.is_paused
                AND coalesce(tc.in_flight, 0) <
                -- include: tenant_cap
                AND j.run_at <= now() - %(age)s::interval
                AND (q.dispatches_per_minute IS NULL OR c.arrival_us <= extract(epoch FROM now()) * 1000000)
                AND (q.cap IS NULL OR q.cap > (
                    SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l WHERE l.queue_id = q.id))))
ORDER BY pool.name;
