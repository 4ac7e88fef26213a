-- name: read_tables
-- Return the tables of the platform, each with the partitioned table that it is a part of, or itself.
SELECT c.relname::text AS name, coalesce(r.relname, c.relname)::text AS root
FROM pg_class c
    LEFT JOIN pg_class r ON c.relispartition AND r.oid = pg_partition_root(c.oid)
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1;
