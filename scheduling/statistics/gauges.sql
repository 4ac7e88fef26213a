-- Statements that sample the gauges. Jobs in flight are bounded by the slots, and waiting jobs are already counted in a
-- row for each tenant and queue. Of ready jobs only the heads of a few hundred lines are read, the longest waiting
-- first; of jobs in backoff the soonest.

-- name: is_fresh
-- Return whether a dispatcher has sampled within so many seconds, and written tenants within so many others.
SELECT coalesce(max(sampled_at) > now() - make_interval(secs => %(fresh)s), false) AS is_fresh,
    coalesce((SELECT max(sampled_at) FROM scheduling_tenant_gauge WHERE minute >= now() - interval '2 minutes')
        > now() - make_interval(secs => %(tenants_fresh)s), false) AS are_tenants_fresh
FROM scheduling_queue_gauge WHERE minute >= now() - interval '2 minutes';

-- name: sample_queues
-- Write the gauges of queues in this minute.
WITH
-- include: live
,
-- include: oldest
,
-- include: backing
, queued AS (
    SELECT queue_id, sum(waiting) AS waiting FROM scheduling_schedulingentity GROUP BY 1
), busy AS (
    SELECT queue_id, sum(dispatched) AS dispatched, sum(executing) AS executing, sum(slots_milli) AS slots_milli
    FROM live GROUP BY 1
), longest AS (
    SELECT queue_id, min(oldest_at) AS oldest_at FROM oldest GROUP BY 1
), later AS (
    SELECT queue_id, sum(backing_off) AS backing_off, sum(due) AS due, min(next_due_at) AS next_due_at
    FROM backing GROUP BY 1
)
INSERT INTO scheduling_queue_gauge (minute, queue_id, waiting, oldest_at, backing_off, due, next_due_at, dispatched,
    executing, slots_milli, sampled_at)
SELECT date_trunc('minute', now()), q.id, greatest(0, coalesce(waiting, 0)), oldest_at, coalesce(backing_off, 0),
    coalesce(due, 0), next_due_at, coalesce(dispatched, 0), coalesce(executing, 0), coalesce(slots_milli, 0), now()
FROM scheduling_queue q LEFT JOIN queued ON queued.queue_id = q.id LEFT JOIN busy ON busy.queue_id = q.id
    LEFT JOIN longest ON longest.queue_id = q.id LEFT JOIN later ON later.queue_id = q.id
ON CONFLICT (minute, queue_id) DO UPDATE SET
-- include: replaced;

-- name: sample_tenants
-- Write the gauges of tenants in this minute. A tenant without jobs gets a row of zeros in the current minute.
WITH
-- include: live
,
-- include: oldest
,
-- include: backing
, current_pairs AS (
    SELECT tenant_id, queue_id FROM live UNION SELECT tenant_id, queue_id FROM lines
    UNION SELECT tenant_id, queue_id FROM backing
), sample AS (
    SELECT tenant_id, queue_id, greatest(0, coalesce(e.waiting + e.keys_waiting, 0)) AS waiting, oldest_at,
        coalesce(backing_off, 0) AS backing_off, coalesce(due, 0) AS due, next_due_at,
        coalesce(dispatched, 0) AS dispatched, coalesce(executing, 0) AS executing,
        coalesce(slots_milli, 0) AS slots_milli, coalesce(busy_us, 0) AS busy_us
    FROM current_pairs LEFT JOIN live USING (tenant_id, queue_id) LEFT JOIN oldest USING (tenant_id, queue_id)
        LEFT JOIN backing USING (tenant_id, queue_id) LEFT JOIN LATERAL (
            SELECT waiting, keys_waiting FROM scheduling_schedulingentity e
            WHERE e.tenant_id = current_pairs.tenant_id AND e.queue_id = current_pairs.queue_id AND e.parent_id IS NULL LIMIT 1
        ) AS e ON true
), deleted_gauges AS (
    UPDATE scheduling_tenant_gauge g SET waiting = 0, oldest_at = NULL, backing_off = 0, due = 0, next_due_at = NULL,
        dispatched = 0, executing = 0, slots_milli = 0, busy_us = 0, sampled_at = now()
    WHERE g.minute = date_trunc('minute', now()) AND (g.tenant_id, g.queue_id) NOT IN (SELECT * FROM current_pairs)
)
INSERT INTO scheduling_tenant_gauge (tenant_id, minute, queue_id, waiting, oldest_at, backing_off, due, next_due_at,
    dispatched, executing, slots_milli, busy_us, sampled_at)
SELECT tenant_id, date_trunc('minute', now()), queue_id, waiting, oldest_at, backing_off, due, next_due_at, dispatched,
    executing, slots_milli, busy_us, now()
FROM sample
ON CONFLICT (tenant_id, minute, queue_id) DO UPDATE SET
-- include: replaced
, busy_us = excluded.busy_us;

-- name: sample_states
-- Note in this minute, while there are objectives, what keeps a tenant's waiting jobs from slots, as bits: its own
-- pause, its cap, its used-up worker time, maintenance, and that it uses what it is entitled to, after the gauges.
INSERT INTO scheduling_state_minute AS r (tenant_id, queue_id, minute, states)
SELECT * FROM (
    SELECT e.tenant_id, e.queue_id, date_trunc('minute', now()) AS minute, (
        (t.is_paused AND NOT t.is_paused_by_platform)::int
        + 2 * coalesce(c.in_flight >= coalesce(t.max_concurrency, p.max_concurrency), false)::int
        + 4 * (NOT (
        -- include: has_monthly_quota
        ))::int
        + 8 * (EXISTS (SELECT FROM scheduling_alert_silence s
            WHERE s.is_maintenance AND now() BETWEEN s.starts_at AND s.ends_at AND s.rule_id IS NULL
            AND s.only_kind = '' AND s.object_key IN ('', 'queue:' || q.name)
            AND s.only_queue IN ('', q.name) AND coalesce(s.only_tenant, s.tenant_id, t.id) = t.id))::int
        + 16 * (EXISTS (SELECT FROM scheduling_share_minute m JOIN scheduling_tenant_gauge g USING (tenant_id, queue_id)
            WHERE m.tenant_id = t.id AND m.queue_id = q.id AND g.minute = date_trunc('minute', now())
                AND m.minute = date_trunc('minute', now()) - interval '1 minute' AND m.backlogged_us > 0
                AND g.slots_milli * m.backlogged_us >= %(fair)s::float8 * 1000 * m.entitled_us))::int
        )::smallint AS states
    FROM scheduling_schedulingentity e
        JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
        JOIN scheduling_queue q ON q.id = e.queue_id LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = e.tenant_id
    WHERE e.parent_id IS NULL AND e.waiting + e.keys_waiting > 0 AND EXISTS (SELECT FROM scheduling_objective)
) AS found WHERE states > 0
ON CONFLICT (tenant_id, queue_id, minute) DO UPDATE SET states = r.states | excluded.states
WHERE r.states <> r.states | excluded.states;

-- name: sample_pools
-- Write the gauges of pools in this minute, after those of their queues, which are summed up.
INSERT INTO scheduling_pool_gauge (minute, pool_id, slots, slots_milli, sampled_at)
SELECT date_trunc('minute', now()), p.id, coalesce(
        (SELECT sum(w.slots) FROM scheduling_worker w
        WHERE w.pool_id = p.id AND w.status = 'online' AND w.heartbeat_at > now() - make_interval(secs => %(lease)s)), 0
    ), coalesce(
        (SELECT sum(g.slots_milli) FROM scheduling_queue_gauge g JOIN scheduling_queue q ON q.id = g.queue_id
        WHERE q.pool_id = p.id AND g.minute = date_trunc('minute', now())), 0
    ), now()
FROM scheduling_workerpool p
ON CONFLICT (minute, pool_id) DO UPDATE SET slots = excluded.slots, slots_milli = excluded.slots_milli,
    sampled_at = excluded.sampled_at;

-- fragment: backing
-- LATERAL with LIMIT: reads each state by its key, regardless of the planner's estimate of the table of jobs.
backing AS (
    SELECT e.queue_id, e.tenant_id, count(*) AS backing_off, count(*) FILTER (WHERE d.due_at <= now()) AS due,
        min(d.due_at) AS next_due_at
    FROM (SELECT job_id, entity_id, due_at FROM scheduling_job_due ORDER BY due_at LIMIT %(back_offs)s) AS d
        CROSS JOIN LATERAL (SELECT state FROM scheduling_job WHERE id = d.job_id LIMIT 1) AS j
        JOIN scheduling_schedulingentity e ON e.id = d.entity_id
    WHERE j.state = 'retryable' GROUP BY 1, 2
)

-- fragment: replaced
waiting = excluded.waiting, oldest_at = excluded.oldest_at, backing_off = excluded.backing_off, due = excluded.due,
    next_due_at = excluded.next_due_at, dispatched = excluded.dispatched, executing = excluded.executing,
    slots_milli = excluded.slots_milli, sampled_at = excluded.sampled_at
