-- Fails if a vector has another size than 512: its dataset must be re-embedded by a model of this size first.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relkind = 'i' AND relname LIKE 'retrieval\_chunk\_hnsw\_%' LOOP
        EXECUTE format('DROP INDEX public.%I', name);
    END LOOP;
END
$$;

ALTER TABLE retrieval_chunk
    ALTER COLUMN embedding TYPE vector(512) USING coalesce(embedding, array_fill(0::real, ARRAY[512])::vector(512)),
    ALTER COLUMN embedding SET NOT NULL, ALTER COLUMN embedding SET STORAGE PLAIN;
