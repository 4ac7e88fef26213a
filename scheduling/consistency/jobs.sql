-- name: check_jobs
-- Find jobs in no place, in two, or without the rows of their state.
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, queue_id, fair_key, rank, state, attempt, max_retries, deadline_at
    FROM scheduling_job WHERE
    -- include: piece_by_id
), placed AS (
    SELECT j.*, r.job_id IS NOT NULL AS is_ready, h.job_id IS NOT NULL AS is_held, d.job_id IS NOT NULL AS is_due,
        s.job_id IS NOT NULL AS is_suspended, l.id IS NOT NULL AS is_live, x.id IS NOT NULL AS has_letter,
        z.job_id IS NOT NULL AS has_deadline
    FROM piece j
        LEFT JOIN scheduling_schedulingentity e
            ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
        LEFT JOIN scheduling_job_ready r ON r.entity_id = e.id AND r.rank = j.rank AND r.job_id = j.id
        LEFT JOIN scheduling_job_held h ON h.job_id = j.id
        LEFT JOIN scheduling_job_due d ON d.job_id = j.id
        LEFT JOIN scheduling_job_suspended s ON s.job_id = j.id
        LEFT JOIN scheduling_execution_live l ON l.job_id = j.id
        LEFT JOIN scheduling_deadletter x ON x.job_id = j.id
        LEFT JOIN scheduling_job_deadline z ON z.job_id = j.id
)
SELECT f.code, j.tenant_id, j.id::text AS subject
FROM placed j CROSS JOIN LATERAL (VALUES
    ('job_nowhere', CASE j.state WHEN 'available' THEN NOT (j.is_ready OR j.is_held)
        WHEN 'scheduled' THEN NOT j.is_due WHEN 'retryable' THEN NOT j.is_due
        WHEN 'suspended' THEN NOT j.is_suspended ELSE false END),
    ('job_in_two_places',
        j.is_ready::int + j.is_held::int + j.is_due::int + j.is_suspended::int + j.is_live::int > 1),
    ('job_without_execution', j.state IN ('dispatched', 'executing') AND NOT j.is_live),
    ('attempts_over', j.attempt > j.max_retries + 1),
    ('dead_letter_missing', j.state = ANY (%(dead)s) AND NOT j.has_letter),
    ('dead_letter_unfounded', j.state <> ALL (%(dead)s) AND j.has_letter),
    ('deadline_missing', j.deadline_at IS NOT NULL AND j.state NOT
    -- include: in_terminal_states
    AND NOT j.has_deadline)
) AS f(code, is_wrong)
WHERE f.is_wrong;

-- name: make_available
-- Make jobs without an execution available.
UPDATE scheduling_job j SET state = 'available'
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state IN ('dispatched', 'executing')
    AND NOT EXISTS (SELECT FROM scheduling_execution_live l WHERE l.job_id = j.id)
RETURNING j.id;

-- name: keep_one_place
-- Delete the held places of ready jobs. A tick holds such a job again if its gate is still closed.
DELETE FROM scheduling_job_held h USING scheduling_job j
WHERE h.job_id = ANY (%(job_ids)s::uuid[]) AND j.id = h.job_id AND EXISTS (
    SELECT FROM scheduling_schedulingentity e JOIN scheduling_job_ready r ON r.entity_id = e.id
    WHERE e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key
        AND r.rank = j.rank AND r.job_id = j.id);

-- name: write_letters
-- Write the missing dead letters of jobs.
INSERT INTO scheduling_deadletter (id, tenant_id, job_id, kind, reason, error_type, error_message, error_fingerprint,
    created_at)
SELECT w.letter_id, j.tenant_id, j.id, j.kind,
    CASE WHEN j.state = 'quarantined' THEN 'crashed_workers'
        WHEN j.error_fingerprint = %(late)s THEN 'deadline_passed'
        WHEN j.attempt > j.max_retries THEN 'attempts_exhausted' ELSE 'permanent_error' END,
    j.error_type, j.error_message, j.error_fingerprint, coalesce(j.finished_at, now())
FROM unnest(%(job_ids)s::uuid[], %(letter_ids)s::uuid[]) AS w(job_id, letter_id)
    JOIN scheduling_job j ON j.id = w.job_id
WHERE j.state = ANY (%(dead)s) ON CONFLICT (job_id) DO NOTHING;

-- name: write_deadlines
-- Write the missing deadlines of jobs.
INSERT INTO scheduling_job_deadline (job_id, tenant_id, deadline_at)
SELECT j.id, j.tenant_id, j.deadline_at FROM scheduling_job j
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.deadline_at IS NOT NULL AND j.state NOT
-- include: in_terminal_states
ON CONFLICT DO NOTHING;

-- name: lock_ready
-- Lock the ready places of jobs.
SELECT 1 FROM scheduling_job_ready r JOIN scheduling_schedulingentity e ON e.id = r.entity_id
    JOIN scheduling_job j ON j.id = r.job_id AND j.tenant_id = e.tenant_id AND j.queue_id = e.queue_id
        AND j.fair_key = e.fair_key AND j.rank = r.rank
WHERE j.id = ANY (%(job_ids)s::uuid[]) ORDER BY r.job_id FOR NO KEY UPDATE OF r;

-- name: lock_due
-- Lock the due places of jobs.
SELECT 1 FROM scheduling_job_due WHERE job_id = ANY (%(job_ids)s::uuid[]) ORDER BY job_id FOR NO KEY UPDATE;

-- name: lock_held
-- Lock the held places of jobs.
SELECT 1 FROM scheduling_job_held WHERE job_id = ANY (%(job_ids)s::uuid[]) ORDER BY job_id FOR NO KEY UPDATE;

-- name: lock_executions
-- Lock the executions of jobs.
SELECT 1 FROM scheduling_execution_live WHERE job_id = ANY (%(job_ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- name: lock_jobs
-- Lock jobs.
SELECT 1 FROM scheduling_job WHERE id = ANY (%(job_ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE;
