-- name: read_heads
-- Read the heads that the auditor signed in a period.
SELECT chain, kind, sequence, hash, signed_at, key_id, signature FROM tenants_audithead
WHERE signed_at >= %(since)s AND signed_at < %(until)s AND (%(tenant)s::uuid IS NULL OR chain = %(tenant)s::uuid)
ORDER BY chain, sequence, id;

-- name: read_failures
-- Read the alerts that fired and the runs of upkeep that failed in a period. What changed after its end is left out.
SELECT f.* FROM (
    SELECT 'alert' AS kind, a.id, a.tenant_id AS tenant, a.rule_name AS name, a.object_key AS object, a.severity,
        a.fired_at AS failed_at, CASE WHEN a.resolved_at < %(until)s THEN a.resolved_at END AS resolved_at,
        CASE WHEN a.acknowledged_at < %(until)s THEN a.acknowledged_by END AS acknowledged_by
    FROM scheduling_alert a
    WHERE a.fired_at >= %(since)s AND a.fired_at < %(until)s
      AND (%(tenant)s::uuid IS NULL OR a.tenant_id = %(tenant)s::uuid)
    UNION ALL
    SELECT 'upkeep', u.id, NULL, u.name, left(u.error, 200), '', u.finished_at, NULL, NULL
    FROM scheduling_upkeep_run u
    WHERE u.outcome = 'failed' AND u.finished_at >= %(since)s AND u.finished_at < %(until)s
      AND %(tenant)s::uuid IS NULL
) f ORDER BY f.failed_at, f.id;

-- name: read_rights
-- Read who had which right at any time of a period. A right that ended or changed after the period is shown as it was
-- at its end. With ``is_now`` the period is the present moment, and what is true only now is added. A subject is
-- written as entries name it, so that its last act is found by its name even when its account or key is gone. A role
-- of the tenant's own is shown with its rights and what it is narrowed to; ``named`` is the role that bounds a key.
SELECT r.kind, t.slug AS tenant, r.subject, r.role, r.given_at, r.given_by, r.ended_at,
    CASE WHEN q.rights IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(q.rights->'rights')) END AS role_rights,
    CASE WHEN q.rights IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(q.rights->'queues')) END AS role_queues,
    CASE WHEN q.rights IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(q.rights->'kinds')) END AS role_kinds,
    CASE WHEN q.rights IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(q.rights->'datasets')) END AS role_datasets,
    coalesce(o.at, a.at) AS last_act_at,
    CASE WHEN %(is_now)s THEN r.is_active END AS is_active, CASE WHEN %(is_now)s THEN r.last_used_at END AS last_used_at
FROM (
    SELECT 'member' AS kind, m.id::text AS id, m.tenant_id, u.username AS subject, coalesce(c.role, m.role) AS role,
        coalesce(c.role, m.role) AS named,
        coalesce(g.at, m.created_at) AS given_at, coalesce(g.actor_label, '') AS given_by, NULL::timestamptz AS ended_at,
        u.is_active, u.last_login AS last_used_at
    FROM tenants_membership m JOIN auth_user u ON u.id = m.user_id
    LEFT JOIN LATERAL (
        SELECT e.before->>'role' AS role FROM tenants_auditlogentry e
        WHERE e.target_type = 'tenants.membership' AND e.target_id = m.id::text
          AND e.action = 'membership.role_changed' AND e.at >= %(until)s ORDER BY e.id LIMIT 1) c ON true
    LEFT JOIN LATERAL (
        SELECT e.actor_label, e.at FROM tenants_auditlogentry e
        WHERE e.target_type = 'tenants.membership' AND e.target_id = m.id::text AND e.action = 'membership.added'
        ORDER BY e.id LIMIT 1) g ON true
    WHERE m.created_at < %(until)s AND (%(tenant)s::uuid IS NULL OR m.tenant_id = %(tenant)s::uuid)
    UNION ALL
    SELECT 'member', x.target_id, x.tenant_id, x.before->>'user', coalesce(c.role, x.before->>'role'),
        coalesce(c.role, x.before->>'role'), g.at,
        coalesce(g.actor_label, ''), CASE WHEN x.at < %(until)s THEN x.at END, NULL, NULL
    FROM tenants_auditlogentry x
    LEFT JOIN LATERAL (
        SELECT e.before->>'role' AS role FROM tenants_auditlogentry e
        WHERE e.target_type = 'tenants.membership' AND e.target_id = x.target_id
          AND e.action = 'membership.role_changed' AND e.at >= %(until)s ORDER BY e.id LIMIT 1) c ON true
    LEFT JOIN LATERAL (
        SELECT e.actor_label, e.at FROM tenants_auditlogentry e
        WHERE e.target_type = 'tenants.membership' AND e.target_id = x.target_id AND e.action = 'membership.added'
        ORDER BY e.id LIMIT 1) g ON true
    WHERE x.action = 'membership.removed' AND x.at >= %(since)s AND (g.at IS NULL OR g.at < %(until)s)
      AND (%(tenant)s::uuid IS NULL OR x.tenant_id = %(tenant)s::uuid)
    UNION ALL
    SELECT 'platform role', u.id::text, NULL, u.username, coalesce(c.role, p.role, 'admin'), NULL,
        coalesce(g.at, p.created_at, u.date_joined), coalesce(g.actor_label, ''), NULL, u.is_active, u.last_login
    FROM auth_user u LEFT JOIN tenants_platformmembership p ON p.user_id = u.id
    LEFT JOIN LATERAL (
        SELECT e.before->>'role' AS role FROM tenants_auditlogentry e
        WHERE e.target_type = 'auth.user' AND e.target_id = u.id::text AND e.action = 'platform_role.changed'
          AND e.at >= %(until)s ORDER BY e.id LIMIT 1) c ON true
    LEFT JOIN LATERAL (
        SELECT e.actor_label, e.at FROM tenants_auditlogentry e
        WHERE e.target_type = 'auth.user' AND e.target_id = u.id::text AND e.after ? 'role'
          AND e.action IN ('platform_role.granted', 'user.created') AND e.at < %(until)s
        ORDER BY e.id DESC LIMIT 1) g ON true
    WHERE (p.id IS NOT NULL OR u.is_superuser) AND coalesce(p.created_at, u.date_joined) < %(until)s
      AND %(tenant)s::uuid IS NULL
    UNION ALL
    SELECT 'platform role', x.target_id, NULL, x.before->>'name', coalesce(c.role, x.before->>'role'), NULL, g.at,
        coalesce(g.actor_label, ''), CASE WHEN x.at < %(until)s THEN x.at END, NULL, NULL
    FROM tenants_auditlogentry x
    LEFT JOIN LATERAL (
        SELECT e.before->>'role' AS role FROM tenants_auditlogentry e
        WHERE e.target_type = 'auth.user' AND e.target_id = x.target_id AND e.action = 'platform_role.changed'
          AND e.at >= %(until)s AND e.id < x.id ORDER BY e.id LIMIT 1) c ON true
    LEFT JOIN LATERAL (
        SELECT e.actor_label, e.at FROM tenants_auditlogentry e
        WHERE e.target_type = 'auth.user' AND e.target_id = x.target_id AND e.after ? 'role'
          AND e.action IN ('platform_role.granted', 'user.created') AND e.id < x.id ORDER BY e.id DESC LIMIT 1) g ON true
    WHERE x.action = 'platform_role.revoked' AND x.at >= %(since)s AND (g.at IS NULL OR g.at < %(until)s)
      AND %(tenant)s::uuid IS NULL
    UNION ALL
    SELECT CASE WHEN k.tenant_id IS NULL THEN 'platform key' ELSE 'key' END, k.id::text, k.tenant_id,
        k.name || ' (' || k.prefix || ')', array_to_string(k.scopes, ' '), k.role, k.created_at, coalesce(u.username, ''),
        CASE WHEN k.ended_at < %(until)s THEN k.ended_at END, k.ended_at > %(until)s, k.last_used_at
    FROM (SELECT *, least(revoked_at, expires_at, 'infinity') AS ended_at FROM tenants_apikey) k
    LEFT JOIN auth_user u ON u.id = k.created_by_id
    WHERE k.created_at < %(until)s AND k.ended_at >= %(since)s
      AND (%(tenant)s::uuid IS NULL OR k.tenant_id = %(tenant)s::uuid)
) r LEFT JOIN tenants_tenant t ON t.id = r.tenant_id
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(f.name, coalesce(e.was, f.now)) AS rights
    FROM tenants_role o CROSS JOIN LATERAL (VALUES
        ('name', to_jsonb(o.name)), ('rights', to_jsonb(o.rights)), ('queues', to_jsonb(o.queues)),
        ('kinds', to_jsonb(o.kinds)), ('datasets', to_jsonb(o.datasets))) f (name, now)
    LEFT JOIN LATERAL (
        SELECT b.before->f.name AS was FROM tenants_auditlogentry b
        WHERE b.target_type = 'tenants.tenantrole' AND b.target_id = o.id::text AND b.action = 'role.changed'
          AND b.before ? f.name AND b.at >= %(until)s ORDER BY b.id LIMIT 1) e ON true
    WHERE o.tenant_id = r.tenant_id AND o.name = r.named) q ON true
LEFT JOIN LATERAL (
    SELECT e.at FROM tenants_auditlogentry e
    WHERE e.tenant_id = r.tenant_id AND e.actor_label = r.subject AND e.actor_kind IN ('user', 'api_key')
      AND e.at < %(until)s ORDER BY e.id DESC LIMIT 1) o ON true
LEFT JOIN LATERAL (
    SELECT e.at FROM tenants_auditlogentry e
    WHERE r.tenant_id IS NULL AND e.actor_label = r.subject AND e.actor_kind IN ('user', 'api_key')
      AND e.at < %(until)s ORDER BY e.id DESC LIMIT 1) a ON true
ORDER BY r.kind, t.slug NULLS FIRST, r.subject, r.given_at NULLS FIRST, r.id;

-- name: read_deletions
-- Read what was deleted in a period, by chain, rule, tenant and table: the number of rows, and the entries that prove
-- it by the sequence of the first and the last one and the hash of the last. A proof of an erasure has the numbers
-- before and after. ``tenant`` is empty for rows of several tenants.
SELECT d.kind, d.chain, d.rule, d.tenant, d."table", sum(d.before)::bigint AS before,
    sum(CASE jsonb_typeof(d.removed) WHEN 'number' THEN d.removed::bigint END)::bigint AS removed,
    sum(d.left)::bigint AS left, count(*) AS entries, min(d.sequence) AS first_sequence,
    max(d.sequence) AS last_sequence, (array_agg(d.hash ORDER BY d.sequence DESC))[1] AS last_hash,
    max(d.proof_sha256) AS proof_sha256
FROM (
    SELECT 'retention' AS kind, s.chain, s.sequence, s.hash, coalesce(e.after->>'rule', 'audit') AS rule,
        coalesce(e.tenant_id::text, e.after->>'chain') AS tenant, c.key AS "table", c.value AS removed,
        NULL::bigint AS before, NULL::bigint AS left, NULL AS proof_sha256
    FROM tenants_auditlogentry e JOIN tenants_auditseal s ON s.entry_id = e.id
    CROSS JOIN LATERAL jsonb_each(
        CASE jsonb_typeof(e.after->'removed') WHEN 'object' THEN e.after->'removed' ELSE '{}' END) c
    WHERE e.action IN ('retention.pruned', 'audit.pruned') AND e.after->>'kind' IS DISTINCT FROM 'erasure'
      AND s.sealed_at >= %(since)s AND s.sealed_at < %(until)s
      AND (%(tenant)s::uuid IS NULL OR s.chain = %(tenant)s::uuid)
    UNION ALL
    SELECT 'erasure', s.chain, s.sequence, s.hash, 'erasure', t.subject_id::text, c.key, c.value->'removed',
        (c.value->>'before')::bigint, (c.value->>'after')::bigint, t.proof_sha256
    FROM tenants_auditlogentry e JOIN tenants_auditseal s ON s.entry_id = e.id
    JOIN tenants_tenanterasure t ON t.id::text = e.target_id
    CROSS JOIN LATERAL jsonb_each(t.proof->'counts') c
    WHERE e.action = 'tenant.erased' AND s.sealed_at >= %(since)s AND s.sealed_at < %(until)s
      AND %(tenant)s::uuid IS NULL
) d GROUP BY d.kind, d.chain, d.rule, d.tenant, d."table"
ORDER BY d.kind, d.chain, d.rule, d.tenant NULLS FIRST, d."table";

-- name: read_reviews
-- Read the reviews of access that were open at any time of a period, as they were at its end: by whom they were opened
-- and closed, and how many lines were kept, revoked, ended otherwise or undecided.
SELECT a.id, t.slug AS tenant, a.opened_at, a.opened_by,
    CASE WHEN a.closed_at < %(until)s THEN a.closed_at END AS closed_at,
    CASE WHEN a.closed_at < %(until)s THEN a.closed_by END AS closed_by,
    CASE WHEN a.closed_at < %(until)s THEN a.sha256 END AS lines_sha256, n.lines, n.kept, n.revoked, n.ended,
    n.lines - n.kept - n.revoked - n.ended AS undecided, n.own
FROM tenants_access_review a LEFT JOIN tenants_tenant t ON t.id = a.tenant_id
CROSS JOIN LATERAL (
    SELECT count(*) AS lines, count(*) FILTER (WHERE l.decision = 'keep' AND l.decided_at < %(until)s) AS kept,
        count(*) FILTER (WHERE l.decision = 'revoke' AND l.decided_at < %(until)s) AS revoked,
        count(*) FILTER (WHERE l.decision = 'ended' AND l.decided_at < %(until)s) AS ended,
        count(*) FILTER (WHERE l.is_own AND l.decided_at < %(until)s) AS own
    FROM tenants_access_review_line l WHERE l.review_id = a.id) n
WHERE a.opened_at < %(until)s AND (a.closed_at IS NULL OR a.closed_at >= %(since)s)
  AND (%(tenant)s::uuid IS NULL OR a.tenant_id = %(tenant)s::uuid)
ORDER BY a.opened_at, a.id;
