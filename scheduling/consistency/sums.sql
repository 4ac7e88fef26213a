-- name: find_unbalanced
-- Find tenants whose charges differ from measured and predicted time at the rates of the executions. One statement is one snapshot, so executions that
-- end meanwhile do not disturb the sums of its tenants.
SELECT tenant_id, sum(us)::bigint AS us
FROM (
    SELECT tenant_id, microseconds AS us FROM scheduling_charge WHERE
    -- include: in_page
    UNION ALL SELECT tenant_id, -
    -- include: measured_charge
    FROM scheduling_execution WHERE
    -- include: in_page
    UNION ALL SELECT tenant_id, -
    -- include: predicted_charge
    FROM scheduling_execution_live WHERE
    -- include: in_page
) AS entries
-- A tenant that is being erased loses one table after the other.
WHERE tenant_id NOT IN (SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')
GROUP BY tenant_id HAVING sum(us) <> 0 ORDER BY tenant_id;

-- fragment: recounted_months
-- The charged worker time of months by ended executions. Unfolded rows are in the executions but not in the counter; one
-- statement is one snapshot.
recounted AS (
    SELECT tenant_id, date_trunc('month', ended_at AT TIME ZONE 'UTC')::date AS period, sum(us)::bigint AS us
    FROM (
        SELECT tenant_id, ended_at,
        -- include: measured_charge
        AS us FROM scheduling_execution WHERE
        -- include: in_page
        AND ended_at >= %(since)s
        UNION ALL SELECT tenant_id, ended_at, -
        -- include: measured_charge
        FROM scheduling_settled WHERE
        -- include: in_page
        AND ended_at >= %(since)s
        UNION ALL SELECT tenant_id, (content ->> 'ended_at')::timestamptz,
            -div(measured_us::numeric * coalesce((content ->> 'rate_milli')::int, 1000), 1000)
        FROM scheduling_settled_refused WHERE
        -- include: in_page
        AND (content ->> 'ended_at')::timestamptz >= %(since)s
    ) AS ended
    GROUP BY 1, 2
)

-- name: find_wrong_months
-- Find wrongly counted months of tenants.
WITH
-- include: recounted_months
, counted AS (
    SELECT tenant_id, period, amount FROM tenants_tenantusage WHERE
    -- include: in_page
    AND key = %(key)s AND period >= %(period)s
)
SELECT tenant_id, period, coalesce(c.amount, 0) AS counted_us, coalesce(r.us, 0) AS due_us
FROM counted c FULL JOIN recounted r USING (tenant_id, period)
WHERE coalesce(c.amount, 0) <> coalesce(r.us, 0) ORDER BY 1, 2;

-- name: find_wrong_charges
-- Find wrongly charged executions of the last day, of which nothing is pruned yet. A process with a slow clock dates
-- its ids early.
WITH charged AS (
    SELECT execution_id, sum(microseconds)::bigint AS us FROM scheduling_charge WHERE
    -- include: in_page
    AND id >= %(charges_since)s AND execution_id >= %(executions_since)s GROUP BY 1
)
SELECT e.tenant_id, e.id, coalesce(c.us, 0) AS counted_us, e.due_us
FROM (
    SELECT tenant_id, id,
    -- include: measured_charge
    ::bigint AS due_us FROM scheduling_execution WHERE
    -- include: in_page
    AND id >= %(executions_since)s
) AS e LEFT JOIN charged c ON c.execution_id = e.id
WHERE coalesce(c.us, 0) <> e.due_us AND e.tenant_id NOT IN (
    SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')
ORDER BY 1, e.id LIMIT %(limit)s;

-- name: write_months
-- Write the charged time of months.
WITH
-- include: recounted_months
, missing AS (
    UPDATE tenants_tenantusage SET amount = 0 WHERE
    -- include: in_page
    AND key = %(key)s AND period >= %(period)s
        AND (tenant_id, period) NOT IN (SELECT tenant_id, period FROM recounted)
)
INSERT INTO tenants_tenantusage (tenant_id, key, period, amount)
SELECT tenant_id, %(key)s, period, us FROM recounted
ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount;
