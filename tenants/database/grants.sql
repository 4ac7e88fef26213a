-- name: read_policies
-- Read the tables of the owner with the commands of their policies for each role. A partition has none of its parent's
-- policies, so no role gets a grant on it; rows are reached through the parent.
SELECT c.relname AS name, c.relispartition AS is_partition, c.relrowsecurity AS has_row_security,
    coalesce(array_agg(p.polcmd::text) FILTER (WHERE 0 = ANY (p.polroles)), '{}') AS public,
    coalesce(array_agg(p.polcmd::text) FILTER (WHERE r.oid = ANY (p.polroles)), '{}') AS platform,
    coalesce(array_agg(p.polcmd::text) FILTER (WHERE a.oid = ANY (p.polroles)), '{}') AS auditor
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_roles r ON r.rolname = %(platform)s
LEFT JOIN pg_roles a ON a.rolname = %(auditor)s
LEFT JOIN pg_policy p ON p.polrelid = c.oid
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
  AND c.relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)
  AND (%(tables)s::text[] IS NULL OR c.relname = ANY (%(tables)s))
GROUP BY c.relname, c.relispartition, c.relrowsecurity
ORDER BY c.relname;
