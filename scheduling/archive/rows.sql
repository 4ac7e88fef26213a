-- fragment: read_rows
-- Read the rows of a table that belong to ended jobs of a tenant.
SELECT r.{column} AS job_id, to_jsonb(r)::text AS row FROM {table} r
WHERE r.tenant_id = %(tenant_id)s AND r.{column} = ANY (%(job_ids)s::uuid[]) {bounds};

-- fragment: restore_rows
-- Insert archived rows that do not exist; columns that the table no longer has are left out.
INSERT INTO {table} ({columns})
SELECT {columns} FROM jsonb_populate_recordset(NULL::{table}, %(rows)s::jsonb) AS r
ON CONFLICT DO NOTHING RETURNING {column};

-- name: read_columns
-- Return the columns of a table.
SELECT attname AS name FROM pg_attribute
WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum;

-- name: uncount_pruned
-- Subtract restored jobs from the pruned ones of their batches.
UPDATE scheduling_batch b SET pruned = greatest(0, b.pruned - g.jobs)
FROM (SELECT batch_id, count(*)::int AS jobs FROM scheduling_job
    WHERE tenant_id = %(tenant_id)s AND id = ANY (%(job_ids)s::uuid[]) AND batch_id IS NOT NULL GROUP BY 1) AS g
WHERE b.tenant_id = %(tenant_id)s AND b.id = g.batch_id;
