-- name: prune_audit
-- Delete the oldest entries of a chain.
WITH rows_to_delete AS MATERIALIZED (
    SELECT entry_id FROM tenants_auditseal WHERE chain = %(chain)s AND sequence <= %(sequence)s
), entries AS (
    DELETE FROM tenants_auditlogentry e USING rows_to_delete d WHERE e.id = d.entry_id
), heads AS (
    DELETE FROM tenants_audithead h WHERE h.chain = %(chain)s AND h.sequence < %(sequence)s RETURNING h.sequence
), seals AS (
    DELETE FROM tenants_auditseal s USING rows_to_delete d WHERE s.entry_id = d.entry_id RETURNING s.sequence
)
SELECT (SELECT count(*) FROM seals) AS seals, (SELECT count(*) FROM heads) AS heads;

-- name: erase_tenants_auditpending
-- Delete the rows of a chain.
DELETE FROM tenants_auditpending WHERE tenant_id = %(chain)s;

-- name: erase_tenants_auditlogentry
-- Delete the rows of a chain.
DELETE FROM tenants_auditlogentry WHERE tenant_id = %(chain)s;

-- name: erase_tenants_auditseal
-- Delete the rows of a chain.
DELETE FROM tenants_auditseal WHERE chain = %(chain)s;

-- name: erase_tenants_audithead
-- Delete the rows of a chain.
DELETE FROM tenants_audithead WHERE chain = %(chain)s;
