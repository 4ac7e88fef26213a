-- name: read_rows
-- Read the first ready jobs of lines with their predicted costs and gates.
SELECT
-- include: row_columns
FROM unnest(%(entity_ids)s::bigint[], %(asked)s::int[]) AS a(entity_id, asked)
    -- include: queue_of_line
    CROSS JOIN LATERAL (
        SELECT * FROM scheduling_job_ready r WHERE r.entity_id = a.entity_id
          AND (%(kind)s::text IS NULL OR r.kind = %(kind)s)
        ORDER BY r.rank, r.job_id LIMIT a.asked
    ) r
    -- include: cost_sums
ORDER BY a.entity_id, r.rank, r.job_id;

-- name: read_moved_rows
-- Read the first ready jobs of lines after rules have moved the first ones of each line. A job that is nth after the
-- moves has the place of the nth before them. Moves are by kind, so they are found once a line and not once a job.
WITH effect AS MATERIALIZED (
    SELECT * FROM unnest(%(numbers)s::int[], %(kinds)s::text[], %(tiers)s::text[], %(tenant_ids)s::uuid[],
        %(seconds)s::int[]) AS x(number, kind, tier, tenant_id, seconds)
), moves AS MATERIALIZED (
    SELECT a.entity_id, x.kind,
        greatest(-%(most_seconds)s::int, least(%(most_seconds)s::int, sum(x.seconds)))::bigint AS seconds,
        array_agg(x.number ORDER BY x.number) AS numbers
    FROM unnest(%(entity_ids)s::bigint[]) AS a(entity_id)
        CROSS JOIN LATERAL (SELECT tenant_id FROM scheduling_schedulingentity WHERE id = a.entity_id LIMIT 1) e
        CROSS JOIN LATERAL (SELECT p.tier_id FROM tenants_tenant t JOIN tenants_plan p ON p.id = t.plan_id
            WHERE t.id = e.tenant_id LIMIT 1) t
        JOIN effect x ON (x.tenant_id IS NULL OR x.tenant_id = e.tenant_id) AND (x.tier IS NULL OR x.tier = t.tier_id)
    GROUP BY 1, 2 HAVING sum(x.seconds) <> 0
)
SELECT
-- include: row_columns
, r.place_rank, r.seconds, r.numbers
FROM unnest(%(entity_ids)s::bigint[], %(asked)s::int[]) AS a(entity_id, asked)
    -- include: queue_of_line
    CROSS JOIN LATERAL (
        SELECT m.*, m.ranks[m.nth] AS place_rank FROM (
            SELECT f.*, array_agg(f.rank) OVER (ORDER BY f.place
                    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS ranks,
                row_number() OVER (ORDER BY f.place > %(line_jobs)s::int, f.rank - coalesce(f.seconds, 0) * 1000000,
                    f.place) AS nth
            FROM (
                SELECT w.*, CASE WHEN w.place <= %(line_jobs)s::int THEN v.seconds END AS seconds, v.numbers
                FROM (
                    SELECT r.*, row_number() OVER (ORDER BY r.rank, r.job_id) AS place FROM scheduling_job_ready r
                    WHERE r.entity_id = a.entity_id AND (%(kind)s::text IS NULL OR r.kind = %(kind)s)
                    ORDER BY r.rank, r.job_id LIMIT greatest(a.asked, %(line_jobs)s::int)
                ) w LEFT JOIN moves v ON v.entity_id = w.entity_id AND v.kind = w.kind
            ) f
        ) m ORDER BY m.nth LIMIT a.asked
    ) r
    -- include: cost_sums
ORDER BY a.entity_id, r.nth;

-- fragment: row_columns
-- The columns of ready job ``r``, with its predicted cost and its gate.
a.entity_id, r.rank, r.job_id, r.kind,
-- include: travels_alone
AS merge_disabled,
-- include: predicted_us
AS predicted_us,
-- include: gate_before
AS gate,
r.tenant_id, e.queue_id, r.concurrency_key, CASE WHEN r.concurrency_key IS NOT NULL THEN coalesce((
    SELECT c.in_flight FROM scheduling_concurrency_key c WHERE c.tenant_id = r.tenant_id AND c.kind = r.kind
        AND c.concurrency_key = r.concurrency_key), 0) END AS key_in_flight

-- fragment: queue_of_line
-- The queue of line ``a``. With a LIMIT each row is found by its key: for a few thousand tenants the planner would
-- otherwise read all rows.
CROSS JOIN LATERAL (SELECT queue_id FROM scheduling_schedulingentity WHERE id = a.entity_id LIMIT 1) e
JOIN scheduling_queue q ON q.id = e.queue_id

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
