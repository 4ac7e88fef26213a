-- name: release_due
-- Release breakers whose time under a forced state is over.
UPDATE scheduling_circuit_breaker SET state = 'closing', until = NULL, forced_by = '', forced_reason = ''
WHERE state IN ('forced_open', 'forced_closed') AND until <= now() RETURNING tenant_id, kind, dependency;
