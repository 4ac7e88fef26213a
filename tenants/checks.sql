-- name: read_login_role
-- Read what the role of the session may do.
SELECT r.rolname AS name, r.rolsuper AS is_super, r.rolbypassrls AS bypasses,
    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND pg_has_role(r.oid, c.relowner, 'USAGE'))
        AS owns_tables,
    p.oid IS NULL AS platform_missing, coalesce(pg_has_role(r.oid, p.oid, 'USAGE'), false) AS inherits_door,
    coalesce(pg_has_role(r.oid, p.oid, 'MEMBER'), false) AS has_door,
    coalesce(pg_has_role(r.oid, a.oid, 'MEMBER'), false) AS is_auditor
FROM pg_roles r
LEFT JOIN pg_roles p ON p.rolname = %(platform)s
LEFT JOIN pg_roles a ON a.rolname = %(auditor)s AND a.rolname <> r.rolname
WHERE r.rolname = session_user;
