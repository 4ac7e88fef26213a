"""Queries of the gauges of the last hour, which dispatchers sample: one row for each queue and minute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from django.db.models import FloatField
from django.db.models.functions import Cast, Extract

from scheduling.conf import UPKEEP_QUEUE
from scheduling.models import PoolGauge, Queue, QueueGauge, TenantGauge
from scheduling.statistics.throughput import MINUTES, WINDOW
from tenants.context import require_scope

# Tenants without jobs get no rows, so older samples of a tenant count as zero.
LATEST_AGE = timedelta(minutes=2)
_MINUTE = timedelta(minutes=1)
_COUNTS = ("queue_id", "waiting", "backing_off", "due", "dispatched", "executing", "slots_milli")
# Read as seconds: an hour of all queues is two thousand moments, and a number is parsed ten times as fast as a
# timestamp.
_MOMENTS = {
    f"{name}_epoch": Cast(Extract(name, "epoch"), FloatField())
    for name in ("minute", "oldest_at", "next_due_at", "sampled_at")
}


@dataclass(frozen=True, slots=True)
class Gauge:
    """Numbers of jobs in one queue, or in several queues together, when they were sampled."""

    waiting: int = 0
    oldest_at: datetime | None = None
    backing_off: int = 0
    due: int = 0
    next_due_at: datetime | None = None
    dispatched: int = 0
    executing: int = 0
    slots_milli: int = 0
    sampled_at: datetime | None = None

    @property
    def slots(self) -> float:
        """Return the number of slots in use; a message uses one slot, however many jobs it carries."""
        return self.slots_milli / 1000

    @property
    def present(self) -> int:
        """Return the number of jobs that have not ended."""
        return self.waiting + self.dispatched + self.executing

    @property
    def oldest_seconds(self) -> float | None:
        """Return how long the longest-waiting job had waited when it was sampled, in seconds, or None."""
        if self.oldest_at is None or self.sampled_at is None:
            return None
        return max(0.0, (self.sampled_at - self.oldest_at).total_seconds())


@dataclass(frozen=True)
class Gauges:
    """Gauges of the last hour by minute and queue id; minutes without a sample are absent.

    ``latest`` has the last sample of each queue.
    """

    now: datetime
    by_minute: Mapping[datetime, Mapping[int, Gauge]] = field(default_factory=dict)
    latest: Mapping[int, Gauge] = field(default_factory=dict)

    @property
    def sampled_at(self) -> datetime | None:
        """Return the time of the last sample, or None if there is none."""
        return max((row.sampled_at for row in self.latest.values() if row.sampled_at), default=None)

    @property
    def known_since(self) -> datetime | None:
        """Return the first minute of the last ten that has a sample from before its start, or None without samples.

        If only the current minute has one, return the minute before: what ended shortly before it counts.
        """
        this = self.minutes[-1]
        first = min((at for at in self.by_minute if at >= this - WINDOW - _MINUTE), default=None)
        if first is None:
            return None
        return first + _MINUTE if first < this else this - _MINUTE

    @cached_property
    def minutes(self) -> list[datetime]:
        """Return the starts of the minutes of the last hour, oldest first; the last is the current minute."""
        this = self.now.replace(second=0, microsecond=0)
        return [this - _MINUTE * ago for ago in reversed(range(MINUTES))]

    @property
    def total(self) -> Gauge:
        """Return the sum of the last samples of all queues."""
        return sum_gauges(self.latest.values())

    @cached_property
    def totals(self) -> list[Gauge | None]:
        """Return for each of ``minutes`` the sum over all queues, or None without a sample."""
        return [sum_gauges(self.by_minute[at].values()) if at in self.by_minute else None for at in self.minutes]

    def of_queue(self, queue_id: int, since: datetime) -> list[Gauge]:
        """Return the samples of one queue since ``since``, oldest first."""
        rows = (self.by_minute[at].get(queue_id) for at in self.minutes if at >= since and at in self.by_minute)
        return [row for row in rows if row is not None]


def sum_gauges(rows: Iterable[Gauge]) -> Gauge:
    """Return the sum of several gauges."""
    found = list(rows)
    return Gauge(
        waiting=sum(row.waiting for row in found),
        oldest_at=min((row.oldest_at for row in found if row.oldest_at), default=None),
        backing_off=sum(row.backing_off for row in found),
        due=sum(row.due for row in found),
        next_due_at=min((row.next_due_at for row in found if row.next_due_at), default=None),
        dispatched=sum(row.dispatched for row in found),
        executing=sum(row.executing for row in found),
        slots_milli=sum(row.slots_milli for row in found),
        sampled_at=max((row.sampled_at for row in found if row.sampled_at), default=None),
    )


def read_gauges(now: datetime) -> Gauges:
    """Return the gauges of the last hour, in one query: of all tenants together, or of the current tenant."""
    is_all_tenants = require_scope().is_all_tenants
    model = QueueGauge if is_all_tenants else TenantGauge
    since = now.replace(second=0, microsecond=0) - _MINUTE * (MINUTES - 1)
    by_minute: dict[datetime, dict[int, Gauge]] = defaultdict(dict)
    rows = model.objects.filter(minute__gte=since).order_by().annotate(**_MOMENTS).values_list(*_COUNTS, *_MOMENTS)
    for queue_id, waiting, backing_off, due, dispatched, executing, slots_milli, *moments in rows:
        minute, oldest_at, next_due_at, sampled_at = map(_moment, moments)
        assert minute is not None
        by_minute[minute][queue_id] = Gauge(
            waiting, oldest_at, backing_off, due, next_due_at, dispatched, executing, slots_milli, sampled_at
        )
    newest = max(by_minute, default=None)
    is_shown = newest is not None and (is_all_tenants or newest > now - LATEST_AGE)
    return Gauges(now, dict(by_minute), by_minute[newest] if newest is not None and is_shown else {})


def _moment(epoch_seconds: float | None) -> datetime | None:
    return None if epoch_seconds is None else datetime.fromtimestamp(epoch_seconds, UTC)


@dataclass(frozen=True, slots=True)
class PoolMinutes:
    """Slots of all live workers and slots in use, one value for each minute of the last hour; None without a sample."""

    slots: Sequence[int | None]
    used: Sequence[float | None]


def read_pool_minutes(now: datetime) -> PoolMinutes:
    """Return the slots for jobs of all pools over the last hour, in one query; do not show them to tenants."""
    this = now.replace(second=0, microsecond=0)
    minutes = [this - _MINUTE * ago for ago in reversed(range(MINUTES))]
    slots: dict[datetime, int] = defaultdict(int)
    used: dict[datetime, int] = defaultdict(int)
    of_jobs = Queue.objects.exclude(name=UPKEEP_QUEUE).values("pool")
    gauges = PoolGauge.objects.filter(minute__gte=minutes[0], pool__in=of_jobs)
    rows = gauges.values_list("minute", "slots", "slots_milli")
    for minute, of_pool, used_milli in rows:
        slots[minute] += of_pool
        used[minute] += used_milli
    return PoolMinutes([slots.get(at) for at in minutes], [used[at] / 1000 if at in used else None for at in minutes])
