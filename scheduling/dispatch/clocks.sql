-- name: update_keys
-- Write the lines of keys.
UPDATE scheduling_schedulingentity k SET
    vruntime = u.vruntime, in_flight = k.in_flight + u.messages, waiting = k.waiting - u.claimed,
    head_rank = coalesce(u.rank, k.head_rank), estimate_us = coalesce(u.estimate_us, k.estimate_us),
    is_runnable = u.rank IS NOT NULL
FROM unnest(%(ids)s::bigint[], %(vruntimes)s::bigint[], %(claimed)s::int[], %(messages)s::int[], %(ranks)s::bigint[],
        %(estimates)s::bigint[])
    AS u(id, vruntime, claimed, messages, rank, estimate_us)
WHERE k.id = u.id;

-- name: update_tenants
-- Write the lines of tenants, after those of their keys. A tenant's rank is the lowest of its lines.
WITH moved AS (
    SELECT u.*, CASE WHEN u.is_keyed THEN (
        SELECT k.head_rank FROM scheduling_schedulingentity k WHERE k.parent_id = u.id AND k.is_runnable
        ORDER BY k.head_rank, k.in_flight, k.id LIMIT 1
    ) END AS keys_rank
    FROM unnest(%(ids)s::bigint[], %(vruntimes)s::bigint[], %(virtual_times)s::bigint[], %(own_vruntimes)s::bigint[],
        %(claimed)s::int[], %(keys_claimed)s::int[], %(messages)s::int[], %(keys_messages)s::int[],
        %(own_ranks)s::bigint[], %(estimates)s::bigint[], %(have_room)s::bool[], %(are_keyed)s::bool[])
        AS u(id, vruntime, virtual_time, own_vruntime, claimed, keys_claimed, messages, keys_messages, own_rank,
            estimate_us, has_room, is_keyed)
)
UPDATE scheduling_schedulingentity e SET
    vruntime = u.vruntime, virtual_time = u.virtual_time, own_vruntime = u.own_vruntime,
    in_flight = e.in_flight + u.messages, waiting = e.waiting - u.claimed,
    keys_in_flight = e.keys_in_flight + u.keys_messages, keys_waiting = e.keys_waiting - u.keys_claimed,
    own_rank = u.own_rank, head_rank = coalesce(least(u.own_rank, u.keys_rank), e.head_rank),
    estimate_us = coalesce(u.estimate_us, e.estimate_us),
    is_runnable = u.has_room AND coalesce(u.own_rank, u.keys_rank) IS NOT NULL
FROM moved u WHERE e.id = u.id;

-- name: hold_full_tenants
-- End the eligibility of tenants at their caps in every queue: otherwise they would precede others in queues that this
-- tick did not read. Wake the queues of other pools.
WITH held AS (
    SELECT e.id, e.tenant_id, e.queue_id, q.pool_id
    FROM scheduling_schedulingentity e JOIN scheduling_queue q ON q.id = e.queue_id
    WHERE e.tenant_id = ANY(%(tenants)s) AND e.parent_id IS NULL AND e.is_runnable
), here AS (
    UPDATE scheduling_schedulingentity e SET is_runnable = false
    FROM held h WHERE e.id = h.id AND h.pool_id = %(pool_id)s
)
INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
SELECT tenant_id, id, queue_id, 0 FROM held WHERE pool_id <> %(pool_id)s;

-- name: update_clocks
-- Write the clocks of a pool and of its queues. The time of a tick is smoothed over eight ticks, and over a second if they
-- are rare: an idle pool forgets slow ticks as fast as a busy one.
WITH pool AS (
    UPDATE scheduling_pool_clock SET virtual_time = %(virtual_time)s, picked_at = now(),
        tick_us = coalesce(tick_us + (%(tick_us)s::int - tick_us) * greatest(0.125::float8,
            1 - exp(-least(greatest(extract(epoch FROM now() - picked_at)::float8, 0), 60))), %(tick_us)s::int)::int
    WHERE pool_id = %(pool_id)s
)
UPDATE scheduling_queue_clock c SET
    vruntime = u.vruntime, virtual_time = u.virtual_time, was_backlogged = u.is_backlogged,
    -- No tenant can return below the queue's virtual time, and none was read below `seen`.
    floor = CASE WHEN u.seen IS NULL THEN c.floor ELSE least(u.seen, u.virtual_time) END
FROM unnest(%(queues)s::bigint[], %(vruntimes)s::bigint[], %(virtual_times)s::bigint[], %(are_backlogged)s::bool[],
    %(seen)s::bigint[]) AS u(queue_id, vruntime, virtual_time, is_backlogged, seen)
WHERE c.queue_id = u.queue_id;

-- name: charge_queues
-- Charge service to the clocks of queues.
UPDATE scheduling_queue_clock c SET vruntime = c.vruntime + u.service
FROM unnest(%(queues)s::bigint[], %(services)s::bigint[]) AS u(queue_id, service) WHERE c.queue_id = u.queue_id;
