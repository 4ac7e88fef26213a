-- name: read_memory_room
-- Read what is left of tenants' limits of memory in flight; tenants without such a limit are left out.
SELECT t.id AS tenant_id, (least(l.value, 2147483647) - (
    -- include: memory_in_use
))::bigint AS room
FROM tenants_tenant t CROSS JOIN LATERAL (SELECT
    -- include: memory_limit
    AS value) l
WHERE t.id = ANY(%(tenant_ids)s::uuid[]) AND l.value IS NOT NULL;
