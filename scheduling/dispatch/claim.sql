-- name: reserve_capacity
-- Take tenants' caps for their messages; return the tenants that had room and may run in the region of the pool. A cap
-- spans pools, so it is counted in the tenant's own row: two pools' ticks that count executions first could exceed it
-- together.
WITH wanted AS (
    SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(counts)s::int[]) AS w(tenant_id, n)
), locked AS (
    SELECT c.tenant_id, w.n FROM scheduling_tenant_capacity c JOIN wanted w USING (tenant_id)
    -- Another pool's tick locks the rows that it folds and takes: waiting here, after folding, could deadlock.
    ORDER BY c.tenant_id FOR NO KEY UPDATE OF c SKIP LOCKED
)
UPDATE scheduling_tenant_capacity c SET in_flight = c.in_flight + w.n
FROM locked w
    JOIN tenants_tenant t ON t.id = w.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
WHERE c.tenant_id = w.tenant_id AND (t.allowed_regions = '{}' OR (
    SELECT region FROM scheduling_workerpool WHERE id = %(pool_id)s) = ANY(t.allowed_regions)) AND c.in_flight + w.n <=
-- include: tenant_cap
RETURNING c.tenant_id;

-- name: claim_jobs
-- Move picked jobs from ready to dispatched, with their executions, charges and events. The charge is at the pool's
-- rate; the fair order is of slot time, since a rate is the same for all that compete. The rows that the DELETE
-- returns are claimed, not the picked ones; they are already locked, so nothing waits.
WITH picked AS (
    SELECT *, (SELECT rate_milli FROM scheduling_workerpool WHERE id = %(pool_id)s) AS rate_milli
    FROM unnest(%(entity_ids)s::bigint[], %(ranks)s::bigint[], %(job_ids)s::uuid[], %(queue_ids)s::bigint[],
        %(costs)s::bigint[], %(execution_ids)s::uuid[], %(tokens)s::uuid[], %(charge_ids)s::uuid[],
        %(event_ids)s::uuid[], %(weights)s::int[], %(queue_weights)s::int[], %(message_ids)s::uuid[],
        %(start_tags)s::bigint[], %(queue_tags)s::bigint[], %(key_tags)s::bigint[], %(runner_up_tags)s::bigint[],
        %(queue_runner_up_tags)s::bigint[], %(key_runner_up_tags)s::bigint[],
        %(in_flights)s::int[], %(waitings)s::int[], %(levels)s::text[], %(reasons)s::text[],
        %(predictions)s::bigint[], %(are_lists)s::bool[], %(moves)s::jsonb[])
        AS p(entity_id, rank, job_id, queue_id, cost_us, execution_id, token, charge_id, event_id, weight_milli,
            queue_weight_milli, message_id, start_tag, queue_tag, key_tag, runner_up_tag, queue_runner_up_tag,
            key_runner_up_tag, in_flight, waiting, level, reason, predicted_us, is_list, move)
), deleted_ready AS (
    DELETE FROM scheduling_job_ready r USING picked p
    WHERE r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
    RETURNING r.tenant_id, r.kind, r.concurrency_key, p.*
), claimed AS (
    UPDATE scheduling_job j SET state = 'dispatched', execution_count = j.execution_count + 1
    FROM deleted_ready g WHERE j.id = g.job_id AND j.state = 'available'
    RETURNING g.*, j.execution_count AS number, j.fence, j.traceparent,
        div(g.cost_us::numeric * g.rate_milli, 1000)::bigint AS charged_us
), live AS (
    INSERT INTO scheduling_execution_live (id, tenant_id, job_id, entity_id, queue_id, pool_id, kind, number, token,
        fence, predicted_us, whole_us, weight_milli, queue_weight_milli, rate_milli, message_id, is_list,
        dispatched_at, published_at, concurrency_key)
    SELECT execution_id, tenant_id, job_id, entity_id, queue_id, %(pool_id)s, kind, number, token,
        fence, cost_us, nullif(predicted_us, cost_us), weight_milli, queue_weight_milli, rate_milli, message_id,
        is_list, now(), now(), concurrency_key
    FROM claimed
), charge AS (
    INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at)
    SELECT charge_id, tenant_id, job_id, execution_id, queue_id, 'predicted', charged_us, now() FROM claimed
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, execution_id, statement_timestamp(), 'job.dispatched', 'dispatched', 'system',
        '',
        -- The basis of the pick, for the explanation of a wait.
        jsonb_strip_nulls(jsonb_build_object('start_tag', start_tag, 'queue_vruntime', queue_tag,
            'key_start_tag', key_tag, 'runner_up_start_tag', runner_up_tag,
            'queue_runner_up_start_tag', queue_runner_up_tag, 'key_runner_up_start_tag', key_runner_up_tag,
            'in_flight', in_flight, 'waiting', waiting, 'level', level, 'reason', reason,
            'predicted_us', predicted_us, 'charged_us', nullif(charged_us, predicted_us), 'number', number,
            'moved', move))
    FROM claimed
)
SELECT execution_id, fence, traceparent FROM claimed;

-- name: return_capacity
-- Return taken capacity.
UPDATE scheduling_tenant_capacity c SET in_flight = c.in_flight - u.n
FROM unnest(%(tenant_ids)s::uuid[], %(counts)s::int[]) AS u(tenant_id, n) WHERE c.tenant_id = u.tenant_id;

-- name: read_rates
-- Read the rates of queues, their arrival times, and the time of the transaction.
SELECT q.id AS queue_id, q.dispatches_per_minute, q.dispatch_burst, c.arrival_us,
    (extract(epoch FROM now()) * 1000000)::bigint AS now_us
FROM scheduling_queue q JOIN scheduling_queue_clock c ON c.queue_id = q.id
WHERE q.id = ANY(%(queue_ids)s);

-- name: spend_rates
-- Set the arrival times of queues.
UPDATE scheduling_queue_clock c SET arrival_us = u.arrival_us
FROM unnest(%(queue_ids)s::bigint[], %(arrivals_us)s::bigint[]) AS u(queue_id, arrival_us)
WHERE c.queue_id = u.queue_id;

-- name: give_back_token
-- Move the arrival time of a rated queue back by one job.
UPDATE scheduling_queue_clock c SET arrival_us = c.arrival_us - ceil(60000000.0 / q.dispatches_per_minute)::bigint
FROM scheduling_queue q WHERE q.name = %(queue)s AND c.queue_id = q.id AND q.dispatches_per_minute > 0;
