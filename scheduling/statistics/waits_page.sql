-- name: find_job_by_wait
-- Find a recent job of a queue that waited that long before its first start, among the executions that ended last.
SELECT job_id FROM (
    SELECT id, job_id, queue_id, wait_us FROM scheduling_execution
    WHERE id >= %(since)s ORDER BY id DESC LIMIT %(most)s
) recent
WHERE queue_id = (SELECT id FROM scheduling_queue WHERE name = %(queue)s)
    AND wait_us >= %(from_us)s AND wait_us < %(below_us)s
ORDER BY id DESC LIMIT 1;
