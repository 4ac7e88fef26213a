-- name: read_demands
-- Read the tenants that may be picked and those with running jobs: a tenant at its cap is not eligible, and still has
-- its entitlement.
SELECT e.queue_id, e.tenant_id,
    -- include: tenant_weight
    AS weight_milli,
    -- include: tenant_cap
    AS cap
FROM scheduling_schedulingentity e JOIN tenants_tenant t ON t.id = e.tenant_id JOIN tenants_plan p ON p.id = t.plan_id
WHERE e.id = ANY(%(eligible)s) OR e.id = ANY(ARRAY(
    SELECT coalesce(line.parent_id, line.id) FROM scheduling_execution_live l
        JOIN scheduling_schedulingentity line ON line.id = l.entity_id
    WHERE l.pool_id = %(pool_id)s));
