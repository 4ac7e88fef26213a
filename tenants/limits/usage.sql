-- name: change_stored
-- Change a counter of what a tenant stores, unless it would exceed its limit. The row stays locked until the
-- transaction ends, so two changes at once cannot pass the limit together.
INSERT INTO tenants_tenantusage AS u (tenant_id, key, period, amount)
SELECT %(tenant_id)s::uuid, %(key)s::text, %(period)s::date, greatest(0, %(change)s::bigint)
WHERE %(change)s <= 0 OR %(allowed)s::bigint IS NULL OR %(change)s <= %(allowed)s
ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = greatest(0, u.amount + %(change)s)
WHERE %(change)s <= 0 OR %(allowed)s::bigint IS NULL OR u.amount + %(change)s <= %(allowed)s
RETURNING amount;
