-- name: find_columns
-- Read the tables with a column `tenant_id`, or with one that row-level security compares with the tenant.
SELECT c.relname AS name, 'tenant_id' AS found FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attname = 'tenant_id' AND NOT a.attisdropped
UNION
SELECT tablename, coalesce(qual, with_check) FROM pg_policies
WHERE schemaname = 'public' AND coalesce(qual, with_check) LIKE '%%app.tenant_id%%';

-- name: find_references
-- Read the foreign keys between tables.
SELECT child.relname AS child, parent.relname AS parent
FROM pg_constraint k JOIN pg_class child ON child.oid = k.conrelid JOIN pg_class parent ON parent.oid = k.confrelid
WHERE k.contype = 'f' AND k.conrelid <> k.confrelid AND NOT child.relispartition AND NOT parent.relispartition;
