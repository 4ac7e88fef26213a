-- Fragments that statements of several packages include.

-- fragment: in_page
-- Whether a row belongs to a tenant of a page of tenants; the parameters are those of TenantPage.
tenant_id > %(after)s AND tenant_id <= %(until)s

-- fragment: this_month
-- The first day of the month by the clock of the database.
date_trunc('month', now() AT TIME ZONE 'UTC')::date

-- fragment: tenant_cap
-- How many jobs of a tenant ``t`` with its plan ``p`` may run at once.
coalesce(t.max_concurrency, p.max_concurrency)
