-- name: consume_news
-- Consume the oldest news of endings, and read the transaction's time.
WITH chosen AS (
    SELECT id FROM scheduling_circuit_news c
    WHERE (%(free)s::uuid[] IS NULL OR c.tenant_id = ANY(%(free)s::uuid[])) ORDER BY id LIMIT %(limit)s
), deleted_rows AS (
    DELETE FROM scheduling_circuit_news n USING chosen c WHERE n.id = c.id RETURNING n.*
)
SELECT tenant_id, kind, dependency, is_shared, job_id, fingerprint, error_type, error_message, at,
    retry_after_seconds, now() AS now
FROM deleted_rows ORDER BY id;

-- name: lock_circuits
-- Lock breakers by name. Two branches use one index, because a NULL tenant equals no other.
WITH wanted AS (
    SELECT * FROM unnest(%(tenant_ids)s::uuid[], %(kinds)s::text[], %(dependencies)s::text[])
        AS w(tenant_id, kind, dependency)
), found AS (
    SELECT c.id FROM wanted w JOIN scheduling_circuit_breaker c USING (tenant_id, kind, dependency)
    UNION ALL
    SELECT c.id FROM wanted w JOIN scheduling_circuit_breaker c USING (kind, dependency)
    WHERE w.tenant_id IS NULL AND c.tenant_id IS NULL
)
SELECT c.id, c.tenant_id, c.kind, c.dependency, c.state, c.failures, c.fingerprint, c.error_type, c.error_message,
    c.error_job_id, c.counted_from, c.opened_at, c.until, c.probe_job_id, c.tenants
FROM scheduling_circuit_breaker c JOIN found USING (id)
ORDER BY c.id FOR NO KEY UPDATE OF c;

-- name: upsert_circuits
-- Write breakers, except those that were forced in the meantime.
INSERT INTO scheduling_circuit_breaker AS c (tenant_id, kind, dependency, holds_all, state, failures, fingerprint,
    error_type, error_message, error_job_id, counted_from, opened_at, until, probe_job_id, tenants, forced_by, forced_reason)
SELECT p.*, '', '' FROM unnest(
    %(tenant_ids)s::uuid[], %(kinds)s::text[], %(dependencies)s::text[], %(hold_all)s::bool[], %(states)s::text[],
    %(failures)s::int[], %(fingerprints)s::text[], %(error_types)s::text[], %(error_messages)s::text[],
    %(error_job_ids)s::uuid[], %(counted_from)s::timestamptz[], %(opened_at)s::timestamptz[], %(until)s::timestamptz[],
    %(probe_job_ids)s::uuid[], %(tenants)s::jsonb[]) AS p
ON CONFLICT (tenant_id, kind, dependency) DO UPDATE SET holds_all = excluded.holds_all, state = excluded.state,
    failures = excluded.failures, fingerprint = excluded.fingerprint, error_type = excluded.error_type,
    error_message = excluded.error_message, error_job_id = excluded.error_job_id, counted_from = excluded.counted_from, opened_at = excluded.opened_at,
    until = excluded.until, probe_job_id = excluded.probe_job_id, tenants = excluded.tenants
WHERE c.state NOT IN ('forced_open', 'forced_closed');

-- name: forget
-- Delete breakers that are not forced.
DELETE FROM scheduling_circuit_breaker WHERE id = ANY(%(ids)s::bigint[])
    AND state NOT IN ('forced_open', 'forced_closed');

-- name: try_again
-- Half-open each breaker that is due and release its probe; return how many. A job may need several dependencies that
-- are down: the first job in a fixed order probes all due breakers that it needs, so that no two probes wait for each
-- other.
WITH due AS (
    SELECT c.id, c.tenant_id, c.kind, c.dependency, c.holds_all, h.job_id
    FROM scheduling_circuit_breaker c CROSS JOIN LATERAL (
        -- include: next_to_try
    ) h
    WHERE (c.state = 'open' AND c.until <= now()) OR (c.state = 'half_open' AND
        -- include: is_probe_over
    )
    ORDER BY c.until LIMIT %(probes)s FOR NO KEY UPDATE OF c SKIP LOCKED
), candidate AS (
    SELECT d.tenant_id IS NOT NULL AS is_own, d.id AS chosen_for, h.job_id, h.tenant_id, h.kind,
        coalesce(j.dependencies, '{}') AS dependencies, coalesce(j.shared_dependencies, '{}') AS shared_dependencies
    FROM due d JOIN scheduling_job_held h USING (job_id) JOIN scheduling_job j ON j.id = h.job_id
), needed AS (
    SELECT d.id, n.* FROM candidate n JOIN due d ON d.kind = n.kind AND d.tenant_id = n.tenant_id
        AND (d.id = n.chosen_for OR d.holds_all OR d.dependency = ANY(n.dependencies))
    UNION ALL
    SELECT d.id, n.* FROM candidate n JOIN due d ON d.kind = n.kind AND d.tenant_id IS NULL
        AND (d.id = n.chosen_for OR d.holds_all OR d.dependency = ANY(n.shared_dependencies))
), probe AS (
    SELECT DISTINCT ON (id) id, job_id, tenant_id FROM needed ORDER BY id, is_own, chosen_for
), chosen AS (
    SELECT DISTINCT job_id FROM probe
),
-- include: release
, moved AS (
    UPDATE scheduling_circuit_breaker c SET state = 'half_open', probe_job_id = p.job_id,
        probe_tenant_id = p.tenant_id, until = now() + make_interval(secs => %(cool_down_seconds)s)
    FROM probe p JOIN held h USING (job_id) WHERE c.id = p.id
)
SELECT count(*) FROM held;

-- name: close_unneeded
-- Close breakers whose probe completed without using the dependency: it no longer needs it, and neither do jobs like
-- it.
WITH moved AS (
    UPDATE scheduling_circuit_breaker c SET state = 'closing', until = NULL, probe_job_id = NULL
    WHERE c.state = 'half_open' AND NOT
        -- include: has_unread_news
        AND EXISTS (SELECT FROM scheduling_job j WHERE j.id = c.probe_job_id AND j.state = 'completed')
    RETURNING c.id
)
SELECT count(*) FROM moved;

-- name: return_jobs
-- Make jobs behind closing breakers ready, oldest first. Delete a closing breaker when none of its jobs is left; one
-- that is forced closed stays.
WITH closing AS (
    SELECT c.id, c.kind, c.state FROM scheduling_circuit_breaker c
    WHERE c.state = 'closing' OR (c.state = 'forced_closed' AND
    -- include: holds_jobs
    ) ORDER BY c.id LIMIT %(probes)s
    FOR NO KEY UPDATE SKIP LOCKED
), chosen AS (
    SELECT h.job_id FROM closing c CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held h
        WHERE
        -- include: is_behind
        AND h.kind = c.kind ORDER BY rank, job_id LIMIT %(limit)s
    ) h ORDER BY h.rank LIMIT %(limit)s
),
-- include: release
, deleted_rows AS (
    DELETE FROM scheduling_circuit_breaker c USING closing g
    WHERE c.id = g.id AND g.state = 'closing' AND NOT EXISTS (
        SELECT FROM scheduling_job_held h WHERE
        -- include: is_behind
        AND h.job_id NOT IN (SELECT job_id FROM held))
)
SELECT count(*) FROM held;

-- name: forget_idle
-- Delete due breakers without any job to probe them for long, and single failures that no other followed.
WITH idle AS (
    SELECT c.id FROM scheduling_circuit_breaker c
    WHERE c.until <= now() - make_interval(secs => %(idle_seconds)s)
        AND (c.state = 'open' OR (c.state = 'half_open' AND
        -- include: is_probe_over
        )) AND NOT
        -- include: holds_jobs
    ORDER BY c.until LIMIT %(probes)s FOR NO KEY UPDATE SKIP LOCKED
), single AS (
    SELECT c.id FROM scheduling_circuit_breaker c
    WHERE c.state = 'counting' AND c.counted_from <= now() - make_interval(secs => %(idle_seconds)s)
    ORDER BY c.counted_from LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
), deleted_rows AS (
    DELETE FROM scheduling_circuit_breaker c
    USING (SELECT id FROM idle UNION ALL SELECT id FROM single) i WHERE c.id = i.id RETURNING c.id
)
SELECT count(*) FROM deleted_rows;

-- name: return_orphans
-- Make jobs ready whose breaker is gone. Another pool's tick may hold a job at the moment in which its breaker is
-- deleted, and nothing would release it. Hopping over the index, one probe for each breaker, finds these.
WITH RECURSIVE gate_scan AS (
    (SELECT gate, kind FROM scheduling_job_held WHERE gate >= 'circuit' AND gate < 'kind'
    ORDER BY gate, kind LIMIT 1)
    UNION ALL
    SELECT next.gate, next.kind FROM gate_scan CROSS JOIN LATERAL (
        SELECT h.gate, h.kind FROM scheduling_job_held h
        WHERE h.gate < 'kind' AND (h.gate, h.kind) > (gate_scan.gate, gate_scan.kind)
        ORDER BY h.gate, h.kind LIMIT 1
    ) next
), orphaned AS (
    SELECT gate, kind FROM gate_scan WHERE NOT EXISTS (SELECT FROM scheduling_circuit_breaker c
        WHERE c.id = substr(gate_scan.gate, length('circuit ') + 1)::bigint AND c.state <> 'counting')
), chosen AS (
    SELECT h.job_id FROM orphaned o CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held
        WHERE gate = o.gate AND kind = o.kind ORDER BY rank, job_id LIMIT %(limit)s
    ) h ORDER BY h.rank LIMIT %(limit)s
),
-- include: release
SELECT count(*) FROM held;

-- fragment: has_unread_news
-- Whether news of the probe of breaker ``c`` came since the news were read; the next tick reads them.
EXISTS (SELECT FROM scheduling_circuit_news n
    WHERE n.tenant_id = c.probe_tenant_id AND n.kind = c.kind AND n.dependency = c.dependency
        AND n.job_id = c.probe_job_id)

-- fragment: is_probe_over
-- Whether the probe of breaker ``c`` ended without news, or waits elsewhere: behind another breaker, for the end of its
-- tenant's pause, or in any other line in which it was not dispatched within a cool-down.
NOT
-- include: has_unread_news
AND NOT EXISTS (SELECT FROM scheduling_job j
    WHERE j.id = c.probe_job_id AND (j.state IN ('dispatched', 'executing') OR (j.state = 'available'
        AND c.until > now() AND NOT EXISTS (SELECT FROM scheduling_job_held o WHERE o.job_id = j.id))))

-- fragment: next_to_try
-- The next probe of breaker ``c``: the oldest job of the tenant after the last prober's, so that a tenant whose jobs
-- fail for their own reason does not block the others. A breaker without jobs stays open, and its next job becomes the
-- probe.
SELECT t.job_id, t.tenant_id, t.rank FROM (
    (SELECT 1 AS turn, h.job_id, h.tenant_id, h.rank FROM scheduling_job_held h WHERE
    -- include: is_behind
    AND h.tenant_id > c.probe_tenant_id ORDER BY h.tenant_id, h.rank, h.job_id LIMIT 1)
    UNION ALL
    (SELECT 2, h.job_id, h.tenant_id, h.rank FROM scheduling_job_held h WHERE
    -- include: is_behind
    ORDER BY h.tenant_id, h.rank, h.job_id LIMIT 1)
) t ORDER BY t.turn LIMIT 1

-- fragment: release
-- Make the held jobs of ``chosen`` ready.
held AS (
    DELETE FROM scheduling_job_held h USING chosen c WHERE h.job_id = c.job_id
    RETURNING h.*
), ready AS (
    INSERT INTO scheduling_job_ready (
    -- include: ready_columns
    ) SELECT
    -- include: ready_columns
    FROM held
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT DISTINCT h.tenant_id, h.entity_id, e.queue_id, 0
    FROM held h JOIN scheduling_schedulingentity e ON e.id = h.entity_id
)
