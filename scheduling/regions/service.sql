-- name: lock_elsewhere
-- Lock the executions of a tenant that no worker has begun, in pools of regions that it does not allow, or not for the
-- data that the job is about. A start that holds a row is waited for; what it has begun is left alone.
SELECT l.id, l.fence FROM scheduling_execution_live l JOIN scheduling_job j ON j.id = l.job_id
WHERE l.tenant_id = %(tenant_id)s AND l.started_at IS NULL AND (EXISTS (
    SELECT FROM tenants_tenant t JOIN scheduling_workerpool p ON p.id = l.pool_id
    WHERE t.id = l.tenant_id AND NOT (t.allowed_regions = '{}' OR p.region = ANY(t.allowed_regions))
) OR EXISTS (
    SELECT FROM scheduling_job_subject s JOIN scheduling_region_label r USING (tenant_id, subject)
        JOIN scheduling_workerpool p ON p.id = l.pool_id
    WHERE s.job_id = l.job_id AND r.allowed_regions <> '{}' AND p.region <> ALL(r.allowed_regions)))
ORDER BY l.id FOR NO KEY UPDATE OF l, j;
