-- name: lock_picks
-- Lock picked ready rows that no other transaction has locked. The whole key is compared: a row that has moved
-- meanwhile is a different one.
SELECT r.job_id
FROM unnest(%(entity_ids)s::bigint[], %(ranks)s::bigint[], %(job_ids)s::uuid[]) AS p(entity_id, rank, job_id)
    JOIN scheduling_job_ready r ON r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
FOR NO KEY UPDATE OF r SKIP LOCKED;

-- name: lock_picks_and_jobs
-- Lock picked ready rows with the rows of their jobs.
SELECT r.job_id
FROM unnest(%(entity_ids)s::bigint[], %(ranks)s::bigint[], %(job_ids)s::uuid[]) AS p(entity_id, rank, job_id)
    JOIN scheduling_job_ready r ON r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
    JOIN scheduling_job j ON j.id = r.job_id
FOR NO KEY UPDATE OF r, j SKIP LOCKED;
