-- name: count_due
-- Count due jobs, up to a limit.
SELECT count(*) FROM (SELECT 1 FROM scheduling_job_due WHERE due_at <= now() LIMIT %(limit)s) AS due;

-- name: stage_due
-- Make due jobs available, oldest first; return how many.
WITH chosen AS (
    SELECT d.job_id FROM scheduling_job_due d JOIN scheduling_job j ON j.id = d.job_id WHERE d.due_at <= now()
    ORDER BY d.due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
), due AS (
    DELETE FROM scheduling_job_due d USING chosen c WHERE d.job_id = c.job_id
    RETURNING d.job_id, d.tenant_id, d.entity_id, d.kind, d.rank, d.payload_bytes, d.used_us
), job AS (
    UPDATE scheduling_job j SET state = 'available'
    FROM due d WHERE j.id = d.job_id AND j.state IN ('scheduled', 'retryable')
    RETURNING j.id, j.queue_id, j.travels_alone
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone)
    SELECT d.tenant_id, d.entity_id, d.rank, d.job_id, d.kind, d.payload_bytes, d.used_us, j.travels_alone
    FROM due d JOIN job j ON j.id = d.job_id
), numbered AS (
    SELECT d.tenant_id, d.entity_id, d.job_id, j.queue_id, row_number() OVER () AS n
    FROM due d JOIN job j ON j.id = d.job_id
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT (%(event_ids)s::uuid[])[n], tenant_id, job_id, NULL, statement_timestamp(), 'job.available', 'available',
        'system', '', '{}'
    FROM numbered
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, 0 FROM numbered GROUP BY 1, 2, 3
)
SELECT count(*) FROM numbered;

-- name: stage_held
-- Make jobs ready whose gate has opened, oldest first; return how many. Gates and kinds are found by hopping over the
-- index (gate, kind, rank), one probe each: with a million jobs of a paused kind set aside, a tick must not read them
-- to find that they stay. Breakers, whose names sort before these gates, have statements of their own, since each
-- tenant may have many.
WITH RECURSIVE hop AS (
    (SELECT gate, kind FROM scheduling_job_held WHERE gate >= 'kind' ORDER BY gate, kind LIMIT 1)
    UNION ALL
    SELECT next.gate, next.kind FROM hop CROSS JOIN LATERAL (
        SELECT h.gate, h.kind FROM scheduling_job_held h WHERE (h.gate, h.kind) > (hop.gate, hop.kind)
        ORDER BY h.gate, h.kind LIMIT 1
    ) next
), opened AS (
    SELECT gate, kind FROM hop WHERE CASE
        WHEN gate = 'kind' THEN NOT EXISTS (SELECT FROM scheduling_kindpause p WHERE p.kind = hop.kind)
        WHEN gate LIKE 'unknown %%' THEN EXISTS (SELECT FROM scheduling_workerpool p
            WHERE 'unknown ' || p.id = hop.gate AND coalesce(p.kinds ? hop.kind, true))
        ELSE coalesce((%(needs)s::jsonb ->> hop.kind)::int, 0) <= (
            SELECT max(p.memory_mib) FROM scheduling_workerpool p WHERE 'memory ' || p.id = hop.gate)
    END
), candidate AS (
    SELECT h.job_id, h.rank FROM opened o CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held WHERE gate = o.gate AND kind = o.kind ORDER BY rank LIMIT %(limit)s
    ) h
    ORDER BY h.rank LIMIT %(limit)s
), chosen AS (
    SELECT h.job_id FROM scheduling_job_held h JOIN candidate USING (job_id) FOR NO KEY UPDATE OF h SKIP LOCKED
), held AS (
    DELETE FROM scheduling_job_held h USING chosen c WHERE h.job_id = c.job_id
    RETURNING h.job_id, h.tenant_id, h.entity_id, h.kind, h.rank, h.payload_bytes, h.used_us, h.travels_alone
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone)
    SELECT tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone FROM held
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT DISTINCT h.tenant_id, h.entity_id, e.queue_id, 0
    FROM held h JOIN scheduling_schedulingentity e ON e.id = h.entity_id
)
SELECT count(*) FROM held;

-- name: hold_gated
-- Set the first ready jobs of lines aside where a gate is before them; return the lines of which such jobs are locked
-- by others. A gate before the head of a tenant's jobs must not hide its other kinds, so far more jobs are read than a
-- pick reads.
WITH head AS (
    SELECT r.entity_id, r.rank, r.job_id,
    -- include: gate_before
    AS gate
    FROM (SELECT %(pool_id)s::int AS pool_id) q
        CROSS JOIN unnest(%(entity_ids)s::bigint[], %(limits)s::int[]) AS e(id, n)
        CROSS JOIN LATERAL (
            SELECT tenant_id, entity_id, rank, job_id, kind FROM scheduling_job_ready WHERE entity_id = e.id
            ORDER BY rank, job_id LIMIT e.n
        ) r
), free AS (
    SELECT r.entity_id, r.rank, r.job_id, p.gate
    FROM head p JOIN scheduling_job_ready r
        ON r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
        JOIN scheduling_job j ON j.id = r.job_id
    -- The row to which a job is set aside refers to the job.
    WHERE p.gate IS NOT NULL FOR NO KEY UPDATE OF r SKIP LOCKED FOR KEY SHARE OF j SKIP LOCKED
), gone AS (
    DELETE FROM scheduling_job_ready r USING free p
    WHERE r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
    RETURNING r.tenant_id, r.entity_id, r.rank, r.job_id, r.kind, r.payload_bytes, r.used_us, r.travels_alone,
        p.gate
), held AS (
    INSERT INTO scheduling_job_held (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone,
        gate)
    SELECT tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone, gate FROM gone
)
SELECT DISTINCT entity_id FROM head p
WHERE gate IS NOT NULL AND NOT EXISTS (SELECT FROM gone g WHERE g.job_id = p.job_id);
