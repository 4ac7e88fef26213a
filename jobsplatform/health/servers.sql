-- name: read_version
-- Read the major version of the server.
SELECT current_setting('server_version_num')::int / 10000;

-- name: read_vector_version
-- Read the version of the extension vector.
SELECT extversion FROM pg_extension WHERE extname = 'vector';

-- name: read_role
-- Read why row-level security would not bind the role of the session.
SELECT rolname, rolsuper, rolbypassrls,
    EXISTS (SELECT FROM pg_database WHERE datname = current_database() AND datdba = r.oid)
        OR EXISTS (SELECT FROM pg_class WHERE relowner = r.oid AND relkind IN ('r', 'p')
            AND relnamespace = 'public'::regnamespace) AS is_owner
FROM pg_roles r WHERE rolname = session_user;
