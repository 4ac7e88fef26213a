-- name: store_announced_kinds
-- Store for each pool the kinds that its live workers announce; return the changed pools. A pool without live workers
-- keeps its list: it has no slots.
WITH live AS (
    SELECT pool_id, kinds FROM scheduling_worker
    WHERE status = 'online' AND heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)
), announced AS (
    SELECT l.pool_id, coalesce(jsonb_agg(DISTINCT k.kind ORDER BY k.kind) FILTER (WHERE k.kind IS NOT NULL), '[]')
        AS kinds
    FROM live l LEFT JOIN LATERAL jsonb_array_elements_text(l.kinds) AS k(kind) ON true GROUP BY l.pool_id
)
UPDATE scheduling_workerpool p SET kinds = a.kinds
FROM announced a WHERE p.id = a.pool_id AND p.kinds IS DISTINCT FROM a.kinds
RETURNING p.id;

-- name: note_unknown_kinds
-- Record for each pool the kinds with waiting jobs that no worker announces, by a loose index scan over gates and
-- kinds. A kind that still waits keeps its start.
WITH RECURSIVE gate_scan AS (
    (SELECT gate, kind FROM scheduling_job_held WHERE gate > 'unknown' ORDER BY gate, kind LIMIT 1)
    UNION ALL
    SELECT next.gate, next.kind FROM gate_scan CROSS JOIN LATERAL (
        SELECT h.gate, h.kind FROM scheduling_job_held h WHERE (h.gate, h.kind) > (gate_scan.gate, gate_scan.kind)
        ORDER BY h.gate, h.kind LIMIT 1
    ) next
), unknown AS (
    SELECT p.id, coalesce((
        SELECT jsonb_object_agg(h.kind, coalesce(
            p.unknown_kinds -> h.kind, to_jsonb(extract(epoch FROM clock_timestamp()))))
        FROM gate_scan h WHERE h.gate = 'unknown ' || p.id), '{}') AS kinds
    FROM scheduling_workerpool p
)
UPDATE scheduling_workerpool p SET unknown_kinds = u.kinds
FROM unknown u WHERE p.id = u.id AND p.unknown_kinds <> u.kinds;
