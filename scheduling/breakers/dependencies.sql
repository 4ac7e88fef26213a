-- name: find_circuits
-- Read the open breakers of a dependency, the tenant's and the shared ones; the gate of a tick reads the same (see
-- scheduling.breakers.queries).
SELECT c.probe_job_id, c.until FROM scheduling_circuit_breaker c
WHERE c.tenant_id = %(tenant_id)s AND c.kind = %(kind)s AND c.dependency = %(name)s
    AND c.state IN ('open', 'half_open', 'forced_open')
UNION ALL
SELECT c.probe_job_id, c.until FROM scheduling_circuit_breaker c
WHERE %(is_shared)s::boolean AND c.tenant_id IS NULL AND c.kind = %(kind)s AND c.dependency = %(name)s
    AND c.state IN ('open', 'half_open', 'forced_open');

-- name: report_dependency
-- Store a job's report about a dependency.
INSERT INTO scheduling_circuit_news (tenant_id, kind, dependency, is_shared, job_id, fingerprint, error_type,
    error_message, retry_after_seconds, at)
VALUES (%(tenant_id)s, %(kind)s, %(name)s, %(is_shared)s, %(job_id)s, %(fingerprint)s, %(error_type)s,
    %(error_message)s, %(retry_after_seconds)s, clock_timestamp());
