-- name: find_batches
-- Find the newest batches that hold one of the newest jobs of some versions of a template.
SELECT b.id, b.label FROM scheduling_batch b WHERE b.id IN (
    SELECT j.batch_id FROM unnest(%(labels)s::varchar[]) AS v(label)
    CROSS JOIN LATERAL (
        SELECT m.job_id FROM scheduling_job_meta m
        WHERE m.name = 'template' AND m.value = v.label AND m.tenant_id = %(tenant_id)s
        ORDER BY m.job_id DESC LIMIT %(jobs)s
    ) AS newest
    JOIN scheduling_job j ON j.id = newest.job_id
    WHERE j.batch_id IS NOT NULL
)
ORDER BY b.id DESC LIMIT %(limit)s;
