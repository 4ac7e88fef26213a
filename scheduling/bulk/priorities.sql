-- name: set_priorities
-- Change the priorities, and with them the ranks, of jobs that wait or are suspended. A waiting row is locked before
-- its job's row, as by all statements; while it is locked the job cannot change its state. A row that has moved
-- meanwhile is skipped.
WITH wanted AS (
    SELECT w.event_id, w.priority, j.id AS job_id, j.tenant_id, j.queue_id, j.rank, j.priority AS former,
        j.rank - (w.priority - j.priority)::bigint * %(ageing_us)s AS new_rank, e.id AS entity_id,
        j.state = 'suspended' AS is_suspended
    FROM unnest(%(job_ids)s::uuid[], %(priorities)s::int[], %(event_ids)s::uuid[]) AS w(job_id, priority, event_id)
        JOIN scheduling_job j ON j.id = w.job_id
        LEFT JOIN scheduling_schedulingentity e
            ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
    WHERE j.priority <> w.priority
), ready AS (
    UPDATE scheduling_job_ready r SET rank = w.new_rank FROM wanted w
    WHERE r.entity_id = w.entity_id AND r.rank = w.rank AND r.job_id = w.job_id RETURNING r.job_id
), due AS (
    UPDATE scheduling_job_due d SET rank = w.new_rank FROM wanted w
    WHERE d.job_id = w.job_id AND d.entity_id = w.entity_id AND d.rank = w.rank RETURNING d.job_id
), held AS (
    UPDATE scheduling_job_held h SET rank = w.new_rank FROM wanted w
    WHERE h.job_id = w.job_id AND h.entity_id = w.entity_id AND h.rank = w.rank RETURNING h.job_id
), found AS (
    SELECT job_id, true AS is_waiting FROM ready UNION ALL SELECT job_id, true FROM due
    UNION ALL SELECT job_id, true FROM held UNION ALL SELECT job_id, false FROM wanted WHERE is_suspended
), job AS (
    UPDATE scheduling_job j SET priority = w.priority, rank = w.new_rank
    FROM found f JOIN wanted w USING (job_id)
    WHERE j.id = f.job_id AND j.priority = w.former AND (f.is_waiting OR j.state = 'suspended')
    RETURNING j.id, j.tenant_id, j.queue_id, j.state, w.entity_id, w.former, w.priority, w.event_id, f.is_waiting
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT DISTINCT tenant_id, entity_id, queue_id, 0 FROM job WHERE is_waiting
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT event_id, tenant_id, id, NULL, statement_timestamp(), %(event)s::text, state, %(actor)s::text,
        %(request_id)s::text, %(data)s::jsonb || jsonb_build_object('from', former, 'to', priority)
    FROM job
)
SELECT id, former FROM job;
