"""Queries of pauses, drains and suspensions, and of the progress of drains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext, gettext_noop
from psycopg.rows import class_row, scalar_row

from scheduling.models import Drain
from scheduling.shares.raw import fetch_rows
from tenants.context import require_scope
from tenants.database.ids import uuid7_floor
from tenants.database.sql import load_sql

PAUSED, DRAINING = "paused", "draining"
# Above it the number of waiting jobs is only a lower bound.
COUNT_LIMIT = 10_000
RATE_WINDOW = timedelta(minutes=5)
# An execution's id is as old as its dispatch, so the range of ids begins earlier by the longest run time.
LONGEST_EXECUTION = timedelta(minutes=61)
# Newest executions that are read at most.
ROW_LIMIT = 20_000
# Stopped tenants on one page.
TENANT_LIMIT = 50

_SQL = load_sql(__file__)
_STOPS = _SQL["find_stops"]
_PAGES = {
    "queue": "admin:scheduling_queue_change",
    "pool": "admin:scheduling_workerpool_change",
    "kind": "admin:scheduling_kindpause_change",
    "tenant": "admin:tenants_tenant_change",
}
_TITLES = {
    ("pool", "paused"): gettext_noop("Worker pool “%(name)s” is paused"),
    ("pool", "draining"): gettext_noop("Worker pool “%(name)s” is draining"),
    ("queue", "paused"): gettext_noop("Queue “%(name)s” is paused"),
    ("queue", "draining"): gettext_noop("Queue “%(name)s” is draining"),
    ("kind", "paused"): gettext_noop("Kind “%(name)s” is paused"),
    ("kind", "draining"): gettext_noop("Kind “%(name)s” is draining"),
    ("tenant", "paused"): gettext_noop("Tenant “%(name)s” is paused"),
    ("tenant", "draining"): gettext_noop("Tenant “%(name)s” is draining"),
    ("tenant", "suspended"): gettext_noop("Tenant “%(name)s” is suspended"),
}


@dataclass(frozen=True, slots=True)
class Stop:
    """Pause, drain or suspension of one target, with its reason, actor, start and end."""

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
        """Return a heading that names the target and says that it is paused, draining or suspended."""
        return gettext(_TITLES[self.scope, self.mode]) % {"name": self.name}

    @property
    def page(self) -> str:
        """Return the URL name of the page that ends this stop; empty for a kind that drains without a pause."""
        return _PAGES[self.scope] if self.key is not None else ""


@dataclass(frozen=True, slots=True)
class DrainProgress:
    """Remaining jobs of a drain, jobs that end per minute, and the remaining seconds at that rate (None: unknown)."""

    waiting: int
    in_flight: int
    per_minute: float
    eta_seconds: float | None


def list_stops() -> list[Stop]:
    """Return the pauses, drains and suspensions in the current tenant context, in one query.

    In the context of one tenant, stops of pools and the names of actors are omitted.
    """
    is_all_tenants = require_scope().is_all_tenants
    stops = fetch_rows(_STOPS, {"limit": TENANT_LIMIT}, row_factory=class_row(Stop))
    if is_all_tenants:
        return stops
    return [replace(stop, by="") for stop in stops if stop.scope != "pool"]


def read_drain_progress(*, scope: str, name: str, now: datetime) -> DrainProgress:
    """Return a drain's progress in the current tenant context, with three queries over a bounded number of rows."""
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
    """Return the drain of a queue, kind or pool, or None."""
    return Drain.objects.filter(scope=scope, name=name).first()


def _number(name: str, values: dict[str, Any]) -> int:
    return int(fetch_rows(_SQL[name], values, row_factory=scalar_row)[0])


@dataclass(frozen=True, slots=True)
class TargetState:
    """State of one queue, kind, pool or tenant: its pause, its drain and the drain's progress."""

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
    """Return pause and drain of a queue, kind, pool or tenant, with the drain's progress."""
    own = {stop.mode: stop for stop in list_stops() if (stop.scope, stop.name) == (scope, name)}
    drain = own.get(DRAINING)
    progress = read_drain_progress(scope=scope, name=name, now=now) if drain else None
    return TargetState(name, own.get(PAUSED), drain, progress)
