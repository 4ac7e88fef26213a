"""Distribution of jobs over the queues of a balancing rule: by weight, to the least loaded or to the nearest queue.

It is deterministic and without side effects: the same batch with the same seed and loads is distributed the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Multiples of the golden ratio fill an interval evenly from any start: n jobs are split by the weights to within a job
# or two. Single jobs, each with a seed of its own, are split by chance.
_GOLDEN = 0.618033988749894848


@dataclass(frozen=True, slots=True)
class BalanceTarget:
    """One of the queues that a rule balances over; ``expected_us`` is the expected slot time of a job there.

    ``distance`` orders the queues from the nearest on; 0 is in the tenant's home region.
    """

    queue_id: int
    weight: int = 1
    expected_us: int = 1_000_000
    distance: int = 0


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """The work waiting for a queue's pool in microseconds, and the slots of live workers that consume the queue."""

    work_us: int = 0
    slots: int = 0


@dataclass(slots=True)
class Spread:
    """The choices of queues for one batch of jobs.

    ``sent_us`` is the work in microseconds sent to each queue since the loads were measured; `by_load` adds to it.
    """

    seed: float = 0.0
    loads: Mapping[int, QueueLoad] = field(default_factory=dict)
    sent_us: dict[int, int] = field(default_factory=dict)
    _chosen: int = 0

    def by_weight(self, targets: Sequence[BalanceTarget]) -> int:
        """Return the queue of the next job, chosen by weight among the queues with live slots."""
        alive = self._alive(targets)
        self._chosen += 1
        point = (self.seed + self._chosen * _GOLDEN) % 1.0 * sum(target.weight for target in alive)
        for target in alive:
            point -= target.weight
            if point < 0:
                return target.queue_id
        return alive[-1].queue_id

    def by_load(self, targets: Sequence[BalanceTarget]) -> int:
        """Return the queue with the least waiting work per live slot, counting the work sent since the measurement."""
        best = min(self._alive(targets), key=lambda target: (self._per_slot(target), target.queue_id))
        return self.send(best)

    def by_distance(self, targets: Sequence[BalanceTarget]) -> int:
        """Return the nearest queue with a live slot; of equally near ones that with the least waiting work per slot."""
        alive = self._alive(targets)
        least = min(target.distance for target in alive)
        return self.by_load([target for target in alive if target.distance == least])

    def send(self, target: BalanceTarget) -> int:
        """Count a job that is sent to the queue, and return the queue."""
        self.sent_us[target.queue_id] = self.sent_us.get(target.queue_id, 0) + target.expected_us
        return target.queue_id

    def load_of(self, queue_id: int) -> QueueLoad:
        """Return the load of a queue, with the work sent since the measurement."""
        load = self._load(queue_id)
        return QueueLoad(load.work_us + self.sent_us.get(queue_id, 0), load.slots)

    def _alive(self, targets: Sequence[BalanceTarget]) -> Sequence[BalanceTarget]:
        """Return the queues with a live slot; all of them if none has one."""
        alive = [target for target in targets if self._load(target.queue_id).slots > 0]
        return alive or targets

    def _per_slot(self, target: BalanceTarget) -> float:
        load = self.load_of(target.queue_id)
        return (load.work_us + target.expected_us) / max(1, load.slots)

    def _load(self, queue_id: int) -> QueueLoad:
        return self.loads.get(queue_id, QueueLoad())
