-- Statements of measures; their columns are the first fields of a sample.

-- name: read_oldest_waits
-- Read how long the oldest job of each running queue, and of each tenant in these, has waited, by the newest gauges.
WITH running AS (
    SELECT q.id, q.name, p.name AS pool FROM scheduling_queue q JOIN scheduling_workerpool p ON p.id = q.pool_id
    WHERE NOT q.is_paused AND NOT p.is_paused
)
SELECT 'queue:' || r.name, extract(epoch FROM g.sampled_at - g.oldest_at)::float8, r.name, NULL::uuid,
    ARRAY['pool:' || r.pool]
FROM scheduling_queue_gauge g JOIN running r ON r.id = g.queue_id WHERE g.oldest_at IS NOT NULL
    AND g.minute = (SELECT max(minute) FROM scheduling_queue_gauge WHERE minute > %(since)s AND minute <= %(now)s)
UNION ALL
SELECT 'tenant:' || t.id, extract(epoch FROM max(g.sampled_at - g.oldest_at))::float8, t.slug, t.id, '{}'
FROM scheduling_tenant_gauge g JOIN running r ON r.id = g.queue_id JOIN tenants_tenant t ON t.id = g.tenant_id
WHERE g.oldest_at IS NOT NULL
    AND g.minute = (SELECT max(minute) FROM scheduling_tenant_gauge WHERE minute > %(since)s AND minute <= %(now)s)
GROUP BY t.id;

-- name: read_failure_rates
-- Read the part of the ended executions that failed, of each queue, tenant, kind and tenant's kind with enough of them.
WITH ended AS (
    SELECT queue_id, NULL::uuid AS tenant_id, NULL AS kind, sum(failed) AS failed, sum(completed + failed) AS count
    FROM scheduling_queue_minute WHERE minute > %(since)s AND minute <= %(now)s GROUP BY 1
    UNION ALL SELECT NULL, tenant_id, NULL, sum(failed), sum(completed + failed)
    FROM scheduling_tenant_minute WHERE minute > %(since)s AND minute <= %(now)s GROUP BY 2
    UNION ALL SELECT NULL, tenant_id, kind, sum(failed), sum(completed + failed) FROM scheduling_kind_minute
    WHERE minute > %(since)s AND minute <= %(now)s GROUP BY GROUPING SETS ((kind), (kind, tenant_id))
)
SELECT coalesce('queue:' || q.name, 'kind:' || e.kind || coalesce('@' || e.tenant_id, ''), 'tenant:' || t.id),
    e.failed::float8 / e.count, coalesce(q.name, e.kind, t.slug), e.tenant_id,
    CASE WHEN q.id IS NULL THEN '{}' ELSE ARRAY['pool:' || p.name] END
FROM ended e LEFT JOIN tenants_tenant t ON t.id = e.tenant_id LEFT JOIN scheduling_queue q ON q.id = e.queue_id
    LEFT JOIN scheduling_workerpool p ON p.id = q.pool_id
WHERE e.failed > 0 AND e.count >= %(least)s AND coalesce(q.name, e.kind, t.slug) IS NOT NULL;
