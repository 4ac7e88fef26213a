-- name: read_migrations
-- Return the migrations that a database has.
SELECT app || '.' || name AS migration FROM django_migrations ORDER BY 1;

-- name: read_columns
-- Return the columns of a table that take values.
SELECT attname::text AS name FROM pg_attribute
WHERE attrelid = ('public.' || quote_ident(%(table)s))::regclass AND attnum > 0 AND NOT attisdropped
    AND attgenerated = '' ORDER BY attnum;

-- name: read_age
-- Return the seconds since a time.
SELECT extract(epoch FROM now() - %(taken_at)s::timestamptz)::bigint;
