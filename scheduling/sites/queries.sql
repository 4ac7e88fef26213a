-- name: read_replication
-- Read whether the database is a standby, how far it has replayed the log, and the time since the commit of the last
-- transaction there.
SELECT pg_is_in_recovery() AS is_standby, pg_last_xact_replay_timestamp() AS replayed_at,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS lag_seconds,
    pg_last_wal_replay_lsn()::text AS replayed;
