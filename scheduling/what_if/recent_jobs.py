"""Queries of the jobs of a pool's last hour, and of the jobs that wait and run in it now, for a replay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from scheduling.conf import SMALL_US
from scheduling.fairness.lab import Arrivals
from scheduling.fairness.lab.load import SECOND_US
from scheduling.models import WorkerPool
from scheduling.shares.raw import fetch_rows
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.platform_settings import platform_settings
from tenants.database.sql import load_sql

# Arrivals and waiting jobs together: two replays make 50,000 picks, which is as long as a page can wait.
MOST_JOBS = 25_000
# Waiting jobs of one line are counted up to this limit.
LONGEST_LINE = 200_000

_SQL = load_sql(__file__)
_SLOTS, _RUNNING, _WAITING = _SQL["count_slots"], _SQL["find_running"], _SQL["find_waiting"]
_ARRIVALS, _TURNAROUND, _ELSEWHERE = _SQL["find_arrivals"], _SQL["read_turnaround"], _SQL["is_elsewhere"]


@dataclass(slots=True)
class _Columns:
    """Jobs of a replay as columns. Tenants in queues, and their fair keys, are numbered in order of appearance."""

    at_us: list[int] = field(default_factory=list)
    entity: list[int] = field(default_factory=list)
    cost_us: list[int] = field(default_factory=list)
    predicted_us: list[int] = field(default_factory=list)
    key: list[int] = field(default_factory=list)
    # Ids of tenants are text here: 25,000 UUIDs would be objects that the garbage collector traverses.
    places: dict[tuple[int, str], int] = field(default_factory=dict)
    # By fair key: the number of its place, and its own.
    keys: dict[tuple[int, str, str], tuple[int, int]] = field(default_factory=dict)

    def add(self, queue_id: int, tenant_id: str, key: str, at_us: int, cost_us: int, predicted_us: int) -> None:
        line = self.keys.get((queue_id, tenant_id, key))
        if line is None:
            place = self.places.setdefault((queue_id, tenant_id), len(self.places))
            line = self.keys[queue_id, tenant_id, key] = (place, len(self.keys))
        self.at_us.append(at_us)
        self.entity.append(line[0])
        self.key.append(line[1])
        self.cost_us.append(max(1, cost_us))
        self.predicted_us.append(max(1, predicted_us))

    def as_arrivals(self) -> Arrivals:
        """Return the jobs as the input of a replay, with fair keys only if there are any."""
        keys = self.key if any(key for _, _, key in self.keys) else None
        return Arrivals(self.at_us, self.entity, self.cost_us, self.predicted_us, keys)


@dataclass(frozen=True, slots=True)
class RecentJobSample:
    """Jobs of a pool in the last ``window`` and now, without the settings under which they are served."""

    window: timedelta
    # (queue, tenant) by id, as the arrivals number them.
    places: Sequence[tuple[int, str]]
    arrivals: Arrivals
    slots: int
    running: int
    stands_for: int
    turnaround_us: int
    # Number of arrivals and of those that have not run yet, and whether their tenants run jobs in other pools too.
    arrived: int
    unmeasured: int
    is_elsewhere: bool


def read_recent_jobs(pool: WorkerPool, window: timedelta) -> RecentJobSample:
    """Return the recent and present jobs of a pool, in six queries; this is the expensive part of a what-if."""
    now = read_clock()
    values = {
        "pool_id": pool.pk,
        "lease_seconds": platform_settings.LEASE_SECONDS,
        "longest_line": LONGEST_LINE,
        "floor": uuid7_floor(now - window),
        "least_us": SMALL_US,
    }
    slots = fetch_rows(_SLOTS, values)[0].slots
    running = fetch_rows(_RUNNING, values)
    waiting = _shorten(fetch_rows(_WAITING, values), slots, window)
    arrivals = fetch_rows(_ARRIVALS, values | _arrival_parameters(now, window, waiting))
    turnaround = fetch_rows(_TURNAROUND, values)[0].seconds
    is_elsewhere = fetch_rows(_ELSEWHERE, values)[0].is_elsewhere
    columns, stands_for = _gather(running, waiting, arrivals, now)
    return RecentJobSample(
        window=window,
        places=list(columns.places),
        arrivals=columns.as_arrivals(),
        slots=slots,
        running=len(running),
        stands_for=stands_for,
        turnaround_us=round(turnaround * SECOND_US),
        arrived=len(arrivals),
        unmeasured=sum(row.cost_us is None for row in arrivals),
        is_elsewhere=is_elsewhere,
    )


def _shorten(waiting: Iterable[Any], slots: int, window: timedelta) -> list[Any]:
    """Limit the jobs of each waiting line to what all slots could serve in the window; later jobs have no effect."""
    served_us = max(slots, 1) * 4 * window.total_seconds() * SECOND_US
    return [row._replace(jobs=min(row.jobs, int(served_us // row.cost_us) + 1)) for row in waiting]


def _arrival_parameters(now: datetime, window: timedelta, waiting: Sequence[Any]) -> dict[str, Any]:
    return {
        "now": now,
        "since": now - window,
        "last_us": round(window.total_seconds() * SECOND_US) - 1,
        "waiting": sum(row.jobs for row in waiting),
        "limit": MOST_JOBS,
    }


def _gather(
    running: Sequence[Any], waiting: Sequence[Any], arrivals: Sequence[Any], now: datetime
) -> tuple[_Columns, int]:
    """Return the jobs in the order of the replay (running, waiting, arriving), and how many jobs each represents."""
    stands_for = arrivals[0].step if arrivals else -(-sum(row.jobs for row in waiting) // MOST_JOBS) or 1
    columns = _Columns()
    for row in running:
        columns.add(row.queue_id, row.tenant_id, row.fair_key, 0, row.left_us, row.left_us)
    for _, tenant_id, queue_id, key, cost_us in sorted(_thin(waiting, stands_for, now), key=lambda row: row[:1]):
        columns.add(queue_id, tenant_id, key, 0, cost_us * stands_for, cost_us * stands_for)
    for row in arrivals:
        cost_us = stands_for * (row.predicted_us if row.cost_us is None else row.cost_us)
        columns.add(row.queue_id, row.tenant_id, row.fair_key, row.at_us, cost_us, row.predicted_us * stands_for)
    return columns, stands_for


def _thin(waiting: Iterable[Any], step: int, now: datetime) -> Iterable[tuple[int, str, int, str, int]]:
    """Yield every ``step``-th waiting job as (rank, tenant, queue, fair key, cost).

    The ranks are spread evenly between the first rank of the tenant's jobs and now.
    """
    now_rank = round(now.timestamp() * SECOND_US)
    seen = 0
    for row in waiting:
        first, seen = seen, seen + row.jobs
        apart = max(0, now_rank - row.head_rank) // row.jobs
        for place in range(-first % step, row.jobs, step):
            yield row.head_rank + place * apart, row.tenant_id, row.queue_id, row.fair_key, row.cost_us
