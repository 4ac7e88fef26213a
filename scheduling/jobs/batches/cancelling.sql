-- name: cancel_orphaned
-- Cancel batches whose parent job has ended without waiting for them: it was cancelled, or its deadline has passed.
UPDATE scheduling_batch b SET cancelled_at = now(), cancel_reason = 'the job that waited for it has ended'
FROM scheduling_job j
WHERE b.waiting_job_id IS NOT NULL AND b.ended_at IS NULL AND b.cancelled_at IS NULL
    AND j.id = b.waiting_job_id AND j.state = ANY (%(states)s::text[]);

-- name: find_unfinished
-- Read cancelled batches without an operation, and those whose last one failed or skipped a job.
SELECT b.id FROM scheduling_batch b
WHERE b.cancelled_at IS NOT NULL AND b.ended_at IS NULL
    AND NOT EXISTS (SELECT FROM scheduling_bulk_operation o WHERE o.batch_id = b.id
        AND (o.finished_at IS NULL OR o.finished_at > now() - make_interval(secs => %(seconds)s)))
    AND EXISTS (SELECT FROM scheduling_job j
        WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id AND j.state = ANY (%(states)s::text[])
            AND NOT EXISTS (SELECT FROM scheduling_execution_live l
                WHERE l.job_id = j.id AND l.cancel_requested_at IS NOT NULL))
ORDER BY b.id LIMIT %(limit)s;
