-- name: read_keys_fair
-- Read the first runnable keys of tenants in fair order.
SELECT e.id AS parent_id, k.id AS entity_id, k.vruntime, k.in_flight, k.head_rank, k.waiting, k.estimate_us
FROM unnest(%(entity_ids)s::bigint[], %(limits)s::int[]) AS e(id, n) CROSS JOIN LATERAL (
    SELECT * FROM scheduling_schedulingentity k
    -- include: is_wanted_key
    ORDER BY k.vruntime, k.in_flight, k.head_rank, k.id LIMIT e.n
) k;

-- name: read_keys_fifo
-- Read the first runnable keys of tenants in the order of arrival.
SELECT e.id AS parent_id, k.id AS entity_id, k.vruntime, k.in_flight, k.head_rank, k.waiting, k.estimate_us
FROM unnest(%(entity_ids)s::bigint[], %(limits)s::int[]) AS e(id, n) CROSS JOIN LATERAL (
    SELECT * FROM scheduling_schedulingentity k
    -- include: is_wanted_key
    ORDER BY k.head_rank, k.in_flight, k.id LIMIT e.n
) k;

-- fragment: is_wanted_key
WHERE k.parent_id = e.id AND k.is_runnable AND (%(only)s::bigint[] IS NULL OR k.id = ANY(%(only)s::bigint[]))
