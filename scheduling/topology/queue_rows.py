"""Load of each queue: backlog, throughput and use of slots, read from rollups and gauges only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduling.models import Queue
from scheduling.statistics.gauge_queries import Gauge, Gauges, read_gauges
from scheduling.statistics.throughput import EndedCounts, RecentWork, read_recent_work
from scheduling.topology.drain_times import project_drains
from tenants.context import require_scope
from tenants.database.clock import read_clock

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BackoffCounts:
    """Numbers of jobs in backoff; ``due`` are those whose time has come."""

    waiting: int = 0
    due: int = 0
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueueRow:
    """Load of one queue: counts, ages in seconds, and rates over the last ten minutes or the known part of them.

    ``before`` is the queue's gauge at the start of this time. ``drained_seconds`` is the projected time until all its
    jobs that may start have ended, None if some never will as things stand.
    """

    queue: Queue
    waiting: int
    gauge: Gauge
    oldest_seconds: float | None
    ended: EndedCounts
    minutes: float
    before: Gauge | None = None
    mean_slots: float = 0.0
    drained_seconds: float | None = None

    @property
    def dispatched(self) -> int:
        return self.gauge.dispatched

    @property
    def executing(self) -> int:
        return self.gauge.executing

    @property
    def slots(self) -> float:
        """Return the number of slots in use."""
        return self.gauge.slots

    @property
    def back_offs(self) -> BackoffCounts:
        return BackoffCounts(self.gauge.backing_off, self.gauge.due, self.gauge.next_due_at)

    @property
    def is_quiet(self) -> bool:
        """Return whether no job waits or runs, and none ended in the last ten minutes."""
        return not (self.waiting or self.dispatched or self.executing or self.ended.completed or self.ended.failed)

    @property
    def per_minute(self) -> float:
        """Return the number of completed jobs per minute."""
        return self.ended.completed / self.minutes

    @property
    def out_per_minute(self) -> float:
        """Return the number of ended jobs per minute; a failed attempt that will be retried does not count."""
        return (self.ended.completed + self.ended.dead_letters) / self.minutes

    @property
    def in_per_minute(self) -> float | None:
        """Return the number of arrived jobs per minute, minus cancelled and moved jobs.

        Return None if there is no sample from the start of this time.
        """
        if self.before is None:
            return None
        came = self.gauge.present - self.before.present + self.ended.completed + self.ended.dead_letters
        return max(0.0, came / self.minutes)

    @property
    def capacity(self) -> int:
        """Return how many slots the queue may use: those of the live workers that consume it, but at most its cap."""
        standing = getattr(self.queue, "standing", None)
        slots = 0 if standing is None else standing.slots
        return slots if self.queue.cap is None else min(slots, self.queue.cap)

    @property
    def utilisation(self) -> float | None:
        """Return the mean fraction of the queue's slots in use in the last ten minutes, or None without slots."""
        return min(1.0, self.mean_slots / self.capacity) if self.capacity else None

    @property
    def empty_in_seconds(self) -> float | None:
        """Return the seconds until the queue is empty if no jobs arrive, or None if it never will as things stand."""
        return self.drained_seconds if self.gauge.present else 0.0


def read_work_and_gauges(now: datetime) -> tuple[RecentWork, Gauges]:
    """Return what ended recently and the gauges, in three queries; rates cover the time that has gauges."""
    gauges = read_gauges(now)
    # A tenant without jobs has no gauges, which does not make a time unknown.
    is_all_tenants = require_scope().is_all_tenants
    return read_recent_work(now, gauges.known_since if is_all_tenants else None), gauges


def build_queue_rows(
    queues: Sequence[Queue],
    gauges: Gauges,
    work: RecentWork,
    waiting: Mapping[int, int] | None = None,
    drained: Mapping[int, float] | None = None,
) -> list[QueueRow]:
    """Return the load of each queue.

    ``waiting`` are counts by queue id that replace those of the last sample, ``drained`` the projected times in seconds
    until the jobs of a queue have ended.
    """
    began = gauges.by_minute.get(work.since - _MINUTE, {})
    lines = []
    for queue in queues:
        gauge = gauges.latest.get(queue.pk, Gauge())
        samples = gauges.of_queue(queue.pk, work.since)
        oldest_at = gauge.oldest_at
        lines.append(
            QueueRow(
                queue=queue,
                waiting=gauge.waiting if waiting is None else max(0, waiting.get(queue.pk, 0)),
                gauge=gauge,
                oldest_seconds=max(0.0, (gauges.now - oldest_at).total_seconds()) if oldest_at else None,
                ended=work.by_queue.get(queue.pk, EndedCounts()),
                minutes=work.minutes,
                before=began.get(queue.pk),
                mean_slots=sum(row.slots for row in samples) / len(samples) if samples else 0.0,
                drained_seconds=drained.get(queue.pk) if drained else None,
            )
        )
    return lines


def read_queue_rows() -> list[QueueRow]:
    """Return the load of all queues over all tenants, in eight queries that do not read jobs."""
    now = read_clock()
    queues = list(Queue.objects.select_related("pool", "standing").order_by("pool__name", "name"))
    work, gauges = read_work_and_gauges(now)
    return build_queue_rows(queues, gauges, work, drained=project_drains(queues))
