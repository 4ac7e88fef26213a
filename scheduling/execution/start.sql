-- name: start_one
-- Start one execution.
WITH
-- include: requested
, begun AS (
    UPDATE scheduling_execution_live l SET
    -- include: begin
    WHERE l.id = ANY(%(execution_ids)s) AND l.token = %(token)s AND l.started_at IS NULL
    RETURNING l.id, l.tenant_id, l.job_id, l.queue_id, l.message_id, l.kind, l.number, l.fence, l.dispatched_at
),
-- include: job_and_joined
, event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, statement_timestamp(), 'execution.started', 'executing',
        'system', '', jsonb_build_object('number', number, 'worker', %(worker_id)s)
    FROM joined WHERE fence IS NOT NULL
)
-- include: started
;

-- name: start_many
-- Start the executions of a message, in its order.
WITH
-- include: requested
,
-- Executions are locked in one order everywhere, so that two transactions that lock several do not deadlock.
locked AS (
    SELECT l.id FROM scheduling_execution_live l
    WHERE l.id = ANY(%(execution_ids)s) AND l.token = %(token)s AND l.started_at IS NULL
    ORDER BY l.id FOR NO KEY UPDATE
), begun AS (
    UPDATE scheduling_execution_live l SET
    -- include: begin
    WHERE l.id = ANY(ARRAY(SELECT id FROM locked)) AND l.token = %(token)s AND l.started_at IS NULL
    RETURNING l.id, l.tenant_id, l.job_id, l.queue_id, l.message_id, l.kind, l.number, l.fence, l.dispatched_at
),
-- include: job_and_joined
, event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, statement_timestamp(), 'execution.started', 'executing',
        'system', '', jsonb_build_object('number', number, 'worker', %(worker_id)s,
            'message', message_id, 'position', row_number() OVER (ORDER BY position), 'size', count(*) OVER ())
    FROM joined WHERE fence IS NOT NULL
)
-- include: started
;

-- fragment: requested
requested AS (
    SELECT * FROM unnest(%(execution_ids)s::uuid[], %(event_ids)s::uuid[]) WITH ORDINALITY
        AS n(id, event_id, position)
)

-- fragment: begin
started_at = statement_timestamp(), worker_id = %(worker_id)s, fence = l.fence + 1,
lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)

-- fragment: job_and_joined
job AS (
    UPDATE scheduling_job j SET
        state = 'executing', fence = b.fence, started_at = coalesce(j.started_at, statement_timestamp())
    FROM begun b
    WHERE j.id = b.job_id AND j.state = 'dispatched' AND j.fence = b.fence - 1
    RETURNING j.id, j.payload, j.attempt, j.crash_count, j.max_retries, j.checkpoint, j.deadline_at,
        j.fence, j.run_at, j.started_at, j.traceparent, j.unique_until
), unique_key AS (
    DELETE FROM scheduling_unique_key u
    WHERE u.job_id = ANY(ARRAY(SELECT id FROM job WHERE unique_until = 'started'))
), joined AS (
    -- Joined once for all uses. The smaller sets are subsets of the larger: FULL only excludes a nested loop over all
    -- pairs, which a generic plan would choose.
    SELECT b.id, b.job_id, b.tenant_id, b.queue_id, b.message_id, b.kind, b.number, b.dispatched_at, n.event_id,
        n.position, j.fence, j.payload, j.attempt, j.crash_count, j.max_retries, j.checkpoint, j.deadline_at, j.run_at,
        j.started_at, j.traceparent
    FROM requested n FULL JOIN begun b ON b.id = n.id FULL JOIN job j ON j.id = b.job_id
)

-- fragment: started
SELECT b.id AS execution_id, b.job_id, b.tenant_id, b.kind, b.number, b.fence, b.payload, b.attempt + 1 AS attempt,
    b.crash_count, b.max_retries, b.checkpoint, b.deadline_at, coalesce(b.deadline_at <= now(), false) AS is_expired,
    extract(epoch FROM now() - b.dispatched_at)::float8 AS pickup_seconds, coalesce(
        (SELECT o.value FROM tenants_tenantlimit o WHERE o.tenant_id = b.tenant_id AND o.key = %(memory_key)s
            AND (o.expires_at IS NULL OR o.expires_at > now())),
        (SELECT r.value FROM tenants_planlimit r WHERE r.plan_id = t.plan_id AND r.key = %(memory_key)s),
        %(memory_default)s) AS memory_limit_mib,
    CASE WHEN b.started_at = statement_timestamp() THEN extract(epoch FROM now() - b.run_at)::float8 END
        AS wait_seconds,
    q.name AS queue, coalesce(p.tier_id, '') AS tier, extract(epoch FROM statement_timestamp())::float8 AS started_at,
    b.traceparent,
    -- The plan's rule for the kind precedes its rule for every kind.
    coalesce(p.retry_rules -> b.kind -> 'delays_seconds', p.retry_rules -> '*' -> 'delays_seconds')
        AS plan_retry_delays_seconds
FROM joined b JOIN scheduling_queue q ON q.id = b.queue_id
    LEFT JOIN tenants_tenant t ON t.id = b.tenant_id LEFT JOIN tenants_plan p ON p.id = t.plan_id
ORDER BY b.position
