-- Changes of concurrency keys, emptied by each tick: no key and no index, so that appending is all that a writer pays.
CREATE TABLE scheduling_concurrency_key_news (
    tenant_id uuid NOT NULL,
    kind varchar(64) NOT NULL,
    concurrency_key varchar(200) NOT NULL,
    ended integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Rows live as long as jobs of the key are in flight.
ALTER TABLE scheduling_concurrency_key SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
