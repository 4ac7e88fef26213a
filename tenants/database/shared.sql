-- Fragments that statements of several packages include.

-- fragment: in_page
-- True if a row belongs to a tenant of a page of tenants; the parameters are those of TenantPage.
tenant_id > %(after)s AND tenant_id <= %(until)s

-- fragment: this_month
-- The first day of the month by the clock of the database.
date_trunc('month', now() AT TIME ZONE 'UTC')::date

-- fragment: tenant_cap
-- The cap on concurrent jobs of a tenant ``t`` with its plan ``p``.
coalesce(t.max_concurrency, p.max_concurrency)

-- fragment: piece_by_id
-- True if a row is in a piece of a walk by ``id``: of one tenant, or of all that are not being erased.
id > %(after_id)s::uuid AND id <= %(until_id)s::uuid AND
-- include: piece_of_tenant

-- fragment: piece_of_tenant
-- True if a row belongs to the tenant of a piece, or to any without one. A tenant that is being erased loses one table
-- after the other.
(%(tenant_id)s::uuid IS NULL OR tenant_id = %(tenant_id)s::uuid)
AND tenant_id NOT IN (SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')

-- fragment: due_tenants
-- The tenants of a page with their cutoffs, as rows ``d``; the parameters are those of Cutoffs.
unnest(%(tenant_ids)s::uuid[], %(floors)s::uuid[], %(cutoffs)s::timestamptz[]) AS d(tenant_id, floor, cutoff)

-- fragment: probe_due_tenants
-- The start of a statement that finds the first tenant with old rows: an index probe for each tenant until
-- one has some. The planner would turn EXISTS into a join over all jobs.
SELECT d.tenant_id, d.floor, d.cutoff FROM
-- include: due_tenants
CROSS JOIN LATERAL (SELECT 1 AS one

-- fragment: until_first_due
-- The end of such a statement.
LIMIT 1) AS found LIMIT 1

-- fragment: in_terminal_states
-- True for the terminal states of a job (scheduling.jobs.lifecycle.TERMINAL_STATES).
IN ('completed', 'cancelled', 'discarded', 'quarantined')
