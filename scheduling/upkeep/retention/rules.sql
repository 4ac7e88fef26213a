-- name: read_days
-- Return the days for which each of the next tenants keeps a class of rows, at least one. A tenant's own setting of the
-- same name may only shorten them.
SELECT t.id AS tenant_id, greatest(1, least(coalesce(l.value, %(default)s), %(longest)s,
        CASE WHEN jsonb_typeof(s.stored -> %(key)s) = 'number' THEN (s.stored ->> %(key)s)::numeric END))::int AS days,
    now() AS now
FROM tenants_tenant t LEFT JOIN tenants_planlimit l ON l.plan_id = t.plan_id AND l.key = %(key)s
    LEFT JOIN tenants_tenantsettings s ON s.tenant_id = t.id
WHERE t.id > %(after)s ORDER BY t.id LIMIT %(limit)s;

-- name: read_days_of_plans
-- Return the least and the greatest number of days for which any plan keeps a class of rows.
SELECT least(greatest(1, min(coalesce(l.value, %(default)s))), %(longest)s)::int AS least_days,
    least(greatest(1, max(coalesce(l.value, %(default)s))), %(longest)s)::int AS greatest_days, now() AS now
FROM tenants_plan p LEFT JOIN tenants_planlimit l ON l.plan_id = p.id AND l.key = %(key)s;
