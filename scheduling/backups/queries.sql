-- name: is_running
-- Return whether a process holds the lock of backups of this database.
SELECT EXISTS (
    SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
        AND l.classid = %(lock)s::bigint::oid AND l.objid = 0 AND l.objsubid = 2
) AS is_running;
