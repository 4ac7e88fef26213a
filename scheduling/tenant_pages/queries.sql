-- name: read_ratios
-- Read the slot time that tenants used over their entitlement, in the last hour's whole minutes. Each minute counts by
-- the part of it in which the tenant was backlogged; without a minute of backlog in all a tenant has no ratio.
WITH entitled AS (
    SELECT tenant_id, minute, sum(entitled_us) AS entitled_us, least(1, sum(backlogged_us) / 6e7) AS part
    FROM scheduling_share_minute
    WHERE minute >= date_trunc('minute', now()) - interval '1 hour' AND minute < date_trunc('minute', now())
    GROUP BY 1, 2 HAVING sum(backlogged_us) > 0
), used AS (
    SELECT tenant_id, minute, busy_us FROM scheduling_tenant_minute
    WHERE minute >= date_trunc('minute', now()) - interval '1 hour' AND minute < date_trunc('minute', now())
    UNION ALL
    SELECT tenant_id, minute, extract(epoch FROM minute + interval '1 minute' - greatest(started_at, minute)) * 1e6 / size
    FROM (SELECT *,
        -- include: slot_sharers
        AS size FROM scheduling_execution_live) AS live
        CROSS JOIN LATERAL generate_series(
            date_trunc('minute', greatest(started_at, now() - interval '1 hour')),
            date_trunc('minute', now()) - interval '1 minute', interval '1 minute'
        ) AS minute
    WHERE started_at IS NOT NULL
), summed AS (
    SELECT tenant_id, minute, sum(busy_us) AS busy_us FROM used GROUP BY 1, 2
)
SELECT tenant_id, (sum(part * coalesce(busy_us, 0)) / sum(part * entitled_us))::float8 AS ratio
FROM entitled LEFT JOIN summed USING (tenant_id, minute)
GROUP BY 1 HAVING sum(part) >= 1 AND sum(part * entitled_us) > 0;
