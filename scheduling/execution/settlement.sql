-- The statements that settle executions. Statements that lock both lock waiting rows before job rows.

-- name: settle_one
-- Settle one execution without dependencies.
WITH
-- include: one_settlement
, deleted_live AS (
    DELETE FROM scheduling_execution_live l
    USING settlement v WHERE l.id = v.execution_id AND l.fence = v.fence RETURNING l.*
), ended AS (
    SELECT
    -- include: ended_columns
    FROM deleted_live l CROSS JOIN settlement v
), job AS (
    UPDATE scheduling_job j SET
    -- include: job_changes
    -- include: job_condition
),
-- include: effects
, circuit_news AS (
    -- include: news_of_kinds
),
-- include: end_of_deadline
-- include: settled_rows
;

-- name: settle_many
-- Settle the executions of a message, all without dependencies.
WITH
-- include: settlement
,
-- include: locked
, deleted_live AS (
    -- The number of live rows changes within seconds and statistics lag: a list is found by key whatever they say,
    -- where a join may read all rows for each of many.
    DELETE FROM scheduling_execution_live l WHERE l.id = ANY(ARRAY(SELECT execution_id FROM locked)) RETURNING l.*
), ended AS (
    SELECT
    -- include: ended_columns
    FROM deleted_live l FULL JOIN locked v ON v.execution_id = l.id
), job AS (
    UPDATE scheduling_job j SET
    -- include: job_changes
    -- include: job_condition
),
-- include: effects
, circuit_news AS (
    -- include: news_of_kinds
),
-- include: end_of_deadline
-- include: settled_rows
;

-- name: settle_one_naming
-- Settle one execution with dependencies.
WITH
-- include: one_settlement
, deleted_live AS (
    DELETE FROM scheduling_execution_live l
    USING settlement v WHERE l.id = v.execution_id AND l.fence = v.fence RETURNING l.*
), ended AS (
    SELECT
    -- include: ended_columns
    FROM deleted_live l CROSS JOIN settlement v
), job AS (
    UPDATE scheduling_job j SET
    -- include: remember_dependencies
    ,
    -- include: job_changes
    -- include: job_condition
),
-- include: effects
, circuit_news AS (
    -- include: news_of_kinds
    -- include: news_of_dependencies
),
-- include: end_of_deadline
-- include: settled_rows
;

-- name: settle_many_naming
-- Settle the executions of a message, some with dependencies.
WITH
-- include: settlement
,
-- include: locked
, deleted_live AS (
    -- The number of live rows changes within seconds and statistics lag: a list is found by key whatever they say,
    -- where a join may read all rows for each of many.
    DELETE FROM scheduling_execution_live l WHERE l.id = ANY(ARRAY(SELECT execution_id FROM locked)) RETURNING l.*
), ended AS (
    SELECT
    -- include: ended_columns
    FROM deleted_live l FULL JOIN locked v ON v.execution_id = l.id
), job AS (
    UPDATE scheduling_job j SET
    -- include: remember_dependencies
    ,
    -- include: job_changes
    -- include: job_condition
),
-- include: effects
, circuit_news AS (
    -- include: news_of_kinds
    -- include: news_of_dependencies
),
-- include: end_of_deadline
-- include: settled_rows
;

-- name: settle_one_begin_next
-- Settle one execution of a list without dependencies, and begin the next one, if it was live. The next one is locked
-- after the settled one, and passed over if another session has locked it. Return one row, with NULLs for what was not
-- found.
WITH
-- include: one_settlement
, deleted_live AS (
    DELETE FROM scheduling_execution_live l
    USING settlement v WHERE l.id = v.execution_id AND l.fence = v.fence RETURNING l.*
), ended AS (
    SELECT
    -- include: ended_columns
    FROM deleted_live l CROSS JOIN settlement v
), job AS (
    UPDATE scheduling_job j SET
    -- include: job_changes
    -- include: job_condition
),
-- include: effects
, circuit_news AS (
    -- include: news_of_kinds
), turn AS (SELECT job_id FROM job), next AS (
    -- include: next_of_hold
    SKIP LOCKED
),
-- include: begin_next
,
-- include: end_of_deadline
SELECT s.*, b.id AS begun_id, b.fence AS begun_fence, extract(epoch FROM b.started_at)::float8 AS begun_at
FROM (SELECT) AS one LEFT JOIN (
    -- include: settled_rows
) AS s ON true LEFT JOIN begun b ON true;

-- fragment: settlement
settlement AS (
    SELECT
    -- include: settlement_values
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS v(
    -- include: settlement_types
    )
)

-- fragment: one_settlement
-- The only settlement of a statement: PostgreSQL expects one row, where it would expect a hundred of a set.
settlement AS (
    SELECT
    -- include: settlement_values
    FROM jsonb_to_record(%(rows)s::jsonb -> 0) AS v(
    -- include: settlement_types
    )
)

-- fragment: settlement_values
-- Omitted values have the defaults of `Settlement`.
        execution_id, fence, outcome, state, event,
        coalesce(attempt_delta, 0) AS attempt_delta, coalesce(crash_delta, 0) AS crash_delta,
        result, checkpoint, due_in_seconds,
        coalesce(error_type, '') AS error_type, coalesce(error_message, '') AS error_message,
        coalesce(error_beginning, error_message, '') AS error_beginning,
        coalesce(error_fingerprint, '') AS error_fingerprint, coalesce(traceback, '') AS traceback,
        coalesce(dead_letter_reason, '') AS dead_letter_reason,
        coalesce(is_sample, false) AS is_sample, coalesce(is_lost, false) AS is_lost,
        coalesce(event_data, '{}') AS event_data,
        peak_memory_kib, cpu_us, io_bytes, began_us, measured_us, most_us, coalesce(merge_disabled, false) AS merge_disabled,
        dependencies, coalesce(is_blamed, false) AS is_blamed, retry_after_seconds, progress,
        charge_id, event_id, dead_letter_id, error_id

-- fragment: settlement_types
        execution_id uuid, fence bigint, outcome text, state text, event text,
        attempt_delta int, crash_delta int, result jsonb, checkpoint jsonb,
        due_in_seconds float8, error_type text, error_message text, error_beginning text, error_fingerprint text,
        traceback text, dead_letter_reason text, is_sample bool, is_lost bool, event_data jsonb,
        peak_memory_kib bigint, cpu_us bigint, io_bytes bigint, began_us bigint, measured_us bigint, most_us bigint, merge_disabled bool,
        dependencies jsonb, is_blamed bool, retry_after_seconds float8, progress jsonb,
        charge_id uuid, event_id uuid, dead_letter_id uuid, error_id uuid

-- fragment: locked
-- Executions are locked in one order everywhere, so that two transactions that lock several do not deadlock.
locked AS (
    SELECT v.* FROM scheduling_execution_live l JOIN settlement v ON l.id = v.execution_id AND l.fence = v.fence
    WHERE l.id = ANY(ARRAY(SELECT execution_id FROM settlement))
    ORDER BY l.id FOR NO KEY UPDATE OF l
)

-- fragment: ended_columns
    l.id, l.tenant_id, l.job_id, l.entity_id, l.queue_id, l.message_id, l.kind, l.number, l.fence,
        l.worker_id, l.predicted_us, l.whole_us, l.weight_milli, l.queue_weight_milli, l.rate_milli,
        l.dispatched_at, l.concurrency_key, v.outcome, v.event, l.started_at AS message_started_at,
        -- It began when its turn came in a merged message, when its slot came free, or never.
        CASE WHEN v.measured_us IS NULL AND v.began_us IS NULL THEN l.started_at
            ELSE l.started_at + v.began_us * interval '1 microsecond' END AS started_at,
        -- A job whose cancellation was requested is not dispatched again. A retry that could begin only after the
        -- deadline discards the job now.
        CASE WHEN l.cancel_requested_at IS NOT NULL AND v.state IN ('available', 'retryable', 'scheduled', 'suspended')
                THEN 'cancelled'
            -- The event that it was about to wait for has come already.
            WHEN l.wake_requested_at IS NOT NULL AND v.state = 'suspended' AND v.outcome = 'put_off'
                THEN 'available'
            WHEN v.state = 'retryable' AND EXISTS (SELECT FROM scheduling_job_deadline d WHERE d.job_id = l.job_id
                AND d.deadline_at <= now() + make_interval(secs => v.due_in_seconds)) THEN 'discarded'
            ELSE v.state END AS state,
        v.attempt_delta, v.crash_delta, v.result,
        v.checkpoint, v.due_in_seconds, v.error_type, v.error_message, v.error_beginning, v.error_fingerprint,
        v.traceback, v.dead_letter_reason, v.is_sample, v.event_data,
        v.peak_memory_kib, v.cpu_us, v.io_bytes, v.charge_id, v.event_id, v.dead_letter_id, v.error_id,
        v.merge_disabled, v.dependencies, v.is_blamed, v.retry_after_seconds, v.progress,
        -- Without a worker's measurement the execution is charged up to the last heartbeat of its worker, in equal
        -- parts with those that shared the slot. This clock may have been set meanwhile, hence the bounds.
        CASE WHEN l.started_at IS NULL THEN 0 ELSE least(coalesce(v.most_us, %(most_us)s), greatest(0,
            coalesce(v.measured_us, (round(1000000 * extract(epoch FROM
                CASE WHEN v.is_lost THEN coalesce(
                    (SELECT least(w.heartbeat_at, clock_timestamp()) FROM scheduling_worker w WHERE w.id = l.worker_id),
                    l.started_at) ELSE clock_timestamp() END - l.started_at)
                / CASE WHEN v.is_lost THEN (SELECT count(o.started_at) FROM scheduling_execution_live o
                    WHERE o.message_id = l.message_id) ELSE 1 END - coalesce(v.began_us, 0)))::bigint)))
        END AS measured_us

-- fragment: job_changes
        state = e.state,
        attempt = j.attempt + e.attempt_delta,
        crash_count = j.crash_count + e.crash_delta,
        yield_count = j.yield_count + (e.outcome = 'yielded')::int,
        merge_disabled = j.merge_disabled OR e.merge_disabled,
        -- A job that was returned before its turn has not started yet.
        started_at = CASE WHEN e.started_at IS NULL AND j.started_at = e.message_started_at THEN NULL
            ELSE j.started_at END,
        checkpoint = coalesce(e.checkpoint, j.checkpoint),
        progress_current = coalesce((e.progress ->> 'current')::bigint, j.progress_current),
        progress_total = coalesce((e.progress ->> 'total')::bigint, j.progress_total),
        progress_message = coalesce(e.progress ->> 'message', j.progress_message),
        result = coalesce(e.result, j.result),
        error_type = CASE WHEN e.state = 'completed' THEN '' ELSE coalesce(nullif(e.error_type, ''), j.error_type) END,
        error_message = CASE WHEN e.state = 'completed' THEN ''
            WHEN e.error_type <> '' THEN e.error_message ELSE j.error_message END,
        error_fingerprint = CASE WHEN e.state = 'completed' THEN ''
            WHEN e.error_type <> '' THEN e.error_fingerprint ELSE j.error_fingerprint END,
        -- Slot time counts as used if its work is kept: the whole of a finished job, else what led to a checkpoint.
        -- Without a checkpoint the next execution starts over.
        used_us = CASE WHEN e.state
        -- include: in_terminal_states
                OR e.outcome = 'yielded' OR coalesce(e.checkpoint, j.checkpoint) <> '{}'
            THEN j.used_us + e.measured_us ELSE 0 END,
        finished_at = CASE WHEN e.state
        -- include: in_terminal_states
        THEN now() END

-- fragment: remember_dependencies
-- Lets the gate hold the job before a further start. A finished job needs nothing.
        dependencies = CASE WHEN e.dependencies IS NULL
                OR e.state NOT IN ('available', 'retryable', 'scheduled', 'suspended') THEN j.dependencies
            ELSE ARRAY(SELECT n ->> 'name' FROM jsonb_array_elements(e.dependencies) n) END,
        shared_dependencies = CASE
            WHEN e.dependencies IS NULL OR e.state NOT IN ('available', 'retryable', 'scheduled', 'suspended')
                THEN j.shared_dependencies
            ELSE ARRAY(SELECT n ->> 'name' FROM jsonb_array_elements(e.dependencies) n
                WHERE (n ->> 'is_shared')::bool) END

-- fragment: job_condition
    FROM ended e
    WHERE j.id = e.job_id AND j.fence = e.fence AND j.state IN ('dispatched', 'executing')
    RETURNING j.id AS job_id, j.batch_id, j.rank, j.run_at, j.payload_bytes, j.used_us, j.merge_disabled, j.unique_until,
        j.started_at = e.message_started_at AS is_first_start

-- fragment: ended_at
-- The end of the slot time, so that folded rows and recounts agree by minute and month.
coalesce(started_at + measured_us * interval '1 microsecond', now())

-- fragment: wait_us
-- Only the first start ends a wait that began when the job could run.
CASE WHEN is_first_start THEN greatest(0, 1000000 * extract(epoch FROM started_at - run_at))::bigint END

-- fragment: effects
-- The effects of ``ended`` and ``job``: history, charges, news for ticks, and the rows of waiting jobs.
charge AS (
    INSERT INTO scheduling_charge (id, tenant_id, job_id, execution_id, queue_id, reason, microseconds, at,
        cpu_us, peak_memory_kib, io_bytes)
    SELECT charge_id, tenant_id, job_id, id, queue_id, 'corrected',
        -- include: measured_charge
        -
        -- include: predicted_charge
        , now(), cpu_us, peak_memory_kib, io_bytes
    FROM ended
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, job_id, id, statement_timestamp(), event, state, %(actor)s, '',
        CASE WHEN (state = 'discarded' AND dead_letter_reason = '')
            THEN jsonb_build_object('cause', 'retry_past_deadline') ELSE event_data END
    FROM ended
), ended_with_jobs AS (
    -- Joined once for all uses. Every job belongs to an ended execution: FULL only excludes a nested loop over all
    -- pairs, which a generic plan would choose.
    SELECT e.*, j.job_id IS NOT NULL AS is_known, j.batch_id, j.rank, j.run_at, j.payload_bytes, j.used_us,
        j.merge_disabled AS goes_alone, j.unique_until, j.is_first_start
    FROM ended e FULL JOIN job j USING (job_id)
), execution AS (
    INSERT INTO scheduling_execution (id, tenant_id, job_id, queue_id, kind, number, fence, worker_id, outcome,
        predicted_us, measured_us, rate_milli, peak_memory_kib, cpu_us, io_bytes, dispatched_at, started_at, ended_at,
        error_type, error_message, traceback, wait_us)
    SELECT id, tenant_id, job_id, queue_id, kind, number, fence, worker_id, outcome,
        coalesce(whole_us, predicted_us), measured_us, rate_milli, peak_memory_kib, cpu_us, io_bytes, dispatched_at,
        started_at,
        -- include: ended_at
        AS ended_at, error_type, error_message, traceback,
        -- include: wait_us
    FROM ended_with_jobs
), settled AS (
    INSERT INTO scheduling_settled (tenant_id, entity_id, queue_id, message_id, kind, predicted_us, whole_us,
        measured_us, weight_milli, queue_weight_milli, rate_milli, is_sample, payload_bytes, used_us, peak_memory_kib,
        cpu_us, io_bytes, ended_at)
    SELECT tenant_id, entity_id, queue_id, message_id, kind, predicted_us, whole_us, measured_us, weight_milli,
        queue_weight_milli, rate_milli,
        -- A failure earlier than the predicted time does not measure the work.
        is_known AND is_sample AND (outcome = 'completed' OR measured_us >= coalesce(whole_us, predicted_us)),
        coalesce(payload_bytes, 0), coalesce(used_us, 0), peak_memory_kib, cpu_us, io_bytes,
        -- include: ended_at
    FROM ended_with_jobs
), tally AS (
    INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, wait_us, started_at, measured_us,
        worker_id, result_bytes, ended_at)
    SELECT tenant_id, queue_id, kind, outcome,
        dead_letter_reason <> '' OR (state = 'discarded' AND dead_letter_reason = ''),
        -- include: wait_us
        , started_at, measured_us, worker_id, pg_column_size(result),
        -- include: ended_at
    FROM ended_with_jobs
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, merge_disabled,
        concurrency_key)
    SELECT tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, goes_alone, concurrency_key
    FROM ended_with_jobs WHERE is_known AND state = 'available'
), key_news AS (
    INSERT INTO scheduling_concurrency_key_news (tenant_id, kind, concurrency_key, ended)
    SELECT tenant_id, kind, concurrency_key, count(*) FROM ended WHERE concurrency_key IS NOT NULL GROUP BY 1, 2, 3
), unique_key AS (
    DELETE FROM scheduling_unique_key u WHERE u.job_id = ANY(ARRAY(
        SELECT job_id FROM ended_with_jobs WHERE unique_until IS NOT NULL AND state
        -- include: in_terminal_states
    ))
), due AS (
    INSERT INTO scheduling_job_due (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, due_at)
    SELECT tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us,
        now() + make_interval(secs => due_in_seconds)
    FROM ended_with_jobs WHERE is_known AND state IN ('retryable', 'scheduled')
), suspended AS (
    INSERT INTO scheduling_job_suspended (job_id, tenant_id, is_own, wake_at)
    SELECT job_id, tenant_id, outcome = 'put_off', now() + make_interval(secs => due_in_seconds)
    FROM ended_with_jobs WHERE is_known AND state = 'suspended'
    ON CONFLICT (job_id) DO UPDATE SET is_own = excluded.is_own, wake_at = excluded.wake_at
), batch_news AS (
    INSERT INTO scheduling_batch_news (tenant_id, batch_id, state)
    SELECT tenant_id, batch_id, state FROM ended_with_jobs
    WHERE batch_id IS NOT NULL AND state
    -- include: in_terminal_states
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, 1 FROM ended WHERE state IN ('available', 'retryable', 'scheduled')
), dead_letter AS (
    INSERT INTO scheduling_deadletter
        (id, tenant_id, job_id, kind, reason, error_type, error_message, error_fingerprint, created_at)
    SELECT dead_letter_id, tenant_id, job_id, kind,
        CASE WHEN (state = 'discarded' AND dead_letter_reason = '') THEN 'retry_past_deadline'
            ELSE dead_letter_reason END,
        error_type, error_message, error_fingerprint, now()
    FROM ended WHERE dead_letter_reason <> '' OR (state = 'discarded' AND dead_letter_reason = '')
), error AS (
    INSERT INTO scheduling_joberror
        (id, tenant_id, job_id, execution_id, kind, error_type, error_message, error_fingerprint, at)
    SELECT error_id, tenant_id, job_id, id, kind, error_type, error_beginning, error_fingerprint, now()
    FROM ended WHERE error_type <> ''
)

-- fragment: news_of_kinds
    -- Transient errors move a breaker; a success only moves one that already counts.
    INSERT INTO scheduling_circuit_news (tenant_id, kind, dependency, is_shared, job_id, fingerprint, error_type,
        error_message, retry_after_seconds, at)
    SELECT e.tenant_id, e.kind, '', false, e.job_id,
        CASE e.outcome WHEN 'completed' THEN '' ELSE e.error_fingerprint END,
        e.error_type, e.error_beginning, e.retry_after_seconds, clock_timestamp()
    FROM ended e
    WHERE (e.outcome IN ('failed', 'timed_out', 'crashed') AND e.error_fingerprint <> ''
            AND e.dead_letter_reason <> 'permanent_error' AND NOT e.is_blamed)
        OR (e.outcome = 'completed' AND (
            EXISTS (SELECT FROM scheduling_circuit_breaker c
                WHERE c.tenant_id = e.tenant_id AND c.kind = e.kind AND c.dependency = '')
            OR EXISTS (SELECT FROM scheduling_circuit_news n
                WHERE n.tenant_id = e.tenant_id AND n.kind = e.kind AND n.dependency = '')))

-- fragment: news_of_dependencies
-- OFFSET keeps each of these an index probe, whatever row counts the planner assumes.
    UNION ALL
    SELECT e.tenant_id, e.kind, n.name, n.is_shared AND NOT n.is_own_timeout, e.job_id, n.fingerprint, n.error_type,
        n.error_message, n.retry_after_seconds, clock_timestamp()
    FROM ended e CROSS JOIN LATERAL jsonb_to_recordset(e.dependencies) AS n(name text, is_shared bool, is_up bool,
        fingerprint text, error_type text, error_message text, retry_after_seconds float8,
        is_own_timeout bool)
    WHERE NOT n.is_up OR (n.is_up AND (
        EXISTS (SELECT FROM scheduling_circuit_breaker c
            WHERE c.tenant_id = e.tenant_id AND c.kind = e.kind AND c.dependency = n.name OFFSET 0)
        OR EXISTS (SELECT FROM scheduling_circuit_news o
            WHERE o.tenant_id = e.tenant_id AND o.kind = e.kind AND o.dependency = n.name OFFSET 0)
        OR (n.is_shared AND (
            EXISTS (SELECT FROM scheduling_circuit_breaker c
                WHERE c.tenant_id IS NULL AND c.kind = e.kind AND c.dependency = n.name OFFSET 0)
            OR EXISTS (SELECT FROM scheduling_circuit_news o
                WHERE o.is_shared AND o.kind = e.kind AND o.dependency = n.name OFFSET 0)))))

-- fragment: end_of_deadline
deadline AS (
    DELETE FROM scheduling_job_deadline d USING ended e
    WHERE d.job_id = e.job_id AND e.state
    -- include: in_terminal_states
)

-- fragment: settled_rows
SELECT e.id AS execution_id, e.job_id, e.tenant_id, e.kind, e.outcome, e.state, e.measured_us, q.name AS queue,
    coalesce(p.tier_id, '') AS tier
FROM ended_with_jobs e JOIN scheduling_queue q ON q.id = e.queue_id
    LEFT JOIN tenants_tenant t ON t.id = e.tenant_id LEFT JOIN tenants_plan p ON p.id = t.plan_id
WHERE e.is_known
