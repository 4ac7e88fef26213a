-- Drop the indexes of datasets: each was built for vectors of 512 numbers.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relkind = 'i' AND relname LIKE 'retrieval\_chunk\_hnsw\_%' LOOP
        EXECUTE format('DROP INDEX public.%I', name);
    END LOOP;
END
$$;

-- A vector stays in its row if the row fits a page: then an exact search follows no pointer. MAIN moves one of more than
-- 2,000 numbers out of the row, which PLAIN refuses. Without a fixed size no stored vector has to be converted.
ALTER TABLE retrieval_chunk ALTER COLUMN embedding TYPE vector, ALTER COLUMN embedding DROP NOT NULL,
    ALTER COLUMN embedding SET STORAGE MAIN;
