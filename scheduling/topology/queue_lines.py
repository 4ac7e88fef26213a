"""One line a queue: what waits, what comes and goes, how well its slots are used. Of rollups and gauges alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduling.models import Queue
from scheduling.statistics.gauge_queries import Gauge, Gauges, read_gauges
from scheduling.statistics.throughput import Ended, RecentWork, read_recent_work
from tenants.database.clock import read_clock

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BackOffs:
    """Jobs that wait for their next attempt; ``due`` are those whose time has come."""

    waiting: int = 0
    due: int = 0
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue. Rates are of the window, ages in seconds; ``before`` is how it stood when the window began."""

    queue: Queue
    waiting: int
    gauge: Gauge
    oldest_seconds: float | None
    ended: Ended
    minutes: float
    before: Gauge | None = None
    mean_slots: float = 0.0

    @property
    def dispatched(self) -> int:
        return self.gauge.dispatched

    @property
    def executing(self) -> int:
        return self.gauge.executing

    @property
    def slots(self) -> float:
        """In use."""
        return self.gauge.slots

    @property
    def back_offs(self) -> BackOffs:
        return BackOffs(self.gauge.backing_off, self.gauge.due, self.gauge.next_due_at)

    @property
    def is_quiet(self) -> bool:
        """Nothing waits, runs or ended lately."""
        return not (self.waiting or self.dispatched or self.executing or self.ended.completed or self.ended.failed)

    @property
    def per_minute(self) -> float:
        """Completed."""
        return self.ended.completed / self.minutes

    @property
    def out_per_minute(self) -> float:
        """Jobs that were done with, one way or the other; a failed attempt that is tried again is not."""
        return (self.ended.completed + self.ended.dead_letters) / self.minutes

    @property
    def in_per_minute(self) -> float | None:
        """Jobs that came, less those that were cancelled or moved; None where nobody looked when the window began."""
        if self.before is None:
            return None
        came = self.gauge.present - self.before.present + self.ended.completed + self.ended.dead_letters
        return max(0.0, came / self.minutes)

    @property
    def capacity(self) -> int:
        """The slots that it may have: those of the live workers that read it, and no more than its cap."""
        standing = getattr(self.queue, "standing", None)
        slots = 0 if standing is None else standing.slots
        return slots if self.queue.cap is None else min(slots, self.queue.cap)

    @property
    def utilisation(self) -> float | None:
        """The part of its slots that it had on average over the window; None without any."""
        return min(1.0, self.mean_slots / self.capacity) if self.capacity else None

    @property
    def empty_in_seconds(self) -> float | None:
        """How long until nothing is left if nothing more comes; None where nothing goes out."""
        if not self.gauge.present:
            return 0.0
        return self.gauge.present / self.out_per_minute * 60 if self.out_per_minute else None


def queue_lines(
    queues: Sequence[Queue], gauges: Gauges, work: RecentWork, waiting: Mapping[int, int] | None = None
) -> list[QueueLine]:
    """A line for each queue; ``waiting`` by queue where it is known better than by the last sample."""
    began = gauges.by_minute.get(work.since - _MINUTE, {})
    lines = []
    for queue in queues:
        gauge = gauges.latest.get(queue.pk, Gauge())
        samples = gauges.of_queue(queue.pk, work.since)
        oldest_at = gauge.oldest_at
        lines.append(
            QueueLine(
                queue=queue,
                waiting=gauge.waiting if waiting is None else max(0, waiting.get(queue.pk, 0)),
                gauge=gauge,
                oldest_seconds=max(0.0, (gauges.now - oldest_at).total_seconds()) if oldest_at else None,
                ended=work.by_queue.get(queue.pk, Ended()),
                minutes=work.minutes,
                before=began.get(queue.pk),
                mean_slots=sum(row.slots for row in samples) / len(samples) if samples else 0.0,
            )
        )
    return lines


def read_queue_lines() -> list[QueueLine]:
    """Every queue over all tenants: five statements, none on the jobs."""
    now = read_clock()
    queues = list(Queue.objects.select_related("pool", "standing").order_by("pool__name", "name"))
    return queue_lines(queues, read_gauges(now), read_recent_work(now))
