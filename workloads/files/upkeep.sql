-- name: sweep_artifacts
-- Delete those of the next artifacts whose jobs do not exist.
WITH page AS MATERIALIZED (
    SELECT id, tenant_id, job_id FROM files_artifact WHERE id > %(after)s ORDER BY id LIMIT %(rows)s
), gone AS (
    DELETE FROM files_artifact a USING page p WHERE a.id = p.id
        AND NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = p.job_id AND j.tenant_id = p.tenant_id)
    RETURNING a.id
)
SELECT (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM gone) AS removed,
    (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last;
