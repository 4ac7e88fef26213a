-- name: lock_operation
-- Lock a bulk operation for a turn unless another transaction has it; end the session if it idles in the turn.
SELECT pg_try_advisory_xact_lock(hashtextextended(%(operation_id)s::text, %(operation_lock)s)),
    set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, true);
