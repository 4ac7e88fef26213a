"""Executions that ended recently, from the rollups: one row for each queue and minute, however many there were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduling.models import Execution, QueueMinute, RollupClock, TenantMinute
from scheduling.statistics import histogram
from tenants.context import require_scope

# Rates and shares cover the last ten minutes and the current one; the chart covers the last hour.
WINDOW = timedelta(minutes=10)
MINUTES = 60
# A dispatcher folds once a second; older rollups are reported as stale.
STALE_AFTER = timedelta(seconds=60)

_O = Execution.Outcome
COMPLETED = (_O.COMPLETED.value,)
FAILED = (_O.FAILED.value, _O.TIMED_OUT.value, _O.CRASHED.value, _O.EXPIRED.value)


@dataclass(slots=True)
class EndedCounts:
    """Numbers of ended executions, their slot time in seconds, and the histogram of the waits before the first start.

    ``dead_letters`` is the number of jobs that were given up.
    """

    completed: int = 0
    failed: int = 0
    busy_seconds: float = 0.0
    wait: list[int] = field(default_factory=lambda: [0] * histogram.BUCKETS)
    dead_letters: int = 0

    def add(self, other: EndedCounts) -> None:
        self.completed += other.completed
        self.failed += other.failed
        self.dead_letters += other.dead_letters
        self.busy_seconds += other.busy_seconds
        # In place: a page adds up hundreds of minutes.
        for bucket, count in enumerate(other.wait):
            if count:
                self.wait[bucket] += count

    @property
    def failure_rate(self) -> float | None:
        """Return failed executions as a fraction of completed and failed ones, or None if there are none."""
        ended = self.completed + self.failed
        return self.failed / ended if ended else None

    @property
    def wait_p50(self) -> float | None:
        """Return the median of the waits before the first start in seconds, or None if no job started."""
        return histogram.percentile(self.wait, 0.5)

    @property
    def wait_p95(self) -> float | None:
        return histogram.percentile(self.wait, 0.95)

    @property
    def wait_p99(self) -> float | None:
        return histogram.percentile(self.wait, 0.99)


@dataclass(frozen=True, slots=True)
class RecentWork:
    """Executions that ended in the last hour; ``by_queue`` counts those since ``since``, at most the last ten minutes.

    ``buckets`` are the minutes of the hour, oldest first. ``as_of`` is when the rollups were last updated, or None.
    """

    now: datetime
    since: datetime
    as_of: datetime | None
    by_queue: dict[int, EndedCounts] = field(default_factory=dict)
    buckets: list[EndedCounts] = field(default_factory=list)
    buckets_by_queue: dict[int, list[EndedCounts]] = field(default_factory=dict)

    @property
    def minutes(self) -> float:
        return max((self.now - self.since).total_seconds(), 1.0) / 60

    @property
    def total(self) -> EndedCounts:
        whole = EndedCounts()
        for part in self.by_queue.values():
            whole.add(part)
        return whole

    @property
    def is_stale(self) -> bool:
        """Return whether the rollups were last updated more than a minute ago."""
        return self.as_of is None or self.now - self.as_of > STALE_AFTER


def read_recent_work(now: datetime, known_since: datetime | None = None) -> RecentWork:
    """Return the executions of the last hour in the current tenant context, in two queries over rollups.

    ``known_since``: nothing is known of the time before that minute, so rates cover only the time from then on.
    """
    minute = now.replace(second=0, microsecond=0)
    hour_ago = minute - timedelta(minutes=MINUTES - 1)
    since = max(minute - WINDOW, known_since or minute - WINDOW)
    by_queue: dict[int, EndedCounts] = defaultdict(EndedCounts)
    buckets = [EndedCounts() for _ in range(MINUTES)]
    buckets_by_queue: dict[int, list[EndedCounts]] = defaultdict(lambda: [EndedCounts() for _ in range(MINUTES)])
    for at, queue_id, completed, failed, dead_letters, busy_us, wait in _queue_rows(hour_ago):
        ended = EndedCounts(completed, failed, busy_us / 1e6, wait, dead_letters)
        if at >= since:
            by_queue[queue_id].add(ended)
        index = MINUTES - 1 - int((minute - at).total_seconds() // 60)
        if 0 <= index < MINUTES:
            buckets[index].add(ended)
            buckets_by_queue[queue_id][index] = ended
    clock = RollupClock.objects.first()
    as_of = clock.folded_at if clock else None
    return RecentWork(now, since, as_of, dict(by_queue), buckets, dict(buckets_by_queue))


def _queue_rows(since: datetime) -> Iterable[tuple[datetime, int, int, int, int, int, list[int]]]:
    """Return a row for each queue and minute: of all tenants together, or of the current tenant."""
    model = QueueMinute if require_scope().is_all_tenants else TenantMinute
    rows: Iterable[tuple[datetime, int, int, int, int, int, list[int]]] = model.objects.filter(
        minute__gte=since
    ).values_list("minute", "queue_id", "completed", "failed", "dead_letters", "busy_us", "wait")
    return rows
