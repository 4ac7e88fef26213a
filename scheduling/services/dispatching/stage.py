"""Move jobs whose time has come, or whose gate has opened, to where they can be picked; set aside those behind one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduling.conf import STAGE_ROWS
from scheduling.selectors.announced_kinds import UNKNOWN
from scheduling.services.dispatching.gates import KIND, MEMORY, gate_before, memory_needs
from tenants.ids import uuid7s
from tenants.prepared import prepared_cursor

_STAGE_DUE = """
WITH chosen AS (
    SELECT d.job_id FROM scheduling_job_due d JOIN scheduling_job j ON j.id = d.job_id WHERE d.due_at <= now()
    ORDER BY d.due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
), due AS (
    DELETE FROM scheduling_job_due d USING chosen c WHERE d.job_id = c.job_id
    RETURNING d.job_id, d.tenant_id, d.entity_id, d.kind, d.rank, d.payload_bytes, d.used_us
), job AS (
    UPDATE scheduling_job j SET state = 'available'
    FROM due d WHERE j.id = d.job_id AND j.state IN ('scheduled', 'retryable')
    RETURNING j.id, j.queue_id, j.travels_alone
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone)
    SELECT d.tenant_id, d.entity_id, d.rank, d.job_id, d.kind, d.payload_bytes, d.used_us, j.travels_alone
    FROM due d JOIN job j ON j.id = d.job_id
), numbered AS (
    SELECT d.tenant_id, d.entity_id, d.job_id, j.queue_id, row_number() OVER () AS n
    FROM due d JOIN job j ON j.id = d.job_id
), event AS (
    INSERT INTO scheduling_jobevent (id, tenant_id, job_id, execution_id, at, name, state, actor, request_id, data)
    SELECT (%(event_ids)s::uuid[])[n], tenant_id, job_id, NULL, statement_timestamp(), 'job.available', 'available',
        'system', '', '{}'
    FROM numbered
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT tenant_id, entity_id, queue_id, 0 FROM numbered GROUP BY 1, 2, 3
)
SELECT count(*) FROM numbered
"""
# Gates and kinds are found by hopping over the index (gate, kind, rank), one probe each: with a million jobs of a
# paused kind set aside, a tick must not read them to learn that they stay. They come back oldest first. Circuits, whose
# names sort before these, have ways of their own, since there may be many for each tenant.
_STAGE_HELD = f"""
WITH RECURSIVE hop AS (
    (SELECT gate, kind FROM scheduling_job_held WHERE gate >= '{KIND}' ORDER BY gate, kind LIMIT 1)
    UNION ALL
    SELECT next.gate, next.kind FROM hop CROSS JOIN LATERAL (
        SELECT h.gate, h.kind FROM scheduling_job_held h WHERE (h.gate, h.kind) > (hop.gate, hop.kind)
        ORDER BY h.gate, h.kind LIMIT 1
    ) next
), opened AS (
    SELECT gate, kind FROM hop WHERE CASE
        WHEN gate = '{KIND}' THEN NOT EXISTS (SELECT FROM scheduling_kindpause p WHERE p.kind = hop.kind)
        WHEN gate LIKE '{UNKNOWN} %%' THEN EXISTS (SELECT FROM scheduling_workerpool p
            WHERE '{UNKNOWN} ' || p.id = hop.gate AND coalesce(p.kinds ? hop.kind, true))
        ELSE coalesce((%(needs)s::jsonb ->> hop.kind)::int, 0) <= (
            SELECT max(p.memory_mib) FROM scheduling_workerpool p WHERE '{MEMORY} ' || p.id = hop.gate)
    END
), candidate AS (
    SELECT h.job_id, h.rank FROM opened o CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held WHERE gate = o.gate AND kind = o.kind ORDER BY rank LIMIT %(limit)s
    ) h
    ORDER BY h.rank LIMIT %(limit)s
), chosen AS (
    SELECT h.job_id FROM scheduling_job_held h JOIN candidate USING (job_id) FOR NO KEY UPDATE OF h SKIP LOCKED
), held AS (
    DELETE FROM scheduling_job_held h USING chosen c WHERE h.job_id = c.job_id
    RETURNING h.job_id, h.tenant_id, h.entity_id, h.kind, h.rank, h.payload_bytes, h.used_us, h.travels_alone
), ready AS (
    INSERT INTO scheduling_job_ready (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone)
    SELECT tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone FROM held
), wake AS (
    INSERT INTO scheduling_wake (tenant_id, entity_id, queue_id, waiting_delta)
    SELECT DISTINCT h.tenant_id, h.entity_id, e.queue_id, 0
    FROM held h JOIN scheduling_schedulingentity e ON e.id = h.entity_id
)
SELECT count(*) FROM held
"""  # noqa: S608 - constants
# A gate before the head of a tenant's jobs must not hide its other kinds, so where a pick met one, the head of that
# tenant's jobs is cleared of what stands behind gates far beyond the few that the pick read.
_HOLD = """
WITH head AS (
    SELECT r.entity_id, r.rank, r.job_id, <gate> AS gate
    FROM unnest(%(entity_ids)s::bigint[], %(limits)s::int[]) AS e(id, n) CROSS JOIN LATERAL (
        SELECT tenant_id, entity_id, rank, job_id, kind FROM scheduling_job_ready WHERE entity_id = e.id
        ORDER BY rank, job_id LIMIT e.n
    ) r
), free AS (
    SELECT r.entity_id, r.rank, r.job_id, p.gate
    FROM head p JOIN scheduling_job_ready r
        ON r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
        JOIN scheduling_job j ON j.id = r.job_id
    -- The row to which a job is set aside refers to the job.
    WHERE p.gate IS NOT NULL FOR NO KEY UPDATE OF r SKIP LOCKED FOR KEY SHARE OF j SKIP LOCKED
), gone AS (
    DELETE FROM scheduling_job_ready r USING free p
    WHERE r.entity_id = p.entity_id AND r.rank = p.rank AND r.job_id = p.job_id
    RETURNING r.tenant_id, r.entity_id, r.rank, r.job_id, r.kind, r.payload_bytes, r.used_us, r.travels_alone,
        p.gate
), held AS (
    INSERT INTO scheduling_job_held (tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone,
        gate)
    SELECT tenant_id, entity_id, rank, job_id, kind, payload_bytes, used_us, travels_alone, gate FROM gone
)
SELECT DISTINCT entity_id FROM head p
WHERE gate IS NOT NULL AND NOT EXISTS (SELECT FROM gone g WHERE g.job_id = p.job_id)
""".replace("<gate>", gate_before("%(pool_id)s"))


def stage_due() -> int:
    """Make due jobs available, oldest first, at most STAGE_ROWS; how many."""
    event_ids = uuid7s(min(STAGE_ROWS, _count_due()))
    if not event_ids:
        return 0
    return _run(_STAGE_DUE, {"limit": len(event_ids), "event_ids": event_ids})


def stage_held() -> int:
    """Give jobs back whose kind is no longer paused, or whose pool has room for them or a worker that has their kind.

    At most STAGE_ROWS; return how many.
    """
    return _run(_STAGE_HELD, {"limit": STAGE_ROWS, "needs": memory_needs()})


def hold(pool_id: int, read: Mapping[int, int]) -> set[int]:
    """Set the first ready jobs of entities aside where they stand behind a gate: at least what was read of each.

    About STAGE_ROWS are looked at in all. A job that somebody else holds stays; the entities that have such are told.
    """
    if not read:
        return set()
    limits = [max(count, STAGE_ROWS // len(read)) for count in read.values()]
    with prepared_cursor() as cursor:
        values: dict[str, Any] = {
            "pool_id": pool_id,
            "entity_ids": list(read),
            "limits": limits,
            "needs": memory_needs(),
        }
        cursor.execute(_HOLD, values)
        return {entity_id for (entity_id,) in cursor.fetchall()}


def _count_due() -> int:
    return _run(
        "SELECT count(*) FROM (SELECT 1 FROM scheduling_job_due WHERE due_at <= now() LIMIT %(limit)s) AS due",
        {"limit": STAGE_ROWS},
    )


def _run(statement: str, parameters: dict[str, Any]) -> int:
    with prepared_cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.fetchone()[0])
