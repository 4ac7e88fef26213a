-- name: probe_writes
-- Write a message into the log, and a file of about 300 KiB, which is more than a table is extended by at a time.
SELECT current_setting('transaction_read_only') = 'on' AS is_read_only,
    pg_logical_emit_message(true, 'jobsplatform.write_probe', ''),
    (SELECT count(*) FROM generate_series(1, 20000));
