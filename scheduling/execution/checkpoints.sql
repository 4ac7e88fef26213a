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

-- name: save_progress_many
-- Store the progress of jobs that run under their fences, except of those whose rows another transaction has locked.
UPDATE scheduling_job j SET
    progress_current = n.current, progress_total = n.total, progress_message = n.message
FROM (
    SELECT k.id, r.current, r.total, r.message
    FROM unnest(%(job_ids)s::uuid[], %(fences)s::bigint[], %(currents)s::bigint[], %(totals)s::bigint[],
            %(messages)s::text[]) AS r(id, fence, current, total, message)
        JOIN scheduling_job k ON k.id = r.id AND k.fence = r.fence AND k.state = 'executing'
    WHERE k.id = ANY(%(job_ids)s)
    FOR NO KEY UPDATE OF k SKIP LOCKED
) n
WHERE j.id = n.id
RETURNING j.id;
