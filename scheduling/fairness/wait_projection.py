"""Projected waits of each tenant, now and after a change of the waiting work, by a fluid model of the fair order.

`eta` follows one job; here all backlogs of a pool flow off by the same water-filling. The time at which a backlog is
empty is the wait of a job that its tenant submits now, if no more jobs arrive.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from scheduling.fairness.entitlement import EPSILON, water_fill
from scheduling.fairness.eta import LEAST_US, MOST_ROUNDS, Backlog, QueueBacklogs

# Running jobs that end at about the same time are grouped, into at most this many ends.
MOST_ENDS = 24
# The part of a backlog that rounding may leave.
REMAINDER = 1e-9


@dataclass(frozen=True, slots=True)
class TenantWork[Id: Hashable]:
    """The predicted slot time of a tenant's waiting jobs in a queue, now and after the change.

    With ``tenant`` None it belongs to several tenants that will be done at about the same time, and is not reported.
    """

    tenant: Id | None
    weight: float
    now_us: float
    after_us: float
    cap: float = inf


@dataclass(frozen=True, slots=True)
class QueueWork[Id: Hashable]:
    """A queue with all the work that waits in it."""

    weight: float
    tenants: Sequence[TenantWork[Id]]
    cap: float = inf


@dataclass(frozen=True, slots=True)
class ProjectedWait[Id: Hashable]:
    """The projected wait of a tenant in a pool, the longest of its queues, in microseconds; ``inf``: for ever."""

    tenant: Id
    now_us: float
    after_us: float

    @property
    def longer_us(self) -> float:
        """Return by how many microseconds the wait grows; negative if it becomes shorter."""
        return 0.0 if self.now_us == self.after_us else self.after_us - self.now_us


def project_waits[Id: Hashable](
    slots: int, queues: Sequence[QueueWork[Id]], running_us: Sequence[float] = (), *, is_fifo: bool = False
) -> list[ProjectedWait[Id]]:
    """Return the projected wait of every named tenant: growing waits first, each group by the greatest change.

    ``running_us`` is how long each job in flight will still use its slot. ``is_fifo``: in each queue a new job waits
    behind all others.
    """
    now = _waits(slots, queues, running_us, "now_us", is_fifo=is_fifo)
    after = _waits(slots, queues, running_us, "after_us", is_fifo=is_fifo)
    changes = [ProjectedWait(tenant, now[tenant], after[tenant]) for tenant in now]
    return sorted(changes, key=lambda change: (change.longer_us <= 0, -abs(change.longer_us)))


def drain_times(slots: int, queues: Sequence[QueueBacklogs], running_us: Sequence[float] = ()) -> list[list[float]]:
    """Return when each backlog is empty, in microseconds from now; inf if it never will be as things stand."""
    left = [[backlog.work_us for backlog in queue.backlogs] for queue in queues]
    gone = [[inf if rest > 0 else 0.0 for rest in lefts] for lefts in left]
    now, ends = 0.0, list(_ends(running_us))
    for _ in range(MOST_ROUNDS):
        rates = _rates(slots - sum(count for end, count in ends if end > now), queues, left)
        next_end = min((end for end, _ in ends if end > now), default=inf)
        step = min((left[i][j] / rate for i, j, rate in _flowing(rates, left)), default=inf)
        if step == inf and next_end == inf:
            return gone
        # Not now + step at the end of a job: rounding could leave that short of the end for ever.
        then = min(now + step, next_end)
        for i, j, rate in _flowing(rates, left):
            left[i][j] -= rate * (then - now)
            if left[i][j] <= max(LEAST_US / 2, REMAINDER * queues[i].backlogs[j].work_us):
                left[i][j], gone[i][j] = 0.0, then
        now = then
    # After this many changes the shares are assumed constant.
    for i, j, rate in _flowing(_rates(slots, queues, left), left):
        gone[i][j] = now + left[i][j] / rate
    return gone


def _waits[Id: Hashable](
    slots: int,
    queues: Sequence[QueueWork[Id]],
    running_us: Sequence[float],
    side: Literal["now_us", "after_us"],
    *,
    is_fifo: bool,
) -> Mapping[Id, float]:
    # A tenant with no work before it still waits for its slot.
    work = [[max(LEAST_US, getattr(tenant, side)) for tenant in queue.tenants] for queue in queues]
    backlogs = [
        [Backlog(1.0, sum(works))]
        if is_fifo
        else [Backlog(row.weight, work_us, row.cap) for row, work_us in zip(queue.tenants, works, strict=True)]
        for queue, works in zip(queues, work, strict=True)
    ]
    gone = drain_times(
        slots,
        [QueueBacklogs(queue.weight, rows, queue.cap) for queue, rows in zip(queues, backlogs, strict=True)],
        running_us,
    )
    waits: dict[Id, float] = {}
    for queue, times in zip(queues, gone, strict=True):
        for row, time in zip(queue.tenants, times * len(queue.tenants) if is_fifo else times, strict=True):
            if row.tenant is not None:
                waits[row.tenant] = max(time, waits.get(row.tenant, 0.0))
    return waits


def _rates(slots: int, queues: Sequence[QueueBacklogs], left: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the slots of each backlog, shared among those with work left."""
    caps = [
        [backlog.cap if rest > 0 else 0.0 for backlog, rest in zip(queue.backlogs, lefts, strict=True)]
        for queue, lefts in zip(queues, left, strict=True)
    ]
    given = water_fill(
        max(0, slots),
        [queue.weight for queue in queues],
        [min(queue.cap, sum(own)) for queue, own in zip(queues, caps, strict=True)],
    )
    return [
        water_fill(share, [backlog.weight for backlog in queue.backlogs], own)
        for share, queue, own in zip(given, queues, caps, strict=True)
    ]


def _flowing(rates: Sequence[Sequence[float]], left: Sequence[Sequence[float]]) -> Iterator[tuple[int, int, float]]:
    """Yield queue, place and rate of each backlog that flows off."""
    for i, row in enumerate(rates):
        for j, rate in enumerate(row):
            if rate > EPSILON and left[i][j] > 0:
                yield i, j, rate


def _ends(running_us: Iterable[float]) -> Iterator[tuple[float, int]]:
    """Yield the times at which slots come free, and how many then."""
    ends = sorted(end for end in running_us if end > 0)
    size = max(1, -(-len(ends) // MOST_ENDS))
    for start in range(0, len(ends), size):
        together = ends[start : start + size]
        yield sum(together) / len(together), len(together)
