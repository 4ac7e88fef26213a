-- name: save_checkpoint
-- Store the checkpoint of a job that runs under a fence.
UPDATE scheduling_job SET checkpoint = %(checkpoint)s::jsonb
WHERE id = %(job_id)s AND fence = %(fence)s AND state = 'executing';

-- name: save_progress
-- Store the progress of a job that runs under a fence.
UPDATE scheduling_job SET progress_current = %(current)s, progress_total = %(total)s, progress_message = %(message)s
WHERE id = %(job_id)s AND fence = %(fence)s AND state = 'executing';

-- name: lock_job
-- Lock a job that runs under a fence.
SELECT id FROM scheduling_job WHERE id = %(job_id)s AND fence = %(fence)s AND state = 'executing' FOR NO KEY UPDATE;
