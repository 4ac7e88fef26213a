-- fragment: has_rows_of
-- Return whether any of these tenants has rows in a day of a history table: one index probe for each tenant.
SELECT EXISTS (SELECT FROM unnest(%(tenant_ids)s::uuid[]) AS d(tenant_id) CROSS JOIN LATERAL (
    SELECT FROM {table} h WHERE h.tenant_id = d.tenant_id AND h.id >= %(first)s AND h.id < %(behind)s LIMIT 1) AS found)

-- fragment: count_day
-- Count the rows of a day of a history table.
SELECT count(*) FROM {table} WHERE id >= %(first)s AND id < %(behind)s

-- name: sum_executions
-- Return what the executions of a day subtract from the ledger, by tenant.
SELECT tenant_id, sum(-
-- include: measured_charge
)::bigint AS microseconds FROM scheduling_execution WHERE
-- include: in_page
AND id >= %(first)s AND id < %(behind)s GROUP BY 1;

-- name: sum_charges
-- Return what the charges of a day add to the ledger, by tenant.
SELECT tenant_id, sum(microseconds)::bigint AS microseconds FROM scheduling_charge WHERE
-- include: in_page
AND id >= %(first)s AND id < %(behind)s GROUP BY 1;

-- name: close_ledger
-- Insert the sum of the pruned rows, as one closing row for each tenant.
INSERT INTO scheduling_charge (id, tenant_id, reason, microseconds, at)
SELECT id, tenant_id, 'closing', microseconds, now()
FROM unnest(%(ids)s::uuid[], %(tenant_ids)s::uuid[], %(microseconds)s::bigint[]) AS c(id, tenant_id, microseconds)
WHERE microseconds <> 0;
