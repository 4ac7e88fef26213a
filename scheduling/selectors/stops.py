"""What is paused, draining or suspended now, and how far a drain is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from scheduling.models import Drain
from tenants.context import require_scope
from tenants.ids import uuid7_floor

PAUSED, DRAINING = "paused", "draining"
# Beyond it the number of waiting jobs is "more than".
COUNT_LIMIT = 10_000
RATE_WINDOW = timedelta(minutes=5)
# An execution's id is as old as its dispatch, so the range of ids begins earlier by the longest time that one may run.
LONGEST_EXECUTION = timedelta(minutes=61)
# At most this many of the newest executions are looked at.
ROW_LIMIT = 20_000
# Stopped tenants that one page lists.
TENANT_LIMIT = 50

# The columns of Stop. Row-level security shows a tenant no tenant but itself.
_STOPS = """
SELECT 'pool', name, 'paused', pause_reason, paused_by, paused_at, paused_until, NULL::timestamptz, id::text
FROM scheduling_workerpool WHERE is_paused
UNION ALL
SELECT 'queue', name, 'paused', pause_reason, paused_by, paused_at, paused_until, NULL, id::text
FROM scheduling_queue WHERE is_paused
UNION ALL
SELECT 'kind', kind, 'paused', reason, paused_by, paused_at, paused_until, NULL, kind FROM scheduling_kindpause
UNION ALL
SELECT d.scope, d.name, 'draining', d.reason, d.started_by, d.started_at, d.until, d.drained_at,
    coalesce(q.id, p.id)::text
FROM scheduling_drain d LEFT JOIN scheduling_queue q ON d.scope = 'queue' AND q.name = d.name
    LEFT JOIN scheduling_workerpool p ON d.scope = 'pool' AND p.name = d.name
UNION ALL
(SELECT 'tenant', slug, 'suspended', status_reason, suspended_by, suspended_at, suspended_until, NULL, id::text
FROM tenants_tenant WHERE status = 'suspended' ORDER BY slug LIMIT %(limit)s)
UNION ALL
(SELECT 'tenant', slug, 'paused', pause_reason, paused_by, paused_at, paused_until, NULL, id::text
FROM tenants_tenant WHERE is_paused ORDER BY slug LIMIT %(limit)s)
UNION ALL
(SELECT 'tenant', slug, 'draining', drain_reason, draining_by, draining_at, draining_until, drained_at, id::text
FROM tenants_tenant WHERE is_draining ORDER BY slug LIMIT %(limit)s)
"""
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


_PAGES = {
    "queue": "admin:scheduling_queue_change",
    "pool": "admin:scheduling_workerpool_change",
    "kind": "admin:scheduling_kindpause_change",
    "tenant": "admin:tenants_tenant_change",
}


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
    key: str | None = None

    @property
    def title(self) -> str:
        """What is stopped and how, as a heading."""
        noun = "Worker pool" if self.scope == "pool" else self.scope.capitalize()
        return f"{noun} “{self.name}” {'drains' if self.mode == DRAINING else 'is ' + self.mode}"

    @property
    def page(self) -> str:
        """The name of the page that resumes it; none for a kind that drains and is not paused."""
        return _PAGES[self.scope] if self.key is not None else ""


@dataclass(frozen=True, slots=True)
class DrainProgress:
    """What is left of a drain, how fast it goes, and how long it will take at that rate (None: not known)."""

    waiting: int
    in_flight: int
    per_minute: float
    eta_seconds: float | None


def list_stops() -> list[Stop]:
    """All that concerns the scope of the moment, one statement; who did it, and pools, are the staff's affair."""
    is_all_tenants = require_scope().is_all_tenants
    with connection.cursor() as cursor:
        cursor.execute(_STOPS, {"limit": TENANT_LIMIT})
        stops = [Stop(*row) for row in cursor.fetchall()]
    if is_all_tenants:
        return stops
    return [replace(stop, by="") for stop in stops if stop.scope != "pool"]


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
