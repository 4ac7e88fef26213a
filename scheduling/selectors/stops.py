"""What is paused, draining or suspended now, and how far a drain is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Q

from scheduling.models import Drain, KindPause, Queue, WorkerPool
from tenants.context import require_scope
from tenants.ids import uuid7_floor
from tenants.models import Tenant

PAUSED, DRAINING, SUSPENDED = "paused", "draining", "suspended"
# Beyond it the number of waiting jobs is "more than".
COUNT_LIMIT = 10_000
RATE_WINDOW = timedelta(minutes=5)
# An execution's id is as old as its dispatch, so the range of ids begins earlier by the longest time that one may run.
LONGEST_EXECUTION = timedelta(minutes=61)
# At most this many of the newest executions are looked at.
ROW_LIMIT = 20_000
# Stopped tenants that one page lists.
TENANT_LIMIT = 50

_WAITING_OF_ENTITIES = """
    SELECT coalesce((SELECT sum(e.waiting) FROM scheduling_schedulingentity e JOIN scheduling_queue q
            ON q.id = e.queue_id WHERE {where}), 0)
        + coalesce((SELECT sum(e.waiting_delta) FROM scheduling_wake e JOIN scheduling_queue q
            ON q.id = e.queue_id WHERE {where}), 0)
"""
_WAITING = {
    "queue": _WAITING_OF_ENTITIES.format(where="q.name = %(name)s"),
    "pool": _WAITING_OF_ENTITIES.format(
        where="q.pool_id = (SELECT id FROM scheduling_workerpool WHERE name = %(name)s)"
    ),
    "tenant": _WAITING_OF_ENTITIES.format(where="e.tenant_id = (SELECT id FROM tenants_tenant WHERE slug = %(name)s)"),
    "kind": """
        SELECT count(*) FROM (
            (SELECT FROM scheduling_job_held WHERE kind = %(name)s LIMIT %(limit)s)
            UNION ALL (SELECT FROM scheduling_job_due WHERE kind = %(name)s LIMIT %(limit)s)
            UNION ALL (SELECT FROM scheduling_job_ready WHERE kind = %(name)s LIMIT %(limit)s)
        ) AS waiting""",
}
_IS_OF = {
    "queue": "x.queue_id = (SELECT id FROM scheduling_queue WHERE name = %(name)s)",
    "pool": "x.queue_id IN (SELECT q.id FROM scheduling_queue q JOIN scheduling_workerpool p ON p.id = q.pool_id"
    " WHERE p.name = %(name)s)",
    "tenant": "x.tenant_id = (SELECT id FROM tenants_tenant WHERE slug = %(name)s)",
    "kind": "x.kind = %(name)s",
}
_IN_FLIGHT = "SELECT count(*) FROM scheduling_execution_live x WHERE "
_ENDED = """
    SELECT count(*) FROM (
        SELECT queue_id, tenant_id, kind, ended_at FROM scheduling_execution WHERE id >= %(floor)s
        ORDER BY id DESC LIMIT %(rows)s
    ) x WHERE x.ended_at >= %(since)s AND
"""


@dataclass(frozen=True, slots=True)
class Stop:
    """Something that is paused, drains or is suspended: what, why, by whom, since and until when."""

    scope: str
    name: str
    mode: str
    reason: str
    by: str
    since: datetime | None
    until: datetime | None
    drained_at: datetime | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class DrainProgress:
    """What is left of a drain, how fast it goes, and how long it will take at that rate (None: not known)."""

    waiting: int
    in_flight: int
    per_minute: float
    eta_seconds: float | None


def list_stops() -> list[Stop]:
    """All that concerns the scope of the moment; who and why is left out where it is not the tenant's affair."""
    scope = require_scope()
    stops = [*_queue_pauses(), *_kind_pauses(), *_drains(), *_tenant_stops()]
    if scope.is_all_tenants:
        return [*_pool_pauses(), *stops]
    return [
        Stop(s.scope, s.name, s.mode, s.reason, "", s.since, s.until, s.drained_at, s.key)
        for s in stops
        if s.scope != "pool"
    ]


def read_drain_progress(*, scope: str, name: str, now: datetime) -> DrainProgress:
    """Three bounded statements over all tenants, or over the one of the scope."""
    require_scope()  # raw SQL passes the first wall by, so it is asked here
    values = {
        "name": name,
        "limit": COUNT_LIMIT + 1,
        "rows": ROW_LIMIT,
        "since": now - RATE_WINDOW,
        "floor": uuid7_floor(now - RATE_WINDOW - LONGEST_EXECUTION),
    }
    waiting = max(0, _number(_WAITING[scope], values)) if scope != "pool" else 0
    in_flight = _number(_IN_FLIGHT + _IS_OF[scope], values)
    per_minute = _number(_ENDED + _IS_OF[scope], values) / (RATE_WINDOW.total_seconds() / 60)
    left = waiting + in_flight
    eta = 0.0 if not left else left / per_minute * 60 if per_minute else None
    return DrainProgress(waiting, in_flight, per_minute, eta)


def find_drain(scope: str, name: str) -> Drain | None:
    """The drain of a queue, kind or pool, if it drains."""
    return Drain.objects.filter(scope=scope, name=name).first()


def _number(statement: str, values: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.fetchone()[0])


def _queue_pauses() -> Iterator[Stop]:
    for queue in Queue.objects.filter(is_paused=True).order_by("name"):
        yield Stop(
            "queue",
            queue.name,
            PAUSED,
            queue.pause_reason,
            queue.paused_by,
            queue.paused_at,
            queue.paused_until,
            key=str(queue.pk),
        )


def _pool_pauses() -> Iterator[Stop]:
    for pool in WorkerPool.objects.filter(is_paused=True).order_by("name"):
        yield Stop(
            "pool",
            pool.name,
            PAUSED,
            pool.pause_reason,
            pool.paused_by,
            pool.paused_at,
            pool.paused_until,
            key=str(pool.pk),
        )


def _kind_pauses() -> Iterator[Stop]:
    for pause in KindPause.objects.order_by("kind"):
        yield Stop(
            "kind",
            pause.kind,
            PAUSED,
            pause.reason,
            pause.paused_by,
            pause.paused_at,
            pause.paused_until,
            key=pause.kind,
        )


def _drains() -> Iterator[Stop]:
    for drain in Drain.objects.order_by("scope", "name"):
        yield Stop(
            drain.scope,
            drain.name,
            DRAINING,
            drain.reason,
            drain.started_by,
            drain.started_at,
            drain.until,
            drain.drained_at,
            key=drain.name,
        )


def _tenant_stops() -> Iterator[Stop]:
    is_stopped = Q(is_paused=True) | Q(is_draining=True) | Q(status="suspended")
    for tenant in Tenant.objects.filter(is_stopped).order_by("slug")[:TENANT_LIMIT]:
        slug, key = tenant.slug, str(tenant.pk)
        if tenant.is_suspended:
            facts = (tenant.status_reason, tenant.suspended_by, tenant.suspended_at, tenant.suspended_until)
            yield Stop("tenant", slug, SUSPENDED, *facts, key=key)
        if tenant.is_paused:
            facts = (tenant.pause_reason, tenant.paused_by, tenant.paused_at, tenant.paused_until)
            yield Stop("tenant", slug, PAUSED, *facts, key=key)
        if tenant.is_draining:
            facts = (tenant.drain_reason, tenant.draining_by, tenant.draining_at, tenant.draining_until)
            yield Stop("tenant", slug, DRAINING, *facts, tenant.drained_at, key=key)


@dataclass(frozen=True, slots=True)
class TargetState:
    """One queue, kind, pool or tenant: its pause, its drain and how far that is."""

    name: str
    pause: Stop | None
    drain: Stop | None
    progress: DrainProgress | None

    @property
    def is_paused(self) -> bool:
        return self.pause is not None

    @property
    def is_draining(self) -> bool:
        return self.drain is not None


def read_target_state(*, scope: str, name: str, now: datetime) -> TargetState:
    """How a target stands, with the progress of its drain."""
    own = {stop.mode: stop for stop in list_stops() if (stop.scope, stop.name) == (scope, name)}
    drain = own.get(DRAINING)
    progress = read_drain_progress(scope=scope, name=name, now=now) if drain else None
    return TargetState(name, own.get(PAUSED), drain, progress)
