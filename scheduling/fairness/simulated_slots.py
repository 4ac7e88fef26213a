"""The slots of a simulated pool: who holds one until when, and what frees and fills them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from math import inf
from typing import Protocol

from scheduling.fairness.fair_keys import KeyedJobs
from scheduling.fairness.simulated_tree import EntityShape, FairTree, QueueShape, TreeShape

FOREVER = 1 << 62


class Policy(StrEnum):
    """Order in which waiting jobs get a free slot."""

    FIFO = "fifo"
    ROUND_ROBIN = "round_robin"
    CAP = "cap"
    CFS = "cfs"
    TIME_SLICE = "time_slice"


FAIR = frozenset({Policy.CFS, Policy.TIME_SLICE})


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Jobs in order of arrival, as columns: what arrives when, in which entity, and how long it holds a slot.

    ``predicted_us`` is what the scheduler believes of each; None: it knows. ``key`` numbers the fair keys of all
    entities together, ``size`` is the payload's in bytes; both may be left out.
    """

    at_us: Sequence[int]
    entity: Sequence[int]
    cost_us: Sequence[int]
    predicted_us: Sequence[int] | None = None
    key: Sequence[int] | None = None
    size: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.at_us)


class Predictor(Protocol):
    """What the scheduler believes that a job will cost, and how it learns."""

    def predict(self, job: int) -> int: ...

    def learn(self, job: int, cost_us: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """How the slots are shared. ``granularity_us`` is the time slice of the policy of that name."""

    slots: int
    policy: Policy
    granularity_us: int = FOREVER
    until_us: int = FOREVER
    max_starts: int = FOREVER


@dataclass(slots=True)
class Timeline:
    """What happened: hand-outs as (job, start, end) in order; ``end_us`` is when the simulation stopped.

    ``is_unsliced`` says that there were too many slices to play, and that from some time on nobody yielded.
    """

    spans: list[tuple[int, int, int]] = field(default_factory=list)
    end_us: int = 0
    is_unsliced: bool = False


def shape_for(policy: Policy, shape: TreeShape) -> TreeShape:
    """The tree as a policy sees it: FIFO knows no caps, and only a fair order knows weights."""
    if policy in FAIR:
        return shape
    is_fifo = policy in {Policy.FIFO, Policy.CAP}
    return TreeShape(
        queues=[QueueShape(1_000, inf if policy is Policy.FIFO else row.cap, is_fifo) for row in shape.queues],
        caps=[inf] * len(shape.caps) if policy is Policy.FIFO else shape.caps,
        entities=[EntityShape(row.queue, row.tenant, 1_000) for row in shape.entities],
    )


class Simulation:
    """One run. Jobs that hold a slot are a heap by the time at which they give it back.

    The first ``running`` arrivals hold their slots when it begins.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        shape: TreeShape,
        rules: Rules,
        *,
        predictor: Predictor | None = None,
        running: int = 0,
    ) -> None:
        self.arrivals = arrivals
        self.rules = rules
        self.predictor = predictor
        # Taking turns is the fair order where every job costs the same.
        self.is_counting = rules.policy is Policy.ROUND_ROBIN
        self.charges = [0] * len(arrivals) if predictor is not None else arrivals.predicted_us or arrivals.cost_us
        self.tree = FairTree(shape_for(rules.policy, shape), self.choose_charge())
        self.entity_of = [self.tree.entities[number] for number in arrivals.entity]
        self.in_slots: list[tuple[int, int]] = []
        self.timeline = Timeline()
        self.now = 0
        if arrivals.key is not None and rules.policy in FAIR:
            for entity in self.tree.entities:
                entity.split_by(KeyedJobs(arrivals.key, self.tree.charge))
        self.ahead = running
        for job in range(running):
            self.tree.occupy(self.entity_of[job], job)
            self.hold(job)

    def run(self) -> Timeline:
        """Until no job is left, the time is over or enough jobs have begun."""
        at_us, rules, in_slots, spans = self.arrivals.at_us, self.rules, self.in_slots, self.timeline.spans
        arrive, entity_of, ahead, count = self.tree.arrive, self.entity_of, self.ahead, len(self.arrivals)
        freed = self.tree.freed
        while ahead < count or in_slots:
            now = at_us[ahead] if ahead < count else FOREVER
            if in_slots and in_slots[0][0] < now:
                now = in_slots[0][0]
            if now >= rules.until_us or len(spans) >= rules.max_starts:
                break
            self.now = now
            while in_slots and in_slots[0][0] <= now:
                self.end(heappop(in_slots)[1])
            if freed:
                self.tree.admit_freed()
            while ahead < count and at_us[ahead] <= now:
                arrive(entity_of[ahead], ahead)
                ahead += 1
            self.fill()
        self.timeline.end_us = self.now if rules.until_us == FOREVER else rules.until_us
        return self.timeline

    def fill(self) -> None:
        """Give every free slot to whose turn it is; none stays free while anybody may start."""
        in_slots, slots, pick = self.in_slots, self.rules.slots, self.tree.pick
        if len(in_slots) < slots:
            self.tree.begin_tick()
        while len(in_slots) < slots and (picked := pick()) is not None:
            self.hold(picked[1])

    def hold(self, job: int) -> None:
        """A job begins."""
        end_us = self.now + self.arrivals.cost_us[job]
        self.timeline.spans.append((job, self.now, end_us))
        heappush(self.in_slots, (end_us, job))

    def end(self, job: int) -> None:
        """A job gives its slot back."""
        cost_us = self.arrivals.cost_us[job]
        charged_us = cost_us if self.is_counting else self.charges[job]
        self.tree.end(self.entity_of[job], job, charged_us, cost_us)
        if self.predictor is not None:
            self.predictor.learn(job, cost_us)

    def choose_charge(self) -> Callable[[int], int]:
        """What tells the cost that a dispatch is charged."""
        if self.is_counting:
            return lambda job: 1
        return self.charges.__getitem__ if self.predictor is None else self._predict

    def _predict(self, job: int) -> int:
        assert self.predictor is not None
        assert isinstance(self.charges, list)
        self.charges[job] = cost_us = self.predictor.predict(job)
        return cost_us
