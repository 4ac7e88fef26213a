-- fragment: of_counter
-- True if a row is a counter of a page of tenants.
-- include: in_page
AND key = %(key)s AND period = %(period)s

-- name: lock_counters
-- Lock the counters of a page. A later statement recounts the rows, so that it sees all that the lock waited for.
SELECT 1 FROM tenants_tenantusage WHERE
-- include: of_counter
FOR NO KEY UPDATE;

-- fragment: compare_counters
-- The rest of a statement with the CTE ``recounted``: find the counters that differ.
, counted AS (
    SELECT tenant_id, amount FROM tenants_tenantusage WHERE
    -- include: of_counter
)
SELECT tenant_id, %(key)s::text AS key, coalesce(c.amount, 0) AS counted, coalesce(r.amount, 0) AS recounted
FROM counted c FULL JOIN recounted r USING (tenant_id)
WHERE coalesce(c.amount, 0) <> coalesce(r.amount, 0) ORDER BY 1

-- fragment: write_counters
-- The rest of such a statement: write the recounted numbers.
, emptied AS (
    UPDATE tenants_tenantusage SET amount = 0 WHERE
    -- include: of_counter
    AND tenant_id NOT IN (SELECT tenant_id FROM recounted)
)
INSERT INTO tenants_tenantusage (tenant_id, key, period, amount)
SELECT tenant_id, %(key)s, %(period)s, amount FROM recounted
ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount
