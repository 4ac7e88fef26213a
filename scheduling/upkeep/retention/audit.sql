-- name: find_old_chains
-- Find chains of the audit log that begin before the cutoffs of their tenants. The oldest seal of a chain is the first
-- of its index. A chain's last seal is never pruned, so a chain with one seal is skipped.
SELECT d.tenant_id, d.cutoff AS before FROM
-- include: due_tenants
WHERE (
    SELECT count(*) = 2 AND min(s.sealed_at) < d.cutoff FROM (
        SELECT sealed_at FROM tenants_auditseal WHERE chain = d.tenant_id ORDER BY sequence LIMIT 2
    ) AS s
) ORDER BY d.tenant_id;
