-- Statements that run only if there are jobs with a concurrency key. Rows of a key are written under their lock by one
-- tick at a time; a tick that finds a lock leaves the key to a later tick, so that two pools' ticks cannot deadlock.

-- name: admit_jobs
-- Consume news of keys: count ended jobs as no longer in flight, and make waiting jobs of these keys ready, in the order
-- of their ranks. In each queue as many are ready as may start, because the job that is ready in a paused queue must not
-- block those of another. The cost depends on the limits of the keys, not on the number of jobs that wait. News stay if
-- another transaction has locked a job, which it may yet give back, or if more jobs may be admitted than at once.
WITH chosen AS MATERIALIZED (
    SELECT n.ctid AS place, n.tenant_id, n.kind, n.concurrency_key, n.ended FROM scheduling_concurrency_key_news n
    LIMIT %(news)s FOR NO KEY UPDATE OF n SKIP LOCKED
), changed AS MATERIALIZED (
    SELECT tenant_id, kind, concurrency_key, sum(ended)::int AS ended FROM chosen GROUP BY 1, 2, 3
), locked AS MATERIALIZED (
    SELECT c.* FROM changed c CROSS JOIN LATERAL (
        SELECT FROM scheduling_concurrency_key k
        -- include: is_key_of_c
    ) k
), counted AS (
    UPDATE scheduling_concurrency_key k SET in_flight = greatest(0, k.in_flight - l.ended)
    FROM locked l
    WHERE k.tenant_id = l.tenant_id AND k.kind = l.kind AND k.concurrency_key = l.concurrency_key
    RETURNING k.tenant_id, k.kind, k.concurrency_key, k.in_flight
), key AS MATERIALIZED (
    SELECT k.*,
    -- include: limit_of_key
    AS most FROM (
        SELECT * FROM counted
        UNION ALL SELECT c.tenant_id, c.kind, c.concurrency_key, 0 FROM changed c WHERE NOT EXISTS (
            SELECT FROM scheduling_concurrency_key o WHERE o.tenant_id = c.tenant_id AND o.kind = c.kind
                AND o.concurrency_key = c.concurrency_key OFFSET 0)
    ) k
), consumed AS (
    DELETE FROM scheduling_concurrency_key_news n WHERE n.ctid = ANY(ARRAY(
        SELECT c.place FROM chosen c JOIN key USING (tenant_id, kind, concurrency_key)))
), ready_jobs AS (
    SELECT k.tenant_id, k.kind, k.concurrency_key, e.queue_id, count(*) AS jobs
    FROM key k CROSS JOIN LATERAL (
        SELECT r.entity_id FROM scheduling_job_ready r
        WHERE r.tenant_id = k.tenant_id AND r.kind = k.kind AND r.concurrency_key = k.concurrency_key
        LIMIT %(ready)s
    ) r CROSS JOIN LATERAL (SELECT queue_id FROM scheduling_schedulingentity WHERE id = r.entity_id LIMIT 1) e
    WHERE k.in_flight < k.most GROUP BY 1, 2, 3, 4
), candidate AS MATERIALIZED (
    SELECT k.tenant_id, k.kind, k.concurrency_key, q.pool_id, h.job_id
    FROM key k CROSS JOIN scheduling_queue q LEFT JOIN ready_jobs r ON r.tenant_id = k.tenant_id AND r.kind = k.kind
            AND r.concurrency_key = k.concurrency_key AND r.queue_id = q.id
        CROSS JOIN LATERAL (
            SELECT h.job_id FROM scheduling_job_held h
            WHERE h.gate = 'cap ' || q.id AND h.tenant_id = k.tenant_id AND h.kind = k.kind
                AND h.concurrency_key = k.concurrency_key
                -- Matches the index.
                AND h.gate < 'circuit'
            ORDER BY h.rank, h.job_id LIMIT greatest(0, least(k.most - k.in_flight - coalesce(r.jobs, 0), %(admitted)s))
        ) h
), free AS (
    SELECT h.job_id FROM scheduling_job_held h
    WHERE h.job_id = ANY(ARRAY(SELECT job_id FROM candidate)) FOR NO KEY UPDATE OF h SKIP LOCKED
), admitted AS (
    DELETE FROM scheduling_job_held h USING free f WHERE h.job_id = f.job_id AND h.gate < 'circuit'
    RETURNING h.*
), ready AS (
    INSERT INTO scheduling_job_ready (
    -- include: ready_columns
    ) SELECT
    -- include: ready_columns
    FROM admitted
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT DISTINCT a.tenant_id, a.entity_id, e.queue_id, 0
    FROM admitted a CROSS JOIN LATERAL (
        SELECT queue_id FROM scheduling_schedulingentity WHERE id = a.entity_id LIMIT 1) e
), news AS (
    INSERT INTO scheduling_concurrency_key_news (tenant_id, kind, concurrency_key, ended)
    SELECT c.tenant_id, c.kind, c.concurrency_key, 0 FROM candidate c LEFT JOIN admitted a USING (job_id)
    GROUP BY 1, 2, 3 HAVING count(*) > count(a.job_id) OR count(*) >= %(admitted)s
)
SELECT k.tenant_id, k.kind, k.concurrency_key, k.in_flight = 0 AS is_idle, EXISTS (
    SELECT FROM candidate c WHERE c.tenant_id = k.tenant_id AND c.kind = k.kind
        AND c.concurrency_key = k.concurrency_key AND c.pool_id <> %(pool_id)s) AS wakes_others
FROM key k;

-- name: forget_idle
-- Delete keys without jobs in flight, whose rows this transaction has locked.
DELETE FROM scheduling_concurrency_key k
USING unnest(%(tenant_ids)s::uuid[], %(kinds)s::text[], %(keys)s::text[]) AS i(tenant_id, kind, concurrency_key)
WHERE k.tenant_id = i.tenant_id AND k.kind = i.kind AND k.concurrency_key = i.concurrency_key AND k.in_flight = 0;

-- name: reserve_keys
-- Count picked jobs as in flight under their keys; return the keys whose limit allows all of them. The limit spans
-- pools, so it is tested on the locked row. A key without a row has no jobs in flight; the index decides between two
-- ticks that insert it.
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(kinds)s::text[], %(keys)s::text[], %(counts)s::int[],
        %(limits)s::int[]) AS w(tenant_id, kind, concurrency_key, n, most)
), locked AS MATERIALIZED (
    SELECT c.* FROM wanted c CROSS JOIN LATERAL (
        SELECT FROM scheduling_concurrency_key k
        -- include: is_key_of_c
    ) k
), counted AS (
    UPDATE scheduling_concurrency_key k SET in_flight = k.in_flight + l.n
    FROM locked l
    WHERE k.tenant_id = l.tenant_id AND k.kind = l.kind AND k.concurrency_key = l.concurrency_key
        AND k.in_flight + l.n <= l.most
    RETURNING k.tenant_id, k.kind, k.concurrency_key
), added AS (
    INSERT INTO scheduling_concurrency_key (tenant_id, kind, concurrency_key, in_flight)
    SELECT w.tenant_id, w.kind, w.concurrency_key, w.n FROM wanted w
    WHERE w.n <= w.most AND NOT EXISTS (
        SELECT FROM scheduling_concurrency_key o
        WHERE o.tenant_id = w.tenant_id AND o.kind = w.kind AND o.concurrency_key = w.concurrency_key OFFSET 0)
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING
    RETURNING tenant_id, kind, concurrency_key
)
SELECT * FROM counted UNION ALL SELECT * FROM added;

-- name: append_news
-- Report jobs as no longer in flight under their keys.
INSERT INTO scheduling_concurrency_key_news (tenant_id, kind, concurrency_key, ended)
SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(kinds)s::text[], %(keys)s::text[], %(counts)s::int[]);

-- fragment: is_key_of_c
-- Find the key of ``c`` by the index and lock it. OFFSET and LATERAL keep the planner from reading all keys instead.
WHERE k.tenant_id = c.tenant_id AND k.kind = c.kind AND k.concurrency_key = c.concurrency_key
OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED
