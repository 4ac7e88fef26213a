-- name: try_to_lead
-- Take a lock for this transaction unless another one has it, and bound how long the transaction idles and waits.
SELECT pg_try_advisory_xact_lock(%(led_lock)s::int, %(key)s::int),
    set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, true),
    set_config('lock_timeout', %(lock_timeout)s, true);
