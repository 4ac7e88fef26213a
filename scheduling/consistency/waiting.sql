-- fragment: lined_faults
-- Faults of places that are in lines.
SELECT f.code, p.tenant_id, p.job_id::text AS subject
FROM piece p
    LEFT JOIN scheduling_job j ON j.id = p.job_id AND j.tenant_id = p.tenant_id
    LEFT JOIN scheduling_schedulingentity e ON e.id = p.entity_id
    CROSS JOIN LATERAL (VALUES
        ('place_without_job', j.id IS NULL),
        ('place_of_another_state', j.state <> ALL (%(states)s)),
        ('place_in_wrong_line', j.state = ANY (%(states)s) AND (e.tenant_id, e.queue_id, e.fair_key, p.rank)
            IS DISTINCT FROM (j.tenant_id, j.queue_id, j.fair_key, j.rank))
    ) AS f(code, is_wrong)
WHERE f.is_wrong

-- name: look_ready
-- Find ready places without a job, of another state or in a wrong line.
WITH piece AS MATERIALIZED (SELECT tenant_id, entity_id, rank, job_id FROM scheduling_job_ready WHERE
    -- include: piece_by_rank
)
-- include: lined_faults
;

-- name: look_held
-- Find held places without a job, of another state or in a wrong line.
WITH piece AS MATERIALIZED (SELECT tenant_id, entity_id, rank, job_id FROM scheduling_job_held WHERE
    -- include: piece_by_job
)
-- include: lined_faults
;

-- name: look_due
-- Find due places without a job, of another state or in a wrong line.
WITH piece AS MATERIALIZED (SELECT tenant_id, entity_id, rank, job_id FROM scheduling_job_due WHERE
    -- include: piece_by_job
)
-- include: lined_faults
;

-- name: look_suspended
-- Find places of suspended jobs without a job or of another state.
WITH piece AS MATERIALIZED (SELECT tenant_id, job_id FROM scheduling_job_suspended WHERE
    -- include: piece_by_job
)
SELECT f.code, p.tenant_id, p.job_id::text AS subject
FROM piece p LEFT JOIN scheduling_job j ON j.id = p.job_id AND j.tenant_id = p.tenant_id
    CROSS JOIN LATERAL (VALUES
        ('place_without_job', j.id IS NULL),
        ('place_of_another_state', j.state <> ALL (%(states)s))
    ) AS f(code, is_wrong)
WHERE f.is_wrong;

-- name: look_deadline
-- Find deadlines of jobs that have ended.
WITH piece AS MATERIALIZED (SELECT tenant_id, job_id FROM scheduling_job_deadline WHERE
    -- include: piece_by_job
)
SELECT 'deadline_of_ended_job' AS code, p.tenant_id, p.job_id::text AS subject
FROM piece p JOIN scheduling_job j ON j.id = p.job_id WHERE j.state <> ALL (%(states)s);

-- name: look_key
-- Find unique keys of jobs that have ended or do not exist.
WITH piece AS MATERIALIZED (SELECT tenant_id, job_id FROM scheduling_unique_key WHERE
    -- include: piece_by_job
)
SELECT 'unique_key_of_ended_job' AS code, p.tenant_id, p.job_id::text AS subject
FROM piece p LEFT JOIN scheduling_job j ON j.id = p.job_id WHERE coalesce(j.state <> ALL (%(states)s), true);

-- fragment: rows_of_jobs
-- End of a statement that locks the places of jobs.
AND job_id = ANY (%(job_ids)s::uuid[]) ORDER BY job_id FOR NO KEY UPDATE

-- fragment: is_of_another_state
-- Condition that a place ``p`` must be removed: its job is gone or in another state.
AND p.job_id = ANY (%(job_ids)s::uuid[]) AND NOT EXISTS (
    SELECT FROM scheduling_job j WHERE j.id = p.job_id AND j.tenant_id = p.tenant_id AND j.state = ANY (%(states)s))

-- fragment: is_in_wrong_line
-- Condition that a place ``p`` is in another line than its job's own.
AND p.job_id = ANY (%(job_ids)s::uuid[]) AND EXISTS (
    SELECT FROM scheduling_job j LEFT JOIN scheduling_schedulingentity e ON e.id = p.entity_id
    WHERE j.id = p.job_id AND j.state = ANY (%(states)s) AND (e.tenant_id, e.queue_id, e.fair_key, p.rank)
        IS DISTINCT FROM (j.tenant_id, j.queue_id, j.fair_key, j.rank))

-- name: lock_ready
-- Lock places of a piece. A place is locked before its job, as everywhere; then both are compared again.
SELECT 1 FROM scheduling_job_ready WHERE
-- include: piece_by_rank
-- include: rows_of_jobs
;

-- name: remove_ready
-- Delete places of a piece whose jobs are gone or in another state.
DELETE FROM scheduling_job_ready p WHERE
-- include: piece_by_rank
-- include: is_of_another_state
;

-- name: lock_held
-- Lock places of a piece. A place is locked before its job, as everywhere; then both are compared again.
SELECT 1 FROM scheduling_job_held WHERE
-- include: piece_by_job
-- include: rows_of_jobs
;

-- name: remove_held
-- Delete places of a piece whose jobs are gone or in another state.
DELETE FROM scheduling_job_held p WHERE
-- include: piece_by_job
-- include: is_of_another_state
;

-- name: lock_due
-- Lock places of a piece. A place is locked before its job, as everywhere; then both are compared again.
SELECT 1 FROM scheduling_job_due WHERE
-- include: piece_by_job
-- include: rows_of_jobs
;

-- name: remove_due
-- Delete places of a piece whose jobs are gone or in another state.
DELETE FROM scheduling_job_due p WHERE
-- include: piece_by_job
-- include: is_of_another_state
;

-- name: lock_suspended
-- Lock places of a piece. A place is locked before its job, as everywhere; then both are compared again.
SELECT 1 FROM scheduling_job_suspended WHERE
-- include: piece_by_job
-- include: rows_of_jobs
;

-- name: remove_suspended
-- Delete places of a piece whose jobs are gone or in another state.
DELETE FROM scheduling_job_suspended p WHERE
-- include: piece_by_job
-- include: is_of_another_state
;

-- name: lock_deadline
-- Lock places of a piece. A place is locked before its job, as everywhere; then both are compared again.
SELECT 1 FROM scheduling_job_deadline WHERE
-- include: piece_by_job
-- include: rows_of_jobs
;

-- name: remove_deadline
-- Delete places of a piece whose jobs are gone or in another state.
DELETE FROM scheduling_job_deadline p WHERE
-- include: piece_by_job
-- include: is_of_another_state
;

-- name: lock_key
-- Lock the unique keys of a piece.
SELECT 1 FROM scheduling_unique_key WHERE
-- include: piece_by_job
-- include: rows_of_jobs
;

-- name: remove_key
-- Delete the unique keys of a piece whose jobs have ended or do not exist.
DELETE FROM scheduling_unique_key p WHERE
-- include: piece_by_job
-- include: is_of_another_state
;

-- name: displace_ready
-- Delete places of a piece that are in a wrong line.
DELETE FROM scheduling_job_ready p WHERE
-- include: piece_by_rank
-- include: is_in_wrong_line
;

-- name: displace_held
-- Delete places of a piece that are in a wrong line.
DELETE FROM scheduling_job_held p WHERE
-- include: piece_by_job
-- include: is_in_wrong_line
;

-- name: displace_due
-- Delete places of a piece that are in a wrong line.
DELETE FROM scheduling_job_due p WHERE
-- include: piece_by_job
-- include: is_in_wrong_line
;

-- name: lock_jobs
-- Lock jobs.
SELECT 1 FROM scheduling_job WHERE id = ANY (%(job_ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- fragment: jobs_with_lines
-- Jobs ``j`` with their lines ``e``.
scheduling_job j JOIN scheduling_schedulingentity e
ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id AND e.fair_key = j.fair_key

-- name: put_ready
-- Insert the ready places of available jobs.
INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, merge_disabled,
    concurrency_key)
SELECT j.tenant_id, e.id, j.rank, j.id, j.kind, j.payload_bytes, j.used_us, j.merge_disabled, j.concurrency_key FROM
-- include: jobs_with_lines
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state = 'available'
    AND NOT EXISTS (SELECT FROM scheduling_job_held h WHERE h.job_id = j.id)
ON CONFLICT DO NOTHING;

-- name: put_due
-- Insert the due places of scheduled and retryable jobs.
INSERT INTO scheduling_job_due (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, due_at)
SELECT j.tenant_id, e.id, j.rank, j.id, j.kind, j.payload_bytes, j.used_us, greatest(j.run_at, now()) FROM
-- include: jobs_with_lines
WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state IN ('scheduled', 'retryable')
ON CONFLICT DO NOTHING;

-- name: put_suspended
-- Insert the places of suspended jobs.
INSERT INTO scheduling_job_suspended (job_id, tenant_id)
SELECT j.id, j.tenant_id FROM scheduling_job j WHERE j.id = ANY (%(job_ids)s::uuid[]) AND j.state = 'suspended'
ON CONFLICT DO NOTHING;
