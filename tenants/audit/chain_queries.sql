-- name: find_next_chain
-- Find the first chain after another one, by id.
SELECT chain FROM (
    (SELECT chain FROM tenants_auditcounter WHERE chain > %(after)s ORDER BY chain LIMIT 1)
    UNION ALL (SELECT chain FROM tenants_auditseal WHERE chain > %(after)s ORDER BY chain LIMIT 1)
    UNION ALL (SELECT chain FROM tenants_audithead WHERE chain > %(after)s ORDER BY chain LIMIT 1)
    UNION ALL (SELECT tenant_id FROM tenants_auditlogentry WHERE tenant_id > %(after)s ORDER BY tenant_id LIMIT 1)
) c (chain) ORDER BY chain LIMIT 1;

-- name: read_seals
-- Read the next seals of a chain with their entries.
SELECT s.sequence, s.entry_id, s.entry_hash, s.previous_hash, s.hash, s.sealed_at,
    e.id, e.tenant_id AS tenant, e.at, e.actor_kind, e.actor_id, e.actor_label, e.action, e.target_type, e.target_id,
    e.before::text AS before, e.after::text AS after, e.reason, e.request_id
FROM (
    SELECT * FROM tenants_auditseal
    WHERE chain = %(chain)s AND sequence >= %(sequence)s
      AND (sequence > %(sequence)s OR entry_id > %(entry)s)
    ORDER BY sequence, entry_id LIMIT %(limit)s
) s
LEFT JOIN tenants_auditlogentry e ON e.id = s.entry_id
ORDER BY s.sequence, s.entry_id;

-- name: read_entries
-- Read whether entries about a tenant are sealed. One statement is one snapshot: an entry is queued or sealed from the
-- moment at which it exists.
SELECT e.id AS entry_id, s.entry_id IS NOT NULL AS is_sealed, now() - p.queued_at AS waited
FROM (
    SELECT id FROM tenants_auditlogentry WHERE tenant_id = %(chain)s AND id > %(after)s ORDER BY id LIMIT %(limit)s
) e
-- include: seals_of_entries
;

-- name: read_platform_entries
-- Read whether entries about the platform are sealed. One statement is one snapshot.
SELECT e.id AS entry_id, s.entry_id IS NOT NULL AS is_sealed, now() - p.queued_at AS waited
FROM (
    SELECT id FROM tenants_auditlogentry WHERE tenant_id IS NULL AND id > %(after)s ORDER BY id LIMIT %(limit)s
) e
-- include: seals_of_entries
;

-- fragment: seals_of_entries
-- The seals ``s`` of entries ``e`` and their rows ``p`` in the queue.
LEFT JOIN tenants_auditseal s ON s.entry_id = e.id
LEFT JOIN tenants_auditpending p ON p.entry_id = e.id
ORDER BY e.id

-- name: read_backlog
-- Count the entries without a seal.
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(queued_at)), 0)::float8 AS oldest_seconds
FROM (SELECT queued_at FROM tenants_auditpending LIMIT %(limit)s) p;
