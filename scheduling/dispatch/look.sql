-- name: look
-- Take the lock of a pool for this transaction, and find out what there is to do: one statement in place of several
-- that mostly find nothing, since an idle tick is mostly round trips. A queue at a time is asked for a runnable line:
-- each queue of a pool with nothing to do would be looked for among all the lines of the others.
SELECT pg_try_advisory_xact_lock(%(tick_lock)s::int, %(pool_id)s::int) AS is_led,
    NOT EXISTS (SELECT FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s
        AND ticked_at >= now() - interval '1 second' AND broker_away_at IS NULL) AS is_clock_old,
    EXISTS (SELECT FROM scheduling_pool_clock WHERE pool_id = %(pool_id)s AND locked_tenants <> '{}')
        AS is_anybody_locked,
    EXISTS (SELECT FROM scheduling_job_due WHERE due_at <= now()) AS is_due,
    EXISTS (SELECT FROM scheduling_job_held) AS is_held,
    EXISTS (SELECT FROM scheduling_circuit_news)
        OR EXISTS (SELECT FROM scheduling_circuit_breaker c WHERE c.state = 'open' AND c.until <= now() AND
            -- include: holds_jobs
            )
        OR EXISTS (SELECT FROM scheduling_circuit_breaker c
            WHERE c.state IN ('half_open', 'closing', 'forced_closed') AND (c.state = 'closing' OR
            -- include: holds_jobs
            )) AS is_circuit,
    EXISTS (SELECT FROM scheduling_settled WHERE queue_id = ANY (
    -- include: queues_of_pool
    )) AS is_settled,
    EXISTS (SELECT FROM scheduling_wake WHERE queue_id = ANY (
    -- include: queues_of_pool
    )) AS is_woken,
    EXISTS (SELECT FROM scheduling_execution_live l WHERE l.pool_id = %(pool_id)s AND
    -- include: is_slice_used
    ) AS is_slice_used,
    EXISTS (SELECT FROM unnest(
    -- include: queues_of_pool
    ) AS q(id) CROSS JOIN LATERAL (
        SELECT FROM scheduling_schedulingentity e
        WHERE e.queue_id = q.id AND e.is_runnable AND e.parent_id IS NULL ORDER BY e.vruntime LIMIT 1) AS runnable)
    AS is_anybody_runnable;

-- name: set_clock
-- Write when a pool was ticked. Clocks are inserted here for a pool or queue that has none: a copied row without one
-- would end every tick of all pools.
WITH of_queues AS (
    INSERT INTO scheduling_queue_clock (queue_id, vruntime, virtual_time, floor, was_backlogged)
    SELECT q.id, 0, 0, 0, false FROM scheduling_queue q
    WHERE q.pool_id = %(pool_id)s AND NOT EXISTS (SELECT FROM scheduling_queue_clock c WHERE c.queue_id = q.id)
    ON CONFLICT DO NOTHING
)
INSERT INTO scheduling_pool_clock (pool_id, virtual_time, ticked_at)
SELECT id, 0, now() FROM scheduling_workerpool WHERE id = %(pool_id)s
ON CONFLICT (pool_id) DO UPDATE SET ticked_at = now(), broker_away_at = NULL;

-- fragment: queues_of_pool
ARRAY(SELECT id FROM scheduling_queue WHERE pool_id = %(pool_id)s)
