-- name: read_entries
-- Read the seals of a period with their entries, chain by chain, ids and times as the text that is hashed. The order is
-- that of the index on chain and sequence.
SELECT s.chain::text AS chain, s.sequence, s.entry_hash, s.previous_hash, s.hash, s.sealed_at,
    e.id::text AS id, e.tenant_id::text AS tenant,
    to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at,
    e.actor_kind, e.actor_id, e.actor_label, e.action, e.target_type, e.target_id,
    e.before::text AS before, e.after::text AS after, e.reason, e.request_id
FROM tenants_auditseal s LEFT JOIN tenants_auditlogentry e ON e.id = s.entry_id
WHERE s.sealed_at >= %(since)s AND s.sealed_at < %(until)s AND (%(tenant)s::uuid IS NULL OR s.chain = %(tenant)s::uuid)
ORDER BY s.chain, s.sequence;

-- name: read_state
-- Read the time, whether the period has any sealed entry, and how many entries wait for their seals since before its end.
SELECT clock_timestamp() AS now,
    EXISTS (SELECT FROM tenants_auditseal s WHERE s.sealed_at >= %(since)s AND s.sealed_at < %(until)s
            AND (%(tenant)s::uuid IS NULL OR s.chain = %(tenant)s::uuid)) AS has_entries,
    (SELECT count(*) FROM tenants_auditpending p WHERE p.queued_at < %(until)s
     AND (%(tenant)s::uuid IS NULL OR p.tenant_id = %(tenant)s::uuid)) AS waiting;
