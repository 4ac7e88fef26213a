-- fragment: finished_of_each
-- Finished jobs of a tenant ``d``. A job ends after its creation, so an old one has an id below the floor: the index
-- gives the range of ids, in which all but a few jobs have ended.
FROM scheduling_job j
WHERE j.tenant_id = d.tenant_id AND j.id < d.floor AND j.state = ANY (%(states)s) AND j.finished_at < d.cutoff
-- include: is_not_restored

-- fragment: failed_of_each
-- Failed jobs of a tenant ``d``, found by their dead letters, because they are few among the jobs.
FROM scheduling_deadletter l JOIN scheduling_job j ON j.id = l.job_id AND j.tenant_id = l.tenant_id
WHERE l.tenant_id = d.tenant_id AND l.id < d.floor AND j.state = ANY (%(states)s) AND j.finished_at < d.cutoff
-- include: is_not_restored

-- fragment: is_not_restored
-- True unless the job was restored from the archive and is still to be kept.
AND NOT EXISTS (SELECT FROM scheduling_archive_object a
    WHERE a.tenant_id = j.tenant_id AND a.restored_until > now() AND j.id = ANY (a.restored_ids))

-- name: find_finished
-- Find the first tenant with finished jobs beyond its retention.
-- include: probe_due_tenants
-- include: finished_of_each
-- include: until_first_due
;

-- name: count_finished
-- Count the finished jobs that are old enough.
SELECT count(*) FROM
-- include: due_tenants
CROSS JOIN LATERAL (SELECT 1 AS one
    -- include: finished_of_each
) AS j;

-- name: find_failed
-- Find the first tenant with failed jobs beyond its retention.
-- include: probe_due_tenants
-- include: failed_of_each
-- include: until_first_due
;

-- name: count_failed
-- Count the failed jobs that are old enough.
SELECT count(*) FROM
-- include: due_tenants
CROSS JOIN LATERAL (SELECT 1 AS one
    -- include: failed_of_each
) AS j;

-- name: choose_finished
-- Lock the oldest finished jobs of one tenant and return their ids. The tenant is passed by value: only then can the
-- planner estimate the rows before the limit.
SELECT j.id FROM scheduling_job j
WHERE j.tenant_id = %(tenant_id)s AND j.id < %(floor)s AND j.state = ANY (%(states)s) AND j.finished_at < %(cutoff)s
-- include: is_not_restored
ORDER BY j.id LIMIT %(limit)s FOR UPDATE OF j SKIP LOCKED;

-- name: choose_failed
-- Lock the oldest failed jobs of one tenant and return their ids.
SELECT j.id FROM scheduling_deadletter l JOIN scheduling_job j ON j.id = l.job_id AND j.tenant_id = l.tenant_id
WHERE l.tenant_id = %(tenant_id)s AND l.id < %(floor)s AND j.state = ANY (%(states)s) AND j.finished_at < %(cutoff)s
-- include: is_not_restored
ORDER BY l.id LIMIT %(limit)s FOR UPDATE OF j SKIP LOCKED;

-- name: delete_jobs
-- Delete locked jobs of one tenant with their dead letters and meta, and count them in their batches.
WITH rows_to_delete AS (
    SELECT id, batch_id FROM scheduling_job WHERE tenant_id = %(tenant_id)s AND id = ANY (%(job_ids)s::uuid[])
)
, letter AS (
    DELETE FROM scheduling_deadletter l USING rows_to_delete d WHERE l.job_id = d.id RETURNING l.id
), meta AS (
    DELETE FROM scheduling_job_meta m USING rows_to_delete d WHERE m.job_id = d.id RETURNING m.job_id
), subject AS (
    DELETE FROM scheduling_job_subject s USING rows_to_delete d WHERE s.job_id = d.id RETURNING s.job_id
), control_hold AS (
    DELETE FROM scheduling_control_hold h USING rows_to_delete d WHERE h.job_id = d.id RETURNING h.job_id
), batch AS (
    UPDATE scheduling_batch b SET pruned = b.pruned + g.jobs
    FROM (SELECT batch_id, count(*) AS jobs FROM rows_to_delete WHERE batch_id IS NOT NULL GROUP BY 1) AS g
    WHERE b.id = g.batch_id
), job AS (
    DELETE FROM scheduling_job j USING rows_to_delete d WHERE j.id = d.id RETURNING j.id
)
SELECT (SELECT count(*) FROM job) AS jobs, (SELECT count(*) FROM letter) AS letters,
    (SELECT count(*) FROM meta) AS meta, (SELECT count(*) FROM subject) AS subjects,
    (SELECT count(*) FROM control_hold) AS control_holds;

-- name: prune_logs
-- Delete the log lines of jobs. Lines are younger than their job, so its id bounds the days to scan.
DELETE FROM scheduling_joblog WHERE job_id = ANY (%(job_ids)s::uuid[]) AND id >= %(first)s::uuid;

-- name: prune_output
-- Delete the output of jobs, which is older than the floor of their retention.
DELETE FROM scheduling_jobevent WHERE tenant_id = %(tenant_id)s AND job_id = ANY (%(job_ids)s::uuid[])
    AND id >= %(first)s::uuid AND id < %(floor)s AND name = %(output)s;

-- name: prune_batches
-- Delete old batches without jobs, and return how many of each tenant.
WITH rows_to_delete AS (
    SELECT b.id FROM
    -- include: due_tenants
    CROSS JOIN LATERAL (
        SELECT b.id FROM scheduling_batch b
        WHERE b.tenant_id = d.tenant_id AND b.id < d.floor AND b.created_at < d.cutoff
            -- Keep a batch whose completion action may still be due.
            AND b.fire_at IS NULL AND (b.ended_at IS NOT NULL OR b.closed_at IS NULL)
            AND NOT EXISTS (SELECT FROM scheduling_job j WHERE j.tenant_id = b.tenant_id AND j.batch_id = b.id)
        LIMIT %(limit)s
    ) AS b LIMIT %(limit)s
), gone AS (
    DELETE FROM scheduling_batch b USING rows_to_delete d WHERE b.id = d.id RETURNING b.tenant_id
)
SELECT tenant_id, count(*) AS rows FROM gone GROUP BY 1;
