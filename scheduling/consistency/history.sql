-- name: check_job_events
-- Find jobs whose events do not lead to their states.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, state FROM scheduling_job WHERE
    -- include: piece_by_id
), event AS (
    SELECT j.id, j.tenant_id, j.state AS job_state, e.job_id, e.state,
        lead(e.state) OVER story IS NULL AS is_last,
        e.state
        -- include: in_terminal_states
        AS is_end,
        lag(e.state) OVER story || '>' || e.state AS step
    FROM piece j LEFT JOIN scheduling_jobevent e
        ON e.tenant_id = j.tenant_id AND e.job_id = j.id AND e.id >= %(events_since)s
            AND e.name <> ALL (%(not_changes)s)
    -- Clocks may be set back, numbers are not.
    WINDOW story AS (PARTITION BY j.id ORDER BY e.position)
), history AS (
    SELECT id, tenant_id, job_state
    -- include: in_terminal_states
    AS is_ended,
        count(job_id) AS events,
        count(job_id) FILTER (WHERE is_end) AS ends,
        bool_or(is_end AND state = job_state) AS is_end_recorded,
        bool_or(is_last AND state = job_state) AS is_state_recorded,
        bool_or(step <> ALL (%(steps)s)) AS is_illegal
    FROM event GROUP BY 1, 2, 3
)
SELECT f.code, h.tenant_id, h.id::text AS subject
FROM history h CROSS JOIN LATERAL (VALUES
    ('history_missing', h.events = 0),
    ('history_differs', h.events > 0 AND CASE WHEN h.is_ended THEN NOT h.is_end_recorded
        ELSE h.ends > 0 OR NOT h.is_state_recorded END),
    ('history_illegal', h.is_illegal),
    ('ended_twice', h.ends > 1)
) AS f(code, is_wrong)
WHERE f.is_wrong;

-- name: find_lost_jobs
-- Find jobs that were accepted, have not ended, and do not exist.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id FROM scheduling_jobevent WHERE
    -- include: piece_by_id
    AND name = 'job.submitted' AND job_id >= %(since)s
)
SELECT 'job_lost' AS code, e.tenant_id, e.job_id::text AS subject FROM piece e
WHERE NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = e.job_id) AND NOT EXISTS (
    SELECT FROM scheduling_jobevent o WHERE o.tenant_id = e.tenant_id AND o.job_id = e.job_id
        AND o.id >= %(since)s AND o.state
        -- include: in_terminal_states
        );

-- name: find_stray_charges
-- Find charges without executions.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, execution_id FROM scheduling_charge WHERE
    -- include: piece_by_id
    AND execution_id >= %(since)s
)
SELECT 'charge_without_execution' AS code, c.tenant_id, c.id::text AS subject FROM piece c
WHERE NOT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.id = c.execution_id)
    AND NOT EXISTS (SELECT FROM scheduling_execution e WHERE e.id = c.execution_id);

-- name: find_stray_logs
-- Find log lines without jobs.
WITH piece AS MATERIALIZED (
    SELECT DISTINCT tenant_id, job_id FROM scheduling_joblog WHERE
    -- include: piece_by_id
    AND job_id >= %(since)s
)
SELECT 'log_without_job' AS code, l.tenant_id, l.job_id::text AS subject FROM piece l
WHERE NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = l.job_id);

-- name: find_ghosts
-- Find history without tenants: rows between one tenant's id and the next, by an index probe for each gap and table.
WITH gap AS (
    SELECT id AS after, lead(id) OVER (ORDER BY id) AS before FROM (
        SELECT id FROM tenants_tenant WHERE id > %(after)s AND id <= %(until)s
        UNION SELECT %(after)s::uuid UNION SELECT %(until)s::uuid
    ) AS tenant
)
SELECT g.tenant_id, g.name FROM gap CROSS JOIN LATERAL (
    (SELECT tenant_id, 'scheduling_charge' AS name FROM scheduling_charge
        WHERE tenant_id > gap.after AND tenant_id < gap.before LIMIT 1)
    UNION ALL (SELECT tenant_id, 'scheduling_execution' AS name FROM scheduling_execution
        WHERE tenant_id > gap.after AND tenant_id < gap.before LIMIT 1)
    UNION ALL (SELECT tenant_id, 'scheduling_joberror' AS name FROM scheduling_joberror
        WHERE tenant_id > gap.after AND tenant_id < gap.before LIMIT 1)
    UNION ALL (SELECT tenant_id, 'scheduling_jobevent' AS name FROM scheduling_jobevent
        WHERE tenant_id > gap.after AND tenant_id < gap.before LIMIT 1)
    UNION ALL (SELECT tenant_id, 'scheduling_joblog' AS name FROM scheduling_joblog
        WHERE tenant_id > gap.after AND tenant_id < gap.before LIMIT 1)
) AS g WHERE g.tenant_id NOT IN (
    SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running');
