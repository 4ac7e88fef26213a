-- name: find_lost_workers
-- Read workers whose lease has expired, but not long ago.
SELECT id FROM scheduling_worker
WHERE heartbeat_at < now() - make_interval(secs => %(lease_seconds)s)
    AND heartbeat_at > now() - make_interval(secs => %(look_back_seconds)s);

-- name: end_sessions
-- End the sessions of workers that have been in a transaction for a while. They are found by name and never by process
-- number, which the server reuses. A session can be seen and ended only by its own role. One outside of a transaction
-- holds no lock, and a pooler may give it to another client.
SELECT application_name, pg_terminate_backend(pid) AS is_ended FROM pg_stat_activity
WHERE application_name = ANY(%(names)s::text[])
    AND usename = current_user AND datname = current_database()
    AND xact_start < clock_timestamp() - make_interval(secs => %(grace_seconds)s);
