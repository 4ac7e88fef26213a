-- name: heartbeat
-- Record that a process is alive.
INSERT INTO scheduling_process_heartbeat (id, role, hostname, pid, started_at, heartbeat_at, clock_skew_seconds)
VALUES (%(id)s, %(role)s, %(hostname)s, %(pid)s, now(), now(), %(clock)s - extract(epoch FROM clock_timestamp()))
ON CONFLICT (id) DO UPDATE SET heartbeat_at = now(), clock_skew_seconds = excluded.clock_skew_seconds;

-- name: measure_clock_skew
-- Return the seconds by which a clock is ahead of the clock of the database.
SELECT %(clock)s::float8 - extract(epoch FROM clock_timestamp())::float8;
