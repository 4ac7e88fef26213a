"""Everything that may keep one waiting job from starting, read in a statement or three, whatever waits beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from scheduling.circuit import CircuitState
from scheduling.conf import lease_seconds
from scheduling.fairness.gcra import Rate, take
from scheduling.limits import WORKER_SECONDS
from scheduling.models import Job
from scheduling.processors import registry
from scheduling.selectors.circuits import circuit_before
from scheduling.selectors.locked_tenants import locked_since
from tenants.context import all_tenants
from tenants.prepared import prepared_cursor
from tenants.selectors.limits import allowed_for

# A pool that nobody has ticked for so long is dispatched by nobody; what nobody has said for so long is over.
TICK_AGE = timedelta(seconds=10)

_STANDING = """
SELECT clock_timestamp(), d.due_at,
    t.status = 'suspended', t.status_reason, t.suspended_until, t.is_paused, t.pause_reason, t.paused_until,
    coalesce(t.max_concurrency, p.max_concurrency), coalesce(c.in_flight, 0),
    q.is_paused, q.pause_reason, q.paused_until, q.cap,
    (SELECT count(DISTINCT l.message_id) FROM scheduling_execution_live l WHERE l.queue_id = q.id),
    q.dispatches_per_minute, q.dispatch_burst, qc.arrival_us,
    kp.kind IS NOT NULL, coalesce(kp.reason, ''), kp.paused_until,
    ci.state, ci.until, ci.error_type, ci.forced_reason, ci.dependency, ci.tenant_id IS NULL,
    wp.is_paused, wp.pause_reason, wp.paused_until, wp.memory_mib, coalesce(wp.kinds ? %(kind)s, true),
    pd.id IS NOT NULL, coalesce(pd.reason, ''), pd.until,
    (SELECT coalesce(sum(w.slots), 0) FROM scheduling_worker w WHERE w.pool_id = wp.id AND w.status = 'online'
        AND w.heartbeat_at > now() - make_interval(secs => %(lease_seconds)s)),
    (SELECT count(DISTINCT l.message_id)
     FROM scheduling_execution_live l LEFT JOIN scheduling_worker w ON w.id = l.worker_id
     WHERE l.pool_id = wp.id AND w.status IS DISTINCT FROM 'draining'),
    pc.ticked_at, pc.broker_away_at, pc.locked_tenants -> t.id::text,
    (SELECT coalesce(sum(u.amount), 0)::bigint FROM tenants_tenantusage u
     WHERE u.tenant_id = t.id AND u.key = %(usage)s
        AND u.period = date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')::date)
FROM tenants_tenant t JOIN tenants_plan p ON p.id = t.plan_id
    CROSS JOIN scheduling_queue q JOIN scheduling_queue_clock qc ON qc.queue_id = q.id
    JOIN scheduling_workerpool wp ON wp.id = q.pool_id LEFT JOIN scheduling_pool_clock pc ON pc.pool_id = wp.id
    LEFT JOIN scheduling_tenant_capacity c ON c.tenant_id = t.id
    LEFT JOIN scheduling_kindpause kp ON kp.kind = %(kind)s
    LEFT JOIN scheduling_job r ON r.id = %(job_id)s
    LEFT JOIN scheduling_circuit_breaker ci ON ci.id = <circuit before>
    LEFT JOIN scheduling_drain pd ON pd.scope = 'pool' AND pd.name = wp.name
    LEFT JOIN scheduling_job_due d ON d.job_id = %(job_id)s
WHERE t.id = %(tenant_id)s AND q.id = %(queue_id)s
""".replace("<circuit before>", circuit_before("r.id"))


@dataclass(frozen=True, slots=True)
class Stop:
    """A pause, suspension or drain, if it is one."""

    is_on: bool
    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class CircuitStop(Stop):
    """A breaker, if one stands; ``dependency`` is empty where it is the kind itself that fails."""

    dependency: str
    is_shared: bool
    is_forced: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How everything stands that a job's start depends on. Numbers are over all tenants: they are not for tenants."""

    now: datetime
    due_at: datetime | None
    suspension: Stop
    tenant_pause: Stop
    tenant_cap: int
    tenant_in_flight: int
    queue_pause: Stop
    queue_cap: int | None
    queue_in_flight: int
    rate_opens_at: datetime | None
    kind_pause: Stop
    circuit: CircuitStop
    memory_mib: int
    memory_need: int
    is_kind_announced: bool
    pool_pause: Stop
    pool_drain: Stop
    slots: int
    in_flight: int
    is_ticked: bool
    is_broker_away: bool
    locked_since: datetime | None
    worker_seconds: int | None
    has_worker_time: bool

    def for_tenants(self) -> Standing:
        """Without why the platform stops its machines, which is its staff's affair, and without others' errors."""
        pause, drain = replace(self.pool_pause, reason=""), replace(self.pool_drain, reason="")
        circuit = self.circuit
        if circuit.is_shared and not circuit.is_forced:  # an error that is perhaps another tenant's
            circuit = replace(circuit, reason="")
        return replace(self, pool_pause=pause, pool_drain=drain, circuit=circuit)


def read_standing(job: Job) -> Standing:
    """Two statements, none of which reads more for more waiting jobs."""
    with all_tenants(has_savepoint=False):  # what the pool has in flight is of all tenants
        with prepared_cursor() as cursor:
            values: dict[str, Any] = {"job_id": job.pk, "tenant_id": job.tenant_id, "queue_id": job.queue_id}
            values |= {"kind": job.kind, "lease_seconds": lease_seconds(), "usage": WORKER_SECONDS.key}
            cursor.execute(_STANDING, values)
            row = iter(cursor.fetchone())
        allowed = allowed_for(job.tenant_id, WORKER_SECONDS)
    now = next(row)
    return Standing(
        now=now,
        due_at=next(row),
        suspension=Stop(next(row), next(row), next(row)),
        tenant_pause=Stop(next(row), next(row), next(row)),
        tenant_cap=next(row),
        tenant_in_flight=next(row),
        queue_pause=Stop(next(row), next(row), next(row)),
        queue_cap=next(row),
        queue_in_flight=next(row),
        rate_opens_at=_rate_opens_at(now, next(row), next(row), next(row)),
        kind_pause=Stop(next(row), next(row), next(row)),
        circuit=_circuit(row),
        pool_pause=Stop(next(row), next(row), next(row)),
        memory_mib=next(row),
        memory_need=registry.memory_needs().get(job.kind, 0),
        is_kind_announced=next(row),
        pool_drain=Stop(next(row), next(row), next(row)),
        slots=next(row),
        in_flight=next(row),
        is_ticked=is_recent(next(row), now),
        is_broker_away=is_recent(next(row), now),
        locked_since=locked_since(_parsed(next(row)), now),
        worker_seconds=allowed,
        has_worker_time=allowed is None or next(row) < allowed * WORKER_SECONDS.counts_per_unit,
    )


def is_recent(moment: datetime | None, now: datetime) -> bool:
    """Whether what a dispatcher wrote of a pool at ``moment`` still says how it stands."""
    return moment is not None and now - moment < TICK_AGE


def _parsed(value: Mapping[str, Any] | str | None) -> Mapping[str, Any] | None:
    """Return a JSON column as an object, which a cursor of Django's gives as text."""
    parsed: Mapping[str, Any] | None = json.loads(value) if isinstance(value, str) else value
    return parsed


def _rate_opens_at(now: datetime, per_minute: int | None, burst: int | None, arrival_us: int) -> datetime | None:
    """When the queue's rate grants the next job; None where it grants one now, or there is no rate."""
    if per_minute is None:
        return None
    rate, now_us = Rate.of_queue(per_minute, burst), int(now.timestamp() * 1_000_000)
    wait_us = take(arrival_us, now_us, rate, 0).wait_us(rate)
    return now + timedelta(microseconds=wait_us) if wait_us else None


def _circuit(row: Iterator[Any]) -> CircuitStop:
    state, until, error_type, forced_reason, dependency, is_shared = (next(row) for _ in range(6))
    if state is None:
        return CircuitStop(is_on=False, reason="", until=None, dependency="", is_shared=False, is_forced=False)
    is_forced = state == CircuitState.FORCED_OPEN
    return CircuitStop(
        is_on=True,
        reason=forced_reason if is_forced else error_type,
        # While one tries, nobody knows until when the others wait.
        until=None if state == CircuitState.HALF_OPEN else until,
        dependency=dependency,
        is_shared=is_shared,
        is_forced=is_forced,
    )
