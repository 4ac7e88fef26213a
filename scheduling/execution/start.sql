-- name: start_one
-- Start the only execution of a message for a hold. Repeated for the same hold, it changes nothing and returns the same.
WITH
-- include: requested
, taken AS (
    UPDATE scheduling_execution_live l SET
        started_at = coalesce(l.started_at, statement_timestamp()), fence = l.fence + (l.started_at IS NULL)::int,
    -- include: hold
    WHERE l.id = ANY(%(execution_ids)s) AND
    -- include: may_hold
    -- include: taken_columns
),
-- include: start_of_single_ones
;

-- name: start_many
-- Hold the executions of a message, and start them in its order: of a list only the first. Repeated for the same hold,
-- it begins nothing, and returns what the hold still has.
WITH
-- include: requested
,
-- Executions are locked in one order everywhere, so that two transactions that lock several do not deadlock.
locked AS (
    SELECT l.id FROM scheduling_execution_live l
    WHERE l.id = ANY(%(execution_ids)s) AND
    -- include: may_hold
    ORDER BY l.id FOR NO KEY UPDATE
), first AS (
    SELECT id FROM requested JOIN locked USING (id) ORDER BY position LIMIT 1
), taken AS (
    UPDATE scheduling_execution_live l SET
        started_at = CASE WHEN l.hold_id IS NULL AND (NOT l.is_list OR l.id = (SELECT id FROM first))
            THEN statement_timestamp() ELSE l.started_at END,
        fence = l.fence + (l.hold_id IS NULL AND (NOT l.is_list OR l.id = (SELECT id FROM first)))::int,
    -- include: hold
    WHERE l.id = ANY(ARRAY(SELECT id FROM locked)) AND
    -- include: may_hold
    -- include: taken_columns
), job AS (
    -- include: job
), jobs AS (
    TABLE job
    UNION ALL
    SELECT
    -- include: job_columns
    FROM scheduling_job j
    WHERE j.id = ANY(ARRAY(SELECT job_id FROM taken WHERE started_at IS NULL)) AND j.state = 'dispatched'
),
-- include: joined
,
-- include: started_keys
, event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, statement_timestamp(), 'execution.started', 'executing',
        'system', '', jsonb_build_object('number', number, 'worker', %(worker_id)s) || CASE WHEN is_list THEN '{}'
            ELSE jsonb_build_object('message', message_id, 'position', row_number() OVER (ORDER BY position),
                'size', count(*) OVER ()) END
    FROM joined WHERE
    -- include: begins_now
)
-- include: started
;

-- name: start_each
-- Start the only executions of several messages, each for its own hold. Repeated for the same holds, it changes nothing
-- and returns the same.
WITH requested AS (
    SELECT * FROM unnest(%(execution_ids)s::uuid[], %(tokens)s::uuid[], %(hold_ids)s::uuid[], %(event_ids)s::uuid[])
        WITH ORDINALITY AS n(id, token, hold_id, event_id, position)
), locked AS (
    SELECT l.id FROM scheduling_execution_live l JOIN requested n ON n.id = l.id
    WHERE l.id = ANY(%(execution_ids)s) AND
    -- include: may_hold_own
    ORDER BY l.id FOR NO KEY UPDATE OF l
), taken AS (
    UPDATE scheduling_execution_live l SET
        started_at = coalesce(l.started_at, statement_timestamp()), fence = l.fence + (l.started_at IS NULL)::int,
        worker_id = %(worker_id)s, hold_id = n.hold_id,
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)
    FROM requested n
    WHERE n.id = l.id AND l.id = ANY(ARRAY(SELECT id FROM locked)) AND
    -- include: may_hold_own
    -- include: taken_columns
),
-- include: start_of_single_ones
;

-- fragment: start_of_single_ones
-- Start the jobs of ``taken``, each of which is alone in its message.
jobs AS (
    -- include: job
),
-- include: joined
,
-- include: started_keys
, event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, statement_timestamp(), 'execution.started', 'executing',
        'system', '', jsonb_build_object('number', number, 'worker', %(worker_id)s)
    FROM joined WHERE
    -- include: begins_now
)
-- include: started

-- fragment: may_hold_own
    l.token = n.token AND (l.hold_id IS NULL OR l.hold_id = n.hold_id) AND
    -- include: site_may_start

-- fragment: requested
requested AS (
    SELECT * FROM unnest(%(execution_ids)s::uuid[], %(event_ids)s::uuid[]) WITH ORDINALITY
        AS n(id, event_id, position)
)

-- fragment: hold
        worker_id = %(worker_id)s, hold_id = %(hold_id)s,
        lease_expires_at = now() + make_interval(secs => %(lease_seconds)s)

-- fragment: may_hold
    l.token = %(token)s AND (l.hold_id IS NULL OR l.hold_id = %(hold_id)s) AND
    -- include: site_may_start

-- fragment: taken_columns
    RETURNING l.id, l.tenant_id, l.job_id, l.queue_id, l.message_id, l.kind, l.number, l.fence, l.dispatched_at,
        l.started_at, l.is_list, coalesce(l.whole_us, l.predicted_us) AS expected_us

-- fragment: job
    UPDATE scheduling_job j SET
        state = 'executing', fence = b.fence, started_at = coalesce(j.started_at, b.started_at)
    FROM taken b
    WHERE j.id = b.job_id AND b.started_at IS NOT NULL
        AND (j.state, j.fence) IN (('dispatched', b.fence - 1), ('executing', b.fence))
    RETURNING
    -- include: job_columns

-- fragment: job_columns
        j.id, j.payload, j.attempt, j.crash_count, j.max_retries, j.checkpoint, j.deadline_at, j.fence, j.run_at,
        j.started_at, j.traceparent, j.unique_until

-- fragment: joined
joined AS (
    -- Joined once for all uses. The smaller sets are subsets of the larger: FULL only excludes a nested loop over all
    -- pairs, which a generic plan would choose.
    SELECT b.id, b.job_id, b.tenant_id, b.queue_id, b.message_id, b.kind, b.number, b.dispatched_at, b.fence,
        b.started_at, b.is_list, b.expected_us, n.event_id, n.position, j.fence AS job_fence, j.payload, j.attempt,
        j.crash_count, j.max_retries, j.checkpoint, j.deadline_at, j.run_at, j.started_at AS job_started_at,
        j.traceparent, j.unique_until
    FROM requested n FULL JOIN taken b ON b.id = n.id FULL JOIN jobs j ON j.id = b.job_id
)

-- fragment: started_keys
started_keys AS (
    DELETE FROM scheduling_unique_key u WHERE u.job_id = ANY(ARRAY(SELECT job_id FROM joined
        WHERE unique_until = 'started' AND
        -- include: begins_now
    ))
)

-- fragment: begins_now
    job_fence = fence AND started_at = statement_timestamp()

-- fragment: started
SELECT b.id AS execution_id, b.job_id, b.tenant_id, b.kind, b.number, b.fence, b.job_fence, b.payload,
    b.attempt + 1 AS attempt, b.crash_count, b.max_retries, b.checkpoint, b.deadline_at,
    coalesce(b.deadline_at <= now(), false) AS is_expired, b.is_list, b.expected_us,
    b.started_at IS NOT NULL AS has_begun,
    extract(epoch FROM coalesce(b.started_at, now()) - b.dispatched_at)::float8 AS pickup_seconds, coalesce(
        (SELECT o.value FROM tenants_tenantlimit o WHERE o.tenant_id = b.tenant_id AND o.key = %(memory_key)s
            AND (o.expires_at IS NULL OR o.expires_at > now())),
        (SELECT r.value FROM tenants_planlimit r WHERE r.plan_id = t.plan_id AND r.key = %(memory_key)s),
        %(memory_default)s) AS memory_limit_mib,
    -- NULL and NULL: a job that has never started, and waits for its turn in a list.
    CASE WHEN b.job_started_at IS NOT DISTINCT FROM b.started_at
        THEN extract(epoch FROM coalesce(b.started_at, now()) - b.run_at)::float8 END AS wait_seconds,
    q.name AS queue, coalesce(p.tier_id, '') AS tier,
    extract(epoch FROM coalesce(b.started_at, statement_timestamp()))::float8 AS started_at, b.traceparent,
    -- The plan's rule for the kind precedes its rule for every kind.
    coalesce(p.retry_rules -> b.kind -> 'delays_seconds', p.retry_rules -> '*' -> 'delays_seconds')
        AS plan_retry_delays_seconds
FROM joined b JOIN scheduling_queue q ON q.id = b.queue_id
    LEFT JOIN tenants_tenant t ON t.id = b.tenant_id LEFT JOIN tenants_plan p ON p.id = t.plan_id
ORDER BY b.position
