-- Statements that move waiting jobs to other queues. They lock a waiting row before its job's row, as all statements
-- do.

-- name: find_places
-- Read the places of given jobs. A suspended job is in no line, and the line of its key may have been removed, so the
-- line of its tenant stands for its queue.
SELECT j.id AS job_id, j.queue_id, e.id AS entity_id, j.rank
FROM scheduling_job j JOIN scheduling_schedulingentity e ON e.tenant_id = j.tenant_id AND e.queue_id = j.queue_id
    AND e.fair_key = CASE WHEN j.state = 'suspended' THEN '' ELSE j.fair_key END
WHERE j.id = ANY(%(job_ids)s::uuid[]);

-- fragment: wanted
wanted AS (
    SELECT w.job_id, w.rank, w.entity_id, w.event_id, w.queue_id, e.tenant_id, e.fair_key, e.queue_id AS from_queue_id
    FROM unnest(%(job_ids)s::uuid[], %(entity_ids)s::bigint[], %(ranks)s::bigint[], %(queue_ids)s::bigint[],
            %(event_ids)s::uuid[]) AS w(job_id, entity_id, rank, queue_id, event_id)
        JOIN scheduling_schedulingentity e ON e.id = w.entity_id
)

-- name: hold_lines
-- Share the locks of the tenants of the wanted key lines, so that upkeep does not remove these lines while they are
-- empty.
WITH
-- include: wanted
SELECT pg_advisory_xact_lock_shared(%(lines_lock)s::int, hashtext(tenant_id::text))
FROM (SELECT DISTINCT tenant_id FROM wanted WHERE fair_key <> '' ORDER BY 1) AS tenants;

-- name: insert_tenant_nodes
-- Insert the missing lines of tenants, in the order in which submissions insert the same rows, to prevent deadlocks.
WITH
-- include: wanted
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, weight_milli, vruntime, is_runnable, in_flight, waiting,
    head_rank, estimate_us)
SELECT DISTINCT tenant_id, queue_id, 1000, 0, false, 0, 0, 0, 1000000 FROM wanted ORDER BY tenant_id, queue_id
ON CONFLICT DO NOTHING;

-- name: insert_key_nodes
-- Insert the missing lines of keys; their tenants' lines exist.
WITH
-- include: wanted
INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, parent_id, fair_key, weight_milli, vruntime, is_runnable,
    in_flight, waiting, head_rank, estimate_us)
SELECT DISTINCT w.tenant_id, w.queue_id, n.id, w.fair_key, 1000, 0, false, 0, 0, 0, 1000000
FROM wanted w JOIN scheduling_schedulingentity n
    ON n.tenant_id = w.tenant_id AND n.queue_id = w.queue_id AND n.parent_id IS NULL
WHERE w.fair_key <> '' ORDER BY w.tenant_id, w.queue_id, w.fair_key
ON CONFLICT DO NOTHING;

-- name: move_ready
-- Move ready jobs. Only the place of a row changes; a transaction that waited for its lock finds no row there and reads
-- again.
WITH
-- include: wanted
, chosen AS (
    SELECT w.*, n.id AS new_entity_id
    FROM scheduling_job_ready r
    -- include: place_and_target
    FOR NO KEY UPDATE OF r SKIP LOCKED
), moved AS (
    UPDATE scheduling_job_ready r SET entity_id = c.new_entity_id FROM chosen c
    WHERE r.entity_id = c.entity_id AND r.rank = c.rank AND r.job_id = c.job_id
    RETURNING c.*
),
-- include: move_jobs
SELECT job_id FROM moved;

-- name: move_due
-- Move jobs that are not due yet.
WITH
-- include: wanted
, chosen AS (
    SELECT w.*, n.id AS new_entity_id
    FROM scheduling_job_due r
    -- include: place_and_target
    FOR NO KEY UPDATE OF r SKIP LOCKED
), moved AS (
    UPDATE scheduling_job_due r SET entity_id = c.new_entity_id FROM chosen c
    WHERE r.entity_id = c.entity_id AND r.rank = c.rank AND r.job_id = c.job_id
    RETURNING c.*
),
-- include: move_jobs
SELECT job_id FROM moved;

-- name: move_held
-- Move jobs held by gates. A gate of the former pool or queue becomes that of the new one, which may be open.
WITH
-- include: wanted
, chosen AS (
    SELECT w.*, n.id AS new_entity_id
    FROM scheduling_job_held r
    -- include: place_and_target
    FOR NO KEY UPDATE OF r SKIP LOCKED
), moved AS (
    UPDATE scheduling_job_held r SET
        entity_id = c.new_entity_id,
        gate = CASE WHEN r.gate < 'circuit' THEN 'cap ' || c.queue_id
            WHEN split_part(r.gate, ' ', 1) IN ('memory', 'unknown')
            THEN split_part(r.gate, ' ', 1) || ' ' || (SELECT q.pool_id FROM scheduling_queue q WHERE q.id = c.queue_id)
            WHEN r.gate LIKE 'region %%' THEN 'region ' || split_part(r.gate, ' ', 2) || ' '
                || (SELECT q.pool_id FROM scheduling_queue q WHERE q.id = c.queue_id)
            ELSE r.gate END
    FROM chosen c
    WHERE r.entity_id = c.entity_id AND r.rank = c.rank AND r.job_id = c.job_id
    RETURNING c.*
),
-- include: move_jobs
SELECT job_id FROM moved;

-- name: move_suspended
-- Move suspended jobs, which are in no line.
WITH
-- include: wanted
, chosen AS (
    SELECT w.* FROM scheduling_job j JOIN wanted w ON j.id = w.job_id
    WHERE j.state = 'suspended' AND j.queue_id = w.from_queue_id FOR NO KEY UPDATE OF j SKIP LOCKED
), job AS (
    UPDATE scheduling_job j SET queue_id = c.queue_id FROM chosen c WHERE j.id = c.job_id RETURNING j.id, j.state
), moved AS (
    SELECT c.* FROM chosen c JOIN job j ON j.id = c.job_id
),
-- include: event
SELECT job_id FROM moved;

-- fragment: place_and_target
JOIN wanted w ON r.entity_id = w.entity_id AND r.rank = w.rank AND r.job_id = w.job_id
JOIN scheduling_schedulingentity n
    ON n.tenant_id = w.tenant_id AND n.queue_id = w.queue_id AND n.fair_key = w.fair_key

-- fragment: move_jobs
-- Update the jobs of the ``moved`` waiting rows, wake both lines and the jobs' concurrency keys, and insert the events.
job AS (
    UPDATE scheduling_job j SET queue_id = m.queue_id FROM moved m WHERE j.id = m.job_id
    RETURNING j.id, j.state, j.tenant_id, j.kind, j.concurrency_key
), key_news AS (
    INSERT INTO scheduling_concurrency_key_news (tenant_id, kind, concurrency_key, ended)
    SELECT DISTINCT tenant_id, kind, concurrency_key, 0 FROM job WHERE concurrency_key IS NOT NULL
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, from_queue_id, -count(*) FROM moved GROUP BY 1, 2, 3
    UNION ALL SELECT tenant_id, new_entity_id, queue_id, count(*) FROM moved GROUP BY 1, 2, 3
),
-- include: event

-- fragment: event
event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT m.event_id, m.tenant_id, m.job_id, NULL, statement_timestamp(), 'job.moved', j.state, %(actor)s::text, '',
        jsonb_build_object('from', f.name, 'to', q.name, 'cause', %(cause)s::text)
    FROM moved m JOIN job j ON j.id = m.job_id JOIN scheduling_queue f ON f.id = m.from_queue_id
        JOIN scheduling_queue q ON q.id = m.queue_id
)
