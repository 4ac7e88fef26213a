"""What is paused, draining or suspended now, and how far a drain is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import class_row, scalar_row

from scheduling.models import Drain
from scheduling.shares.raw import fetch_rows
from tenants.context import require_scope
from tenants.database.ids import uuid7_floor
from tenants.database.sql import load_sql

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

_SQL = load_sql(__file__)
_STOPS = _SQL["find_stops"]
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
    stops = fetch_rows(_STOPS, {"limit": TENANT_LIMIT}, row_factory=class_row(Stop))
    if is_all_tenants:
        return stops
    return [replace(stop, by="") for stop in stops if stop.scope != "pool"]


def read_drain_progress(*, scope: str, name: str, now: datetime) -> DrainProgress:
    """Three bounded statements over all tenants, or over the one of the scope."""
    values = {
        "name": name,
        "limit": COUNT_LIMIT + 1,
        "rows": ROW_LIMIT,
        "since": now - RATE_WINDOW,
        "floor": uuid7_floor(now - RATE_WINDOW - LONGEST_EXECUTION),
    }
    waiting = max(0, _number(f"count_waiting_{scope}", values)) if scope != "pool" else 0
    in_flight = _number(f"count_running_{scope}", values)
    per_minute = _number(f"count_ended_{scope}", values) / (RATE_WINDOW.total_seconds() / 60)
    left = waiting + in_flight
    eta = 0.0 if not left else left / per_minute * 60 if per_minute else None
    return DrainProgress(waiting, in_flight, per_minute, eta)


def find_drain(scope: str, name: str) -> Drain | None:
    """The drain of a queue, kind or pool, if it drains."""
    return Drain.objects.filter(scope=scope, name=name).first()


def _number(name: str, values: dict[str, Any]) -> int:
    return int(fetch_rows(_SQL[name], values, row_factory=scalar_row)[0])


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
