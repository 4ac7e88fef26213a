-- Rows that are updated many times a second: half a page stays free, so that updates stay on it (HOT).
ALTER TABLE scheduling_schedulingentity SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_execution_live SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_tenant_capacity SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_queue_clock SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_pool_clock SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_worker SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- A job changes its state three times, most often together with its neighbours.
ALTER TABLE scheduling_job SET (fillfactor = 70);

-- Rollups and gauges: rows of the running minute and hour are updated every few seconds.
ALTER TABLE scheduling_queue_minute SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_tenant_minute SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_kind_hour SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_rollup_clock SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_share_minute SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_tenant_gauge SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_queue_gauge SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE scheduling_pool_gauge SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- News of batches are emptied every tick: vacuum them by count, not by share.
ALTER TABLE scheduling_batch_news SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
