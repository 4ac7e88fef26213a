-- name: request_wake
-- Request that running jobs are not suspended afterwards. Executions are locked in one order everywhere, so that two
-- transactions that lock several do not deadlock.
WITH live AS (
    SELECT id FROM scheduling_execution_live WHERE job_id = ANY(%(job_ids)s::uuid[]) ORDER BY id FOR NO KEY UPDATE
)
UPDATE scheduling_execution_live l SET wake_requested_at = coalesce(l.wake_requested_at, now())
FROM live WHERE l.id = live.id;
