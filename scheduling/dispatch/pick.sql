-- name: read_rows
-- Read the first ready jobs of lines with their predicted costs and gates.
SELECT a.entity_id, r.rank, r.job_id, r.kind,
    -- include: travels_alone
    AS merge_disabled,
    -- include: predicted_us
    AS predicted_us,
    -- include: gate_before
    AS gate,
    r.tenant_id, e.queue_id, r.concurrency_key, CASE WHEN r.concurrency_key IS NOT NULL THEN coalesce((
        SELECT c.in_flight FROM scheduling_concurrency_key c WHERE c.tenant_id = r.tenant_id AND c.kind = r.kind
            AND c.concurrency_key = r.concurrency_key), 0) END AS key_in_flight
FROM unnest(%(entity_ids)s::bigint[], %(asked)s::int[]) AS a(entity_id, asked)
    -- With a LIMIT each row is found by its key: for a few thousand tenants the planner would otherwise read all rows.
    CROSS JOIN LATERAL (SELECT queue_id FROM scheduling_schedulingentity WHERE id = a.entity_id LIMIT 1) e
    JOIN scheduling_queue q ON q.id = e.queue_id
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_job_ready r WHERE r.entity_id = a.entity_id
          AND (%(kind)s::text IS NULL OR r.kind = %(kind)s)
        ORDER BY r.rank, r.job_id LIMIT a.asked
    ) r
    -- include: cost_sums
ORDER BY a.entity_id, r.rank, r.job_id;

-- fragment: travels_alone
-- Whether ready job ``r`` in queue ``q`` shares no message: after a crash, as the probe of a breaker, and in a queue
-- with a rate, which counts jobs. The array is read once; the states are those of an index.
r.merge_disabled OR q.dispatches_per_minute IS NOT NULL OR r.job_id = ANY(ARRAY(
    SELECT c.probe_job_id FROM scheduling_circuit_breaker c
    WHERE c.state IN ('half_open', 'closing', 'forced_closed') AND c.probe_job_id IS NOT NULL))

-- name: read_keys_fair
-- Read the first runnable keys of tenants in fair order.
SELECT e.id AS parent_id, k.id AS entity_id, k.vruntime, k.in_flight, k.head_rank, k.waiting, k.estimate_us
FROM unnest(%(entity_ids)s::bigint[], %(limits)s::int[]) AS e(id, n) CROSS JOIN LATERAL (
    SELECT * FROM scheduling_schedulingentity k
    -- include: is_wanted_key
    ORDER BY k.vruntime, k.in_flight, k.head_rank, k.id LIMIT e.n
) k;

-- name: read_keys_fifo
-- Read the first runnable keys of tenants in order of arrival.
SELECT e.id AS parent_id, k.id AS entity_id, k.vruntime, k.in_flight, k.head_rank, k.waiting, k.estimate_us
FROM unnest(%(entity_ids)s::bigint[], %(limits)s::int[]) AS e(id, n) CROSS JOIN LATERAL (
    SELECT * FROM scheduling_schedulingentity k
    -- include: is_wanted_key
    ORDER BY k.head_rank, k.in_flight, k.id LIMIT e.n
) k;

-- fragment: is_wanted_key
WHERE k.parent_id = e.id AND k.is_runnable AND (%(only)s::bigint[] IS NULL OR k.id = ANY(%(only)s::bigint[]))

-- name: lock_picks
-- Lock picked ready rows that no other transaction has locked. The whole key is compared: a row that has moved
-- meanwhile is a different one.
SELECT r.job_id
FROM unnest(%(entity_ids)s::bigint[], %(ranks)s::bigint[], %(job_ids)s::uuid[]) AS p(entity_id, rank, job_id)
    JOIN scheduling_job_ready r ON r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
FOR NO KEY UPDATE OF r SKIP LOCKED;

-- name: lock_picks_and_jobs
-- Lock picked ready rows with the rows of their jobs.
SELECT r.job_id
FROM unnest(%(entity_ids)s::bigint[], %(ranks)s::bigint[], %(job_ids)s::uuid[]) AS p(entity_id, rank, job_id)
    JOIN scheduling_job_ready r ON r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
    JOIN scheduling_job j ON j.id = r.job_id
FOR NO KEY UPDATE OF r, j SKIP LOCKED;
