"""Input and output of a simulation: arrivals, the shape of the pool, the rules, the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Protocol

FOREVER = 1 << 62


class OrderPolicy(StrEnum):
    """The order in which waiting jobs get a free slot."""

    FIFO = "fifo"
    ROUND_ROBIN = "round_robin"
    CAP = "cap"
    CFS = "cfs"
    TIME_SLICE = "time_slice"


FAIR = frozenset({OrderPolicy.CFS, OrderPolicy.TIME_SLICE})


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Jobs in order of arrival, as columns: arrival time, entity by number, and time in the slot.

    ``predicted_us`` are the scheduler's predictions; None: they are exact. ``key`` numbers the fair keys of all
    entities together, ``size`` is the payload's size in bytes; both may be left out.
    """

    at_us: Sequence[int]
    entity: Sequence[int]
    cost_us: Sequence[int]
    predicted_us: Sequence[int] | None = None
    key: Sequence[int] | None = None
    size: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.at_us)


@dataclass(frozen=True, slots=True)
class QueueShape:
    """A queue of the simulated pool; ``is_fifo``: its jobs start in order of arrival."""

    weight_milli: int = 1_000
    cap: float = inf
    is_fifo: bool = False


@dataclass(frozen=True, slots=True)
class EntityShape:
    """A tenant in a queue of the simulated pool; ``queue`` and ``tenant`` are numbers."""

    queue: int
    tenant: int
    weight_milli: int
    vruntime: int = 0


@dataclass(frozen=True, slots=True)
class TreeShape:
    """The tree of a simulated pool: its queues, its tenants' caps, and which tenant is in which queue."""

    queues: Sequence[QueueShape]
    caps: Sequence[float]
    entities: Sequence[EntityShape]

    def under(self, policy: OrderPolicy) -> TreeShape:
        """Return a copy of the tree with only the settings that the policy uses.

        Under FIFO there are no caps; all weights are equal unless the policy is fair.
        """
        if policy in FAIR:
            return self
        is_fifo, knows_caps = policy in {OrderPolicy.FIFO, OrderPolicy.CAP}, policy is not OrderPolicy.FIFO
        return TreeShape(
            queues=[QueueShape(1_000, row.cap if knows_caps else inf, is_fifo) for row in self.queues],
            caps=self.caps if knows_caps else [inf] * len(self.caps),
            entities=[EntityShape(row.queue, row.tenant, 1_000) for row in self.entities],
        )


class Predictor(Protocol):
    """The interface of a predictor of job costs that learns from ended jobs."""

    def predict(self, job: int) -> int: ...

    def learn(self, job: int, cost_us: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a simulation; ``granularity_us`` is the length of a slice under the time-slice policy.

    ``turnaround_us`` is how long a slot is used before its job begins, because the dispatch takes that long. Jobs
    shorter than ``small_us`` are exempt, since they share a message.
    """

    slots: int
    policy: OrderPolicy
    granularity_us: int = FOREVER
    until_us: int = FOREVER
    max_starts: int = FOREVER
    turnaround_us: int = 0
    small_us: int = 0


@dataclass(slots=True)
class Timeline:
    """The result of a simulation: dispatches as (job, start, end) in order; ``end_us`` is when it stopped.

    ``is_unsliced``: there were too many slices to replay, so that from some time on no job yielded.
    """

    spans: list[tuple[int, int, int]] = field(default_factory=list)
    end_us: int = 0
    is_unsliced: bool = False
