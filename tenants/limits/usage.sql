-- name: change_stored
-- Change a counter of a tenant's stored data, unless it would exceed its limit. The row stays locked until the
-- transaction ends, so two concurrent changes cannot exceed the limit together.
INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
SELECT %(tenant_id)s::uuid, %(key)s::text, %(period)s::date, greatest(0, %(change)s::bigint)
WHERE %(change)s <= 0 OR %(allowed)s::bigint IS NULL OR %(change)s <= %(allowed)s
ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = greatest(0, u.amount + %(change)s)
WHERE %(change)s <= 0 OR %(allowed)s::bigint IS NULL OR u.amount + %(change)s <= %(allowed)s
RETURNING amount;

-- name: read_limits
-- Read limits of a tenant.
WITH
-- include: allowed_limits
SELECT tenant_id, key, value, source, expires_at FROM allowed;

-- fragment: returning_warnings
-- The end of a statement that writes warnings.
ON CONFLICT DO NOTHING RETURNING tenant_id, key, percent, used, allowed

-- name: warn_of_usage
-- Warn tenants whose counters have reached a percentage of their limits, by the month of the database's clock. Sorted,
-- because ticks and changes of plans may warn the same tenants concurrently and must not deadlock.
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
-- Warn a tenant of a limit whose usage the caller has.
INSERT INTO tenants_limitwarning (tenant_id, key, period, percent, used, allowed)
SELECT %(tenant_id)s::uuid, %(key)s::text,
-- include: this_month
, level.percent, %(used)s::bigint, %(allowed)s::bigint
FROM unnest(%(percents)s::int[]) AS level(percent)
-- include: returning_warnings
;
