"""The statements that move circuit breakers, and their jobs with them."""

from __future__ import annotations

from scheduling.services.dispatching.gates import BEHIND, CIRCUIT, HOLDS_JOBS, KIND
from scheduling.services.dispatching.locked import IS_FREE

TAKE_NEWS = """
WITH chosen AS (SELECT id FROM scheduling_circuit_news c WHERE <is free> ORDER BY id LIMIT %(limit)s),
gone AS (DELETE FROM scheduling_circuit_news n USING chosen c WHERE n.id = c.id RETURNING n.*)
SELECT tenant_id, kind, dependency, is_shared, job_id, fingerprint, error_type, error_message, at,
    retry_after_seconds, now()
FROM gone ORDER BY id
""".replace("<is free>", IS_FREE.format(row="c"))
# Two ways to one index, since a name without a tenant equals none.
STANDINGS = """
WITH wanted AS (SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS w(tenant_id, kind, dependency)),
found AS (
    SELECT c.id FROM wanted w JOIN scheduling_circuit_breaker c USING (tenant_id, kind, dependency)
    UNION ALL
    SELECT c.id FROM wanted w JOIN scheduling_circuit_breaker c USING (kind, dependency)
    WHERE w.tenant_id IS NULL AND c.tenant_id IS NULL
)
SELECT c.id, c.tenant_id, c.kind, c.dependency, c.state, c.failures, c.fingerprint, c.error_type, c.error_message,
    c.counted_from, c.opened_at, c.until, c.probe_job_id, c.tenants
FROM scheduling_circuit_breaker c JOIN found USING (id)
ORDER BY c.id FOR NO KEY UPDATE OF c
"""
# Whoever has forced one in the meantime has decided.
PUT = """
INSERT INTO scheduling_circuit_breaker AS c (tenant_id, kind, dependency, holds_all, state, failures, fingerprint,
    error_type, error_message, counted_from, opened_at, until, probe_job_id, tenants, forced_by, forced_reason)
SELECT p.*, '', '' FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bool[], %s::text[], %s::int[], %s::text[],
    %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::uuid[], %s::jsonb[]) AS p
ON CONFLICT (tenant_id, kind, dependency) DO UPDATE SET holds_all = excluded.holds_all, state = excluded.state,
    failures = excluded.failures, fingerprint = excluded.fingerprint, error_type = excluded.error_type,
    error_message = excluded.error_message, counted_from = excluded.counted_from, opened_at = excluded.opened_at,
    until = excluded.until, probe_job_id = excluded.probe_job_id, tenants = excluded.tenants
WHERE c.state NOT IN ('forced_open', 'forced_closed')
"""
FORGET = "DELETE FROM scheduling_circuit_breaker WHERE id = ANY(%s) AND state NOT IN ('forced_open', 'forced_closed')"
# What a probe said since the news were read is heard at the next tick.
_IS_UNHEARD = """EXISTS (SELECT FROM scheduling_circuit_news n
        WHERE n.tenant_id = c.probe_tenant_id AND n.kind = c.kind AND n.dependency = c.dependency
            AND n.job_id = c.probe_job_id)"""
# The probe ended without saying anything, or waits elsewhere: behind another breaker, for its tenant's pause to end,
# or in any other line in which it has not come to its turn within a cool-down.
_PROBE_IS_OVER = """NOT <is unheard> AND NOT EXISTS (SELECT FROM scheduling_job j
        WHERE j.id = c.probe_job_id AND (j.state IN ('dispatched', 'executing') OR (j.state = 'available'
            AND c.until > now() AND NOT EXISTS (SELECT FROM scheduling_job_held o WHERE o.job_id = j.id))))"""
# What tries next: the oldest job of the tenant that comes after the one that tried last, so that one tenant's jobs that
# fail for a reason of their own do not keep all others waiting. One behind which nobody waits is left alone, however
# many there are, and its next job is the one that tries.
_NEXT_TO_TRY = f"""SELECT t.job_id, t.tenant_id, t.rank FROM (
        (SELECT 1 AS turn, h.job_id, h.tenant_id, h.rank FROM scheduling_job_held h
        WHERE {BEHIND} AND h.tenant_id > c.probe_tenant_id ORDER BY h.tenant_id, h.rank, h.job_id LIMIT 1)
        UNION ALL
        (SELECT 2, h.job_id, h.tenant_id, h.rank FROM scheduling_job_held h
        WHERE {BEHIND} ORDER BY h.tenant_id, h.rank, h.job_id LIMIT 1)
    ) t ORDER BY t.turn LIMIT 1"""  # noqa: S608 - constants
# A job may need several that are down. Whatever is before others in one order tries all that it needs and whose time
# has come, so that no two jobs wait for one another.
TRY = """
WITH due AS (
    SELECT c.id, c.tenant_id, c.kind, c.dependency, c.holds_all, h.job_id
    FROM scheduling_circuit_breaker c CROSS JOIN LATERAL (<next to try>) h
    WHERE (c.state = 'open' AND c.until <= now()) OR (c.state = 'half_open' AND <probe is over>)
    ORDER BY c.until LIMIT %(probes)s FOR NO KEY UPDATE OF c SKIP LOCKED
), candidate AS (
    SELECT d.tenant_id IS NOT NULL AS is_own, d.id AS chosen_for, h.job_id, h.tenant_id, h.kind,
        coalesce(j.dependencies, '{}') AS dependencies, coalesce(j.shared_dependencies, '{}') AS shared_dependencies
    FROM due d JOIN scheduling_job_held h USING (job_id) JOIN scheduling_job j ON j.id = h.job_id
), needed AS (
    SELECT d.id, n.* FROM candidate n JOIN due d ON d.kind = n.kind AND d.tenant_id = n.tenant_id
        AND (d.id = n.chosen_for OR d.holds_all OR d.dependency = ANY(n.dependencies))
    UNION ALL
    SELECT d.id, n.* FROM candidate n JOIN due d ON d.kind = n.kind AND d.tenant_id IS NULL
        AND (d.id = n.chosen_for OR d.holds_all OR d.dependency = ANY(n.shared_dependencies))
), probe AS (
    SELECT DISTINCT ON (id) id, job_id, tenant_id FROM needed ORDER BY id, is_own, chosen_for
), chosen AS (
    SELECT DISTINCT job_id FROM probe
), <release>, moved AS (
    UPDATE scheduling_circuit_breaker c SET state = 'half_open', probe_job_id = p.job_id,
        probe_tenant_id = p.tenant_id, until = now() + make_interval(secs => %(cool_down_seconds)s)
    FROM probe p JOIN held h USING (job_id) WHERE c.id = p.id
)
SELECT count(*) FROM held
"""
# A probe that ended well without having come to what its breaker is for needs it no longer, and nor do its like.
CLOSE_UNNEEDED = """
WITH moved AS (
    UPDATE scheduling_circuit_breaker c SET state = 'closing', until = NULL, probe_job_id = NULL
    WHERE c.state = 'half_open' AND NOT <is unheard>
        AND EXISTS (SELECT FROM scheduling_job j WHERE j.id = c.probe_job_id AND j.state = 'completed')
    RETURNING c.id
)
SELECT count(*) FROM moved
"""
# A closing breaker is gone when none of its jobs is left; one that is held closed stays.
RETURN = f"""
WITH closing AS (
    SELECT c.id, c.kind, c.state FROM scheduling_circuit_breaker c
    WHERE c.state = 'closing' OR (c.state = 'forced_closed' AND <holds jobs>) ORDER BY c.id LIMIT %(probes)s
    FOR NO KEY UPDATE SKIP LOCKED
), chosen AS (
    SELECT h.job_id FROM closing c CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held h
        WHERE {BEHIND} AND h.kind = c.kind ORDER BY rank, job_id LIMIT %(limit)s
    ) h ORDER BY h.rank LIMIT %(limit)s
), <release>, gone AS (
    DELETE FROM scheduling_circuit_breaker c USING closing g
    WHERE c.id = g.id AND g.state = 'closing' AND NOT EXISTS (
        SELECT FROM scheduling_job_held h WHERE {BEHIND} AND h.job_id NOT IN (SELECT job_id FROM held))
)
SELECT count(*) FROM held
"""  # noqa: S608 - constants
# What nobody came to try for so long is forgotten, and so are failures that no other has followed.
FORGET_IDLE = """
WITH idle AS (
    SELECT c.id FROM scheduling_circuit_breaker c
    WHERE c.until <= now() - make_interval(secs => %(idle_seconds)s)
        AND (c.state = 'open' OR (c.state = 'half_open' AND <probe is over>)) AND NOT <holds jobs>
    ORDER BY c.until LIMIT %(probes)s FOR NO KEY UPDATE SKIP LOCKED
), single AS (
    SELECT c.id FROM scheduling_circuit_breaker c
    WHERE c.state = 'counting' AND c.counted_from <= now() - make_interval(secs => %(idle_seconds)s)
    ORDER BY c.counted_from LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM scheduling_circuit_breaker c
    USING (SELECT id FROM idle UNION ALL SELECT id FROM single) i WHERE c.id = i.id RETURNING c.id
)
SELECT count(*) FROM gone
"""
# Another pool's tick may set a job aside in the moment in which its breaker is deleted: nothing would lead to it any
# more. Hopping over the index, one probe for each breaker, finds these.
RETURN_ORPHANS = f"""
WITH RECURSIVE hop AS (
    (SELECT gate, kind FROM scheduling_job_held WHERE gate >= '{CIRCUIT}' AND gate < '{KIND}'
    ORDER BY gate, kind LIMIT 1)
    UNION ALL
    SELECT next.gate, next.kind FROM hop CROSS JOIN LATERAL (
        SELECT h.gate, h.kind FROM scheduling_job_held h
        WHERE h.gate < '{KIND}' AND (h.gate, h.kind) > (hop.gate, hop.kind)
        ORDER BY h.gate, h.kind LIMIT 1
    ) next
), orphaned AS (
    SELECT gate, kind FROM hop WHERE NOT EXISTS (SELECT FROM scheduling_circuit_breaker c
        WHERE c.id = substr(hop.gate, {len(CIRCUIT) + 2})::bigint AND c.state <> 'counting')
), chosen AS (
    SELECT h.job_id FROM orphaned o CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held
        WHERE gate = o.gate AND kind = o.kind ORDER BY rank, job_id LIMIT %(limit)s
    ) h ORDER BY h.rank LIMIT %(limit)s
), <release>
SELECT count(*) FROM held
"""  # noqa: S608 - constants
_RELEASE = """held AS (
    DELETE FROM scheduling_job_held h USING chosen c WHERE h.job_id = c.job_id
    RETURNING h.job_id, h.tenant_id, h.entity_id, h.kind, h.rank, h.payload_bytes, h.used_us, h.travels_alone
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone)
    SELECT tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone FROM held
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT DISTINCT h.tenant_id, h.entity_id, e.queue_id, 0
    FROM held h JOIN scheduling_schedulingentity e ON e.id = h.entity_id
)"""
# In this order, since one may hold another.
_FRAGMENTS = {
    "<release>": _RELEASE,
    "<next to try>": _NEXT_TO_TRY,
    "<probe is over>": _PROBE_IS_OVER,
    "<is unheard>": _IS_UNHEARD,
    "<holds jobs>": HOLDS_JOBS,
}


def written_out(statement: str) -> str:
    """The statement with its fragments."""
    for name, fragment in _FRAGMENTS.items():
        statement = statement.replace(name, fragment)
    return statement
