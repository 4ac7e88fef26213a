-- name: find_missing_keys
-- Count the jobs that wait for a key of their tenant.
SELECT t.slug AS tenant, last.key AS key_id, count(*) AS jobs
FROM (SELECT job_id, tenant_id FROM scheduling_job_due ORDER BY due_at LIMIT %(jobs)s) d
    CROSS JOIN LATERAL (
        SELECT e.name, e.data ->> 'cause' AS cause, e.data ->> 'key' AS key, e.at FROM scheduling_jobevent e
        WHERE e.tenant_id = d.tenant_id AND e.job_id = d.job_id ORDER BY e.id DESC LIMIT 1) last
    JOIN tenants_tenant t ON t.id = d.tenant_id
WHERE last.name = 'execution.put_off' AND last.cause = %(cause)s
GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2;
