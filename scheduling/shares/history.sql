-- name: sum_entitled
-- Read the entitled and backlogged time of the tenants with the most of it, by bin. A tenant backlogged in two queues
-- counts once, hence the bin's length as the maximum.
WITH sampled AS MATERIALIZED (
    SELECT tenant_id, date_bin(%(length)s::interval, minute, %(since)s) AS bin, sum(entitled_us)::bigint AS entitled_us,
        least(sum(backlogged_us), %(seconds)s::numeric * 1000000)::bigint AS backlogged_us
    FROM scheduling_share_minute
    WHERE minute >= %(since)s AND (%(queues)s::bigint[] IS NULL OR queue_id = ANY (%(queues)s))
        AND (%(only)s::uuid IS NULL OR tenant_id = %(only)s)
    GROUP BY 1, 2
), greatest AS (
    SELECT tenant_id FROM sampled GROUP BY 1 ORDER BY sum(entitled_us) DESC, tenant_id LIMIT %(limit)s
)
SELECT tenant_id, bin, entitled_us, backlogged_us FROM sampled JOIN greatest USING (tenant_id);

-- name: sum_lags
-- Read how far tenants are behind their ideal shares.
SELECT tenant_id, sum(lag_us)::bigint AS lag_us FROM (
    SELECT DISTINCT ON (tenant_id, queue_id) tenant_id, lag_us FROM scheduling_share_minute
    WHERE minute >= %(lag_since)s AND lag_us IS NOT NULL AND tenant_id = ANY (%(tenants)s)
        AND (%(queues)s::bigint[] IS NULL OR queue_id = ANY (%(queues)s))
    ORDER BY tenant_id, queue_id, minute DESC
) AS last GROUP BY 1;

-- name: sum_used
-- Read the slot time that tenants used, by bin.
SELECT tenant_id, date_bin(%(length)s::interval, minute, %(since)s) AS bin, sum(busy_us)::bigint AS busy_us
FROM scheduling_tenant_minute
WHERE tenant_id = ANY (%(tenants)s::uuid[]) AND minute >= %(since)s
    AND (%(queues)s::bigint[] IS NULL OR queue_id = ANY (%(queues)s))
GROUP BY 1, 2;

-- name: find_running
-- Read the start times of tenants' executions in flight. Jobs that share a message share its slot.
SELECT tenant_id, started_at, size
FROM (SELECT *,
    -- include: slot_sharers
    AS size FROM scheduling_execution_live) AS live
WHERE started_at IS NOT NULL AND tenant_id = ANY (%(tenants)s)
    AND (%(queues)s::bigint[] IS NULL OR queue_id = ANY (%(queues)s));
