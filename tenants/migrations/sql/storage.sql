-- Counters are updated a few times a second: room on the page keeps the updates on it (HOT).
ALTER TABLE tenants_tenantusage SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- The queue is filled and emptied all the time: vacuum it by count, not by share.
ALTER TABLE tenants_auditpending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- The sealer reads 500 entries at a time into memory, and no date that Python cannot hold. The services write 8 KiB at
-- most, which PostgreSQL may write with five times as many characters.
ALTER TABLE tenants_auditlogentry ADD CONSTRAINT audit_entry_bounded CHECK (
    at >= '2000-01-01 00:00+00' AND at < '9999-01-01 00:00+00'
    AND octet_length(before::text) <= 65536 AND octet_length(after::text) <= 65536
);
