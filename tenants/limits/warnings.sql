-- fragment: returning_warnings
-- The end of a statement that writes warnings.
ON CONFLICT DO NOTHING RETURNING tenant_id, key, percent, used, allowed

-- name: warn_of_usage
-- Warn tenants whose counters have reached a part of their limits, by the month of the database's clock. In one order
-- for all, since ticks and changes of plans may warn the same tenants at once.
WITH
-- include: allowed_limits
INSERT INTO tenants_limitwarning (tenant_id, key, period, percent, used, allowed)
SELECT u.tenant_id, u.key,
-- include: this_month
, level.percent, u.amount, a.value
FROM tenants_tenantusage u JOIN allowed a ON a.tenant_id = u.tenant_id AND a.key = u.key
    CROSS JOIN unnest(%(percents)s::int[]) AS level(percent)
WHERE u.tenant_id = ANY(%(tenant_ids)s::uuid[]) AND u.period IN (
-- include: this_month
, %(no_period)s)
    AND u.amount > 0 AND u.amount::numeric * 100 >= level.percent * a.value::numeric * a.counts_per_unit
ORDER BY u.tenant_id, u.key, level.percent
-- include: returning_warnings
;

-- name: note_level
-- Warn a tenant by what it is known to use.
INSERT INTO tenants_limitwarning (tenant_id, key, period, percent, used, allowed)
SELECT %(tenant_id)s::uuid, %(key)s::text,
-- include: this_month
, level.percent, %(used)s::bigint, %(allowed)s::bigint
FROM unnest(%(percents)s::int[]) AS level(percent)
-- include: returning_warnings
;
