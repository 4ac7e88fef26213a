"""Move circuit breakers by what ended, and their jobs with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from scheduling import signals
from scheduling.circuit import CircuitPolicy, CircuitStanding, CircuitState, Ending, follow
from scheduling.conf import STAGE_ROWS, circuit_policy
from scheduling.exceptions import KindUnknownError
from scheduling.processors import registry
from scheduling.services.dispatching.gates import HOLDS_JOBS
from scheduling.services.leadership import lead
from scheduling.services.wakes import wake_on_commit
from tenants.context import all_tenants
from tenants.locks import LockClass
from tenants.prepared import prepared_cursor
from tenants.services.audit import AuditTarget, record_audit

# Most breakers that one turn lets try again, or forgets.
PROBES = 500
# Well beyond the longest delay of a retry by default: what failed comes back to a breaker that is still there.
IDLE_SECONDS = 3600.0

_TAKE_NEWS = """
WITH chosen AS (SELECT id FROM scheduling_circuit_news ORDER BY id LIMIT %s),
gone AS (DELETE FROM scheduling_circuit_news n USING chosen c WHERE n.id = c.id RETURNING n.*)
SELECT tenant_id, kind, job_id, fingerprint, error_type, error_message, at, now() FROM gone ORDER BY id
"""
_STANDINGS = """
SELECT c.tenant_id, c.kind, c.state, c.failures, c.fingerprint, c.error_type, c.error_message, c.counted_from,
    c.opened_at, c.until, c.probe_job_id
FROM scheduling_circuit c JOIN unnest(%s::uuid[], %s::text[]) AS w(tenant_id, kind) USING (tenant_id, kind)
FOR UPDATE OF c
"""
_PUT = """
INSERT INTO scheduling_circuit (tenant_id, kind, state, failures, fingerprint, error_type, error_message, counted_from,
    opened_at, until, probe_job_id)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::int[], %s::text[], %s::text[], %s::text[],
    %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::uuid[])
ON CONFLICT (tenant_id, kind) DO UPDATE SET state = excluded.state, failures = excluded.failures,
    fingerprint = excluded.fingerprint, error_type = excluded.error_type, error_message = excluded.error_message,
    counted_from = excluded.counted_from, opened_at = excluded.opened_at, until = excluded.until,
    probe_job_id = excluded.probe_job_id
"""
_FORGET = """
DELETE FROM scheduling_circuit c USING unnest(%s::uuid[], %s::text[]) AS w(tenant_id, kind)
WHERE c.tenant_id = w.tenant_id AND c.kind = w.kind
"""
# The probe ended without saying anything: what it said since the news were read is heard at the next tick.
_PROBE_IS_OVER = """NOT EXISTS (SELECT FROM scheduling_job j
        WHERE j.id = c.probe_job_id AND j.state IN ('available', 'dispatched', 'executing'))
    AND NOT EXISTS (SELECT FROM scheduling_circuit_news n WHERE n.tenant_id = c.tenant_id AND n.kind = c.kind)"""
# The oldest job of each breaker whose time has come, or whose last probe is over. One behind which nobody waits is
# left alone, however many there are, and its next job is the one that tries.
_TRY = """
WITH chosen AS (
    SELECT c.id, h.job_id FROM scheduling_circuit c CROSS JOIN LATERAL (
        SELECT job_id FROM scheduling_job_held
        WHERE gate = 'circuit' AND tenant_id = c.tenant_id AND kind = c.kind ORDER BY rank, job_id LIMIT 1
    ) h
    WHERE (c.state = 'open' AND c.until <= now()) OR (c.state = 'half_open' AND <probe is over>)
    ORDER BY c.until LIMIT %(probes)s FOR UPDATE OF c SKIP LOCKED
), <release>, moved AS (
    UPDATE scheduling_circuit c SET state = 'half_open', probe_job_id = h.job_id
    FROM chosen ch JOIN held h USING (job_id) WHERE c.id = ch.id
)
SELECT count(*) FROM held
"""
# A closing breaker is gone when none of its jobs is left.
_RETURN = """
WITH closing AS (
    SELECT id, tenant_id, kind FROM scheduling_circuit WHERE state = 'closing' ORDER BY id LIMIT %(probes)s
    FOR UPDATE SKIP LOCKED
), chosen AS (
    SELECT h.job_id FROM closing c CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held
        WHERE gate = 'circuit' AND tenant_id = c.tenant_id AND kind = c.kind ORDER BY rank, job_id LIMIT %(limit)s
    ) h ORDER BY h.rank LIMIT %(limit)s
), <release>, gone AS (
    DELETE FROM scheduling_circuit c USING closing g WHERE c.id = g.id AND NOT EXISTS (
        SELECT FROM scheduling_job_held h WHERE h.gate = 'circuit' AND h.tenant_id = c.tenant_id AND h.kind = c.kind
            AND h.job_id NOT IN (SELECT job_id FROM held))
)
SELECT count(*) FROM held
"""
# What nobody came to try for so long is forgotten.
_FORGET_IDLE = """
WITH idle AS (
    SELECT c.id FROM scheduling_circuit c
    WHERE c.until <= now() - make_interval(secs => %(idle_seconds)s)
        AND (c.state = 'open' OR (c.state = 'half_open' AND <probe is over>)) AND NOT <holds jobs>
    ORDER BY c.until LIMIT %(probes)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM scheduling_circuit c USING idle i WHERE c.id = i.id RETURNING c.id
)
SELECT count(*) FROM gone
"""
# Another pool's tick may set a job aside in the moment in which its breaker is deleted: nothing would lead to it any
# more. Hopping over the index, one probe for each tenant and kind, finds these.
_RETURN_ORPHANS = """
WITH RECURSIVE hop AS (
    (SELECT tenant_id, kind FROM scheduling_job_held WHERE gate = 'circuit' ORDER BY tenant_id, kind LIMIT 1)
    UNION ALL
    SELECT next.tenant_id, next.kind FROM hop CROSS JOIN LATERAL (
        SELECT h.tenant_id, h.kind FROM scheduling_job_held h
        WHERE h.gate = 'circuit' AND (h.tenant_id, h.kind) > (hop.tenant_id, hop.kind)
        ORDER BY h.tenant_id, h.kind LIMIT 1
    ) next
), orphaned AS (
    SELECT tenant_id, kind FROM hop WHERE NOT EXISTS (SELECT FROM scheduling_circuit c
        WHERE c.tenant_id = hop.tenant_id AND c.kind = hop.kind AND c.state <> 'counting')
), chosen AS (
    SELECT h.job_id FROM orphaned o CROSS JOIN LATERAL (
        SELECT job_id, rank FROM scheduling_job_held
        WHERE gate = 'circuit' AND tenant_id = o.tenant_id AND kind = o.kind ORDER BY rank, job_id LIMIT %(limit)s
    ) h ORDER BY h.rank LIMIT %(limit)s
), <release>
SELECT count(*) FROM held
"""
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
_FRAGMENTS = {"<release>": _RELEASE, "<probe is over>": _PROBE_IS_OVER, "<holds jobs>": HOLDS_JOBS}
_STANDING_FIELDS = tuple(field.name for field in fields(CircuitStanding))

type Name = tuple[UUID, str]


def follow_circuits() -> int:
    """Count what ended, open and close breakers, and give their jobs back; how many. One process at a time."""
    if not lead(LockClass.CIRCUITS):
        return 0
    _fold_news(circuit_policy())
    return _run(_TRY) + _run(_RETURN)


def tend_circuits() -> int:
    """Forget breakers that nobody waits behind, give back jobs whose breaker is gone; how many came back.

    Any number of dispatchers may call this, and one does it.
    """
    with all_tenants():
        if not lead(LockClass.CIRCUITS_TENDED):
            return 0
        _run(_FORGET_IDLE)
        returned = _run(_RETURN_ORPHANS)
        if returned:
            wake_on_commit()
        return returned


def _fold_news(policy: CircuitPolicy) -> None:
    endings, now = _take_news()
    if now is None:
        return
    before = _read_standings(list(endings))
    after = {
        name: follow(before.get(name), news, policy, now) for name, news in endings.items() if _has_circuit(name[1])
    }
    _write(before, after)
    for name, standing in after.items():
        was = before.get(name)
        if standing is not None and standing.state is CircuitState.OPEN and standing != was:
            _tell_opened(name, standing, again=was is not None and was.state is CircuitState.HALF_OPEN)


def _take_news() -> tuple[Mapping[Name, list[Ending]], datetime | None]:
    """The oldest news by breaker, and the database's time."""
    endings: dict[Name, list[Ending]] = defaultdict(list)
    now = None
    with prepared_cursor() as cursor:
        cursor.execute(_TAKE_NEWS, [STAGE_ROWS])
        for tenant_id, kind, job_id, fingerprint, error_type, error_message, at, now in cursor.fetchall():  # noqa: B007 - the same in each row
            endings[tenant_id, kind].append(Ending(job_id, fingerprint, error_type, error_message, at))
    return endings, now


def _read_standings(names: list[Name]) -> dict[Name, CircuitStanding]:
    with prepared_cursor() as cursor:
        cursor.execute(_STANDINGS, _columns(names))
        return {
            (tenant_id, kind): CircuitStanding(CircuitState(state), *rest)
            for tenant_id, kind, state, *rest in cursor.fetchall()
        }


def _write(before: Mapping[Name, CircuitStanding], after: Mapping[Name, CircuitStanding | None]) -> None:
    put = [
        (*name, *(getattr(standing, field) for field in _STANDING_FIELDS))
        for name, standing in after.items()
        if standing is not None and standing != before.get(name)
    ]
    gone = [name for name, standing in after.items() if standing is None and name in before]
    with prepared_cursor() as cursor:
        if put:
            cursor.execute(_PUT, _columns(put))
        if gone:
            cursor.execute(_FORGET, _columns(gone))


def _tell_opened(name: Name, standing: CircuitStanding, *, again: bool) -> None:
    tenant_id, kind = name
    record_audit(
        action="circuit.opened",
        target=AuditTarget("scheduling.circuit", kind, tenant_id=tenant_id),
        after={"failures": standing.failures, "fingerprint": standing.fingerprint, "until": standing.until},
        reason=f"{standing.error_type}: {standing.error_message}"[:200],
    )
    facts = {"tenant_id": tenant_id, "kind": kind, "is_again": again}
    transaction.on_commit(lambda: signals.circuit_opened.send(None, **facts))


def _has_circuit(kind: str) -> bool:
    try:
        return registry.get(kind).has_circuit
    except (KindUnknownError, registry.ProcessorInvalidError):
        return False  # its plug-in is gone or broken, and nothing more of it is submitted


def _run(statement: str) -> int:
    values: dict[str, Any] = {"limit": STAGE_ROWS, "probes": PROBES, "idle_seconds": IDLE_SECONDS}
    for name, fragment in _FRAGMENTS.items():
        statement = statement.replace(name, fragment)
    with prepared_cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.fetchone()[0])


def _columns(rows: list[Any]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
