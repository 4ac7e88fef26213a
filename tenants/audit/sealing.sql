-- name: read_waiting
-- Read the entries without a seal.
SELECT p.entry_id, s.entry_id IS NOT NULL AS is_sealed, e.id, e.tenant_id AS tenant, e.at, e.actor_kind, e.actor_id,
    e.actor_label, e.action, e.target_type, e.target_id, e.before::text AS before, e.after::text AS after,
    e.reason, e.request_id, now() AS sealed_at
FROM (SELECT entry_id FROM tenants_auditpending ORDER BY entry_id LIMIT %(limit)s) p
LEFT JOIN tenants_auditlogentry e ON e.id = p.entry_id
LEFT JOIN tenants_auditseal s ON s.entry_id = p.entry_id
ORDER BY p.entry_id;

-- name: read_heads
-- Read the ends of chains, including erased ones, which continue from their final heads.
SELECT chain, sequence, hash FROM tenants_auditcounter WHERE chain = ANY (%(chains)s::uuid[]);

-- name: seal_entries
-- Seal entries and remove them from the queue.
WITH taken AS (DELETE FROM tenants_auditpending WHERE entry_id = ANY (%(taken)s::uuid[]))
INSERT INTO tenants_auditseal (entry_id, chain, sequence, entry_hash, previous_hash, hash, sealed_at)
SELECT * FROM unnest(%(entry_ids)s::uuid[], %(chains)s::uuid[], %(sequences)s::bigint[], %(entry_hashes)s::text[],
    %(previous_hashes)s::text[], %(hashes)s::text[], %(sealed_at)s::timestamptz[]);
