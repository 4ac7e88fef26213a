-- name: withdraw_approvals
-- Withdraw the pending approvals of jobs that have ended. A job that was cancelled or died runs no code of its kind.
-- The table of jobs is named here, since a plug-in imports no models of the scheduler.
UPDATE workflow_execution_approval a SET state = 'withdrawn', decided_at = now()
WHERE a.id IN (
    SELECT p.id FROM workflow_execution_approval p LEFT JOIN scheduling_job j ON j.id = p.job_id
    WHERE p.state = 'pending' AND (j.id IS NULL OR j.finished_at IS NOT NULL) ORDER BY p.id LIMIT %(rows)s
);

-- name: delete_values
-- Delete the values of runs whose jobs have ended; those of a failed or cancelled run a week later, since a requeued job
-- continues it.
DELETE FROM workflow_execution_runvalue v
WHERE v.id IN (
    SELECT o.id FROM workflow_execution_runvalue o LEFT JOIN scheduling_job j ON j.id = o.job_id
    WHERE j.id IS NULL
        OR j.finished_at <= now() - CASE j.state WHEN 'completed' THEN interval '0' ELSE interval '7 days' END
    ORDER BY o.id LIMIT %(rows)s
);
