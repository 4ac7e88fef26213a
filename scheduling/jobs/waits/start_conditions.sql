-- name: read_standing
-- Read everything that the start of a waiting job depends on. The cost does not depend on the number of waiting jobs.
SELECT clock_timestamp() AS now, d.due_at,
    t.status = 'suspended' AS is_suspended, t.status_reason AS suspension_reason, t.suspended_until,
    t.is_paused AS is_tenant_paused, t.pause_reason AS tenant_pause_reason, t.paused_until AS tenant_paused_until,
    -- include: tenant_cap
    AS tenant_cap, coalesce(c.in_flight, 0) AS tenant_in_flight,
    q.is_paused AS is_queue_paused, q.pause_reason AS queue_pause_reason, q.paused_until AS queue_paused_until,
    q.cap AS queue_cap,
    (SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l WHERE l.queue_id = q.id) AS queue_in_flight,
    q.dispatches_per_minute, q.dispatch_burst, qc.arrival_us,
    kp.kind IS NOT NULL AS is_kind_paused, coalesce(kp.reason, '') AS kind_pause_reason,
    kp.paused_until AS kind_paused_until,
    ci.state AS circuit_state, ci.until AS circuit_until, ci.error_type AS circuit_error_type,
    ci.forced_reason AS circuit_forced_reason, ci.dependency AS circuit_dependency,
    ci.tenant_id IS NULL AS is_circuit_shared,
    wp.is_paused AS is_pool_paused, wp.pause_reason AS pool_pause_reason, wp.paused_until AS pool_paused_until,
    wp.region, t.allowed_regions, coalesce(rl.allowed_regions, '{}') AS data_regions, wp.memory_mib, coalesce(wp.kinds ? %(kind)s::text, true) AS is_kind_announced,
    pd.id IS NOT NULL AS is_pool_drained, coalesce(pd.reason, '') AS pool_drain_reason, pd.until AS pool_drained_until,
    (SELECT coalesce(sum(w.slots), 0) FROM scheduling_worker w WHERE w.pool_id = wp.id AND w.status = 'online'
        AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)) AS slots,
    (SELECT count(DISTINCT l.message_id)
     FROM scheduling_execution_live l LEFT JOIN scheduling_worker w ON w.id = l.worker_id
     WHERE l.pool_id = wp.id AND w.status IS DISTINCT FROM 'draining') AS in_flight,
    %(concurrency_key)s::text IS NOT NULL AND (key.in_flight >= %(key_limit)s::int OR EXISTS (
        -- A tick has not admitted it: jobs before it are about to take the places.
        SELECT FROM scheduling_job_held h WHERE h.job_id = %(job_id)s AND h.gate < 'circuit'
            AND key.in_flight + key.ready >= %(key_limit)s::int)) AS is_key_full,
    pc.ticked_at, pc.broker_away_at, pc.locked_tenants -> t.id::text AS locked,
    (SELECT coalesce(sum(u.amount), 0)::bigint FROM tenants_tenantusage u
     WHERE u.tenant_id = t.id AND u.key = %(usage)s
        AND u.period = date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')::date) AS worker_us,
    (
        -- include: used_up_resources
        ORDER BY r.key LIMIT 1) AS used_up,
    CASE WHEN wp.resource_class <> 'io' THEN
        -- include: memory_limit
    END AS memory_limit_mib, (
        -- include: memory_in_use
    )::bigint AS memory_in_use_mib
FROM tenants_tenant t JOIN tenants_plan p ON p.id = t.plan_id
    CROSS JOIN scheduling_queue q JOIN scheduling_queue_clock qc ON qc.queue_id = q.id
    JOIN scheduling_workerpool wp ON wp.id = q.pool_id LEFT JOIN scheduling_pool_clock pc ON pc.pool_id = wp.id
    LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = t.id
    LEFT JOIN scheduling_kindpause kp ON kp.kind = %(kind)s::text
    LEFT JOIN (SELECT id AS job_id, tenant_id, kind FROM scheduling_job) r ON r.job_id = %(job_id)s
    LEFT JOIN scheduling_circuit_breaker ci ON ci.id =
        -- include: circuit_before
    CROSS JOIN LATERAL (SELECT coalesce((SELECT k.in_flight FROM scheduling_concurrency_key k WHERE k.tenant_id = t.id
        AND k.kind = %(kind)s::text AND k.concurrency_key = %(concurrency_key)s::text), 0) AS in_flight,
        (SELECT count(*) FROM (SELECT FROM scheduling_job_ready o WHERE o.tenant_id = t.id AND o.kind = %(kind)s::text
            AND o.concurrency_key = %(concurrency_key)s::text LIMIT %(key_limit)s::int) o) AS ready) key
    LEFT JOIN scheduling_job_subject js ON js.job_id = %(job_id)s
    LEFT JOIN scheduling_region_label rl ON rl.tenant_id = js.tenant_id AND rl.subject = js.subject
    LEFT JOIN scheduling_drain pd ON pd.scope = 'pool' AND pd.name = wp.name
    LEFT JOIN scheduling_job_due d ON d.job_id = %(job_id)s
WHERE t.id = %(tenant_id)s AND q.id = %(queue_id)s;
