-- Fragments that statements of several modules of this package include.

-- fragment: allowed_limits
-- Effective limits as a table ``allowed(tenant_id, key, value, source, …)`` for the statements
-- that include it: the override, else the number of the plan, else the default.
described AS (
    SELECT * FROM unnest(%(keys)s::text[], %(plan_columns)s::text[], %(tenant_columns)s::text[],
        %(defaults)s::bigint[], %(counts_per_unit)s::bigint[])
        AS d(key, plan_column, tenant_column, fallback, counts_per_unit)
), sourced AS (
    SELECT t.id AS tenant_id, d.key, d.fallback, d.counts_per_unit, o.expires_at,
        coalesce(o.value, (to_jsonb(t) ->> d.tenant_column)::bigint) AS of_tenant,
        coalesce((to_jsonb(p) ->> d.plan_column)::bigint, r.value) AS of_plan
    FROM tenants_tenant t JOIN tenants_plan p ON p.id = t.plan_id CROSS JOIN described d
        LEFT JOIN tenants_tenantlimit o ON o.tenant_id = t.id AND o.key = d.key
            AND (o.expires_at IS NULL OR o.expires_at > now())
        LEFT JOIN tenants_planlimit r ON r.plan_id = p.id AND r.key = d.key
    WHERE t.id = ANY(%(tenant_ids)s::uuid[])
), allowed AS (
    SELECT *, coalesce(of_tenant, of_plan, fallback) AS value,
        CASE WHEN of_tenant IS NOT NULL THEN 'override' WHEN of_plan IS NOT NULL THEN 'plan' ELSE 'default' END
            AS source
    FROM sourced
)
