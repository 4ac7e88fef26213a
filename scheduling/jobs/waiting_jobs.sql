-- name: end_waiting
-- Move waiting and suspended jobs to another state. A suspended job waits in no line, and the line of its key may have
-- been removed. A job that was resumed while this statement waited for its row is in a line again: it is left for the
-- next try, or its row there would stay.
WITH wanted AS (
    SELECT ids.n, j.id AS job_id, j.rank, j.tenant_id, j.queue_id, j.kind, e.id AS entity_id,
        j.state = 'suspended' AS is_suspended
    FROM unnest(%(job_ids)s::uuid[]) WITH ORDINALITY AS ids(id, n)
        JOIN scheduling_job j ON j.id = ids.id
        LEFT JOIN scheduling_schedulingentity e
            ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
), ready AS (
    DELETE FROM scheduling_job_ready r USING wanted w
    WHERE r.entity_id = w.entity_id AND r.rank = w.rank AND r.job_id = w.job_id RETURNING r.job_id
), due AS (
    DELETE FROM scheduling_job_due d USING wanted w WHERE d.job_id = w.job_id AND d.entity_id = w.entity_id
    RETURNING d.job_id
), held AS (
    DELETE FROM scheduling_job_held h USING wanted w WHERE h.job_id = w.job_id AND h.entity_id = w.entity_id
    RETURNING h.job_id
), deleted_waiting AS (
    SELECT job_id, 1 AS was_waiting FROM ready UNION ALL SELECT job_id, 1 FROM due
    UNION ALL SELECT job_id, 1 FROM held UNION ALL SELECT job_id, 0 FROM wanted WHERE is_suspended
), job AS (
    UPDATE scheduling_job j SET state = %(state)s::text,
        finished_at = CASE WHEN %(state)s::text <> 'suspended' THEN now() END,
        error_type = coalesce(nullif(%(error_type)s::text, ''), j.error_type),
        error_message = coalesce(nullif(%(error_message)s::text, ''), j.error_message),
        error_fingerprint = coalesce(nullif(%(error_fingerprint)s::text, ''), j.error_fingerprint)
    FROM deleted_waiting g JOIN wanted w USING (job_id)
    WHERE j.id = g.job_id AND j.state = ANY(%(from_states)s::text[]) AND j.queue_id = w.queue_id
      AND (g.was_waiting = 1 OR j.state = 'suspended')
    RETURNING j.id, j.tenant_id, j.queue_id, j.kind, j.batch_id, j.concurrency_key, j.unique_until, w.entity_id, w.n,
        g.was_waiting
), key_news AS (
    INSERT INTO scheduling_concurrency_key_news (tenant_id, kind, concurrency_key, ended)
    SELECT DISTINCT tenant_id, kind, concurrency_key, 0 FROM job WHERE concurrency_key IS NOT NULL AND was_waiting = 1
), unique_key AS (
    DELETE FROM scheduling_unique_key u
    WHERE u.job_id = ANY(ARRAY(SELECT id FROM job WHERE unique_until IS NOT NULL AND %(state)s::text <> 'suspended'))
), deadline AS (
    DELETE FROM scheduling_job_deadline d USING job j WHERE d.job_id = j.id AND %(state)s::text <> 'suspended'
), suspended AS (
    INSERT INTO scheduling_job_suspended (job_id, tenant_id)
    SELECT id, tenant_id FROM job WHERE %(state)s::text = 'suspended' ON CONFLICT DO NOTHING
), not_suspended AS (
    DELETE FROM scheduling_job_suspended s USING job j WHERE s.job_id = j.id AND j.was_waiting = 0
), batch_news AS (
    INSERT INTO scheduling_batch_news (tenant_id, batch_id, state)
    SELECT tenant_id, batch_id, %(state)s::text FROM job WHERE batch_id IS NOT NULL AND %(state)s::text <> 'suspended'
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, -sum(was_waiting) FROM job WHERE was_waiting > 0 GROUP BY 1, 2, 3
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT (%(event_ids)s::uuid[])[n], tenant_id, id, NULL, statement_timestamp(), %(event)s::text, %(state)s::text,
        %(actor)s::text, %(request_id)s::text, %(data)s::jsonb
    FROM job
), dead_letter AS (
    INSERT INTO scheduling_deadletter (id, tenant_id, job_id, kind, reason, error_type, error_message,
        error_fingerprint, created_at)
    SELECT (%(letter_ids)s::uuid[])[n], tenant_id, id, kind, %(dead_letter_reason)s::text, %(error_type)s::text,
        %(error_message)s::text, %(error_fingerprint)s::text, now()
    FROM job WHERE %(dead_letter_reason)s::text <> ''
), error AS (
    INSERT INTO scheduling_joberror (id, tenant_id, job_id, kind, error_type, error_message, error_fingerprint, at)
    SELECT (%(error_ids)s::uuid[])[n], tenant_id, id, kind, %(error_type)s::text, left(%(error_message)s::text, 500),
        %(error_fingerprint)s::text, now()
    FROM job WHERE %(error_type)s::text <> ''
), tally AS (
    INSERT INTO scheduling_tally (tenant_id, queue_id, kind, outcome, is_dead, measured_us, ended_at)
    SELECT tenant_id, queue_id, kind, '', true, 0, now() FROM job WHERE %(dead_letter_reason)s::text <> ''
)
SELECT id FROM job;

-- name: make_ready
-- Make backed-off or suspended jobs available.
WITH wanted AS (
    SELECT ids.n, j.id AS job_id, j.rank, j.tenant_id, j.queue_id, j.kind, e.id AS entity_id,
        j.state = 'suspended' AS is_suspended
    FROM unnest(%(job_ids)s::uuid[]) WITH ORDINALITY AS ids(id, n)
        JOIN scheduling_job j ON j.id = ids.id
        JOIN scheduling_schedulingentity e
            ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
), due AS (
    DELETE FROM scheduling_job_due d USING wanted w WHERE d.job_id = w.job_id AND d.entity_id = w.entity_id
    RETURNING d.job_id
), deleted_waiting AS (
    SELECT job_id, 0 AS joins FROM due UNION ALL SELECT job_id, 1 FROM wanted WHERE is_suspended
), job AS (
    UPDATE scheduling_job j SET state = 'available'
    FROM deleted_waiting g JOIN wanted w USING (job_id)
    WHERE j.id = g.job_id AND j.state = ANY(%(from_states)s::text[]) AND j.queue_id = w.queue_id
      AND (g.joins = 0 OR j.state = 'suspended')
    RETURNING j.id, j.tenant_id, j.queue_id, j.kind, j.rank, j.payload_bytes, j.used_us, j.merge_disabled,
        j.concurrency_key, w.entity_id, w.n, g.joins
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, merge_disabled,
        concurrency_key)
    SELECT tenant_id, entity_id, rank, id, kind, payload_bytes, used_us, merge_disabled, concurrency_key FROM job
), not_suspended AS (
    DELETE FROM scheduling_job_suspended s USING job j WHERE s.job_id = j.id AND j.joins = 1
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, sum(joins) FROM job GROUP BY 1, 2, 3
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT (%(event_ids)s::uuid[])[n], tenant_id, id, NULL, statement_timestamp(), %(event)s::text, 'available',
        %(actor)s::text, %(request_id)s::text, %(data)s::jsonb
    FROM job
)
SELECT id FROM job;
