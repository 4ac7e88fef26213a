"""The slots of a simulated pool, and the events that free and fill them."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from operator import attrgetter
from uuid import UUID

from scheduling.fairness.lab.growing_tree import GrowingKeyNode, GrowingKeyNodes, GrowingTree
from scheduling.fairness.lab.terms import FAIR, FOREVER, Arrivals, OrderPolicy, Predictor, Rules, Timeline, TreeShape
from scheduling.fairness.nodes import Capacity, QueueNode, TenantNode
from scheduling.fairness.shares import ReadyJob


class Simulation:
    """One simulation of a pool. Running jobs are in a heap by their end; a job's rank is its number.

    The first ``running`` arrivals use slots at the start.
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
        # Round robin is the fair order with equal costs.
        self.is_counting = rules.policy is OrderPolicy.ROUND_ROBIN
        self.charges = [0] * len(arrivals) if predictor is not None else arrivals.predicted_us or arrivals.cost_us
        self._plant(shape.under(rules.policy))
        self.in_slots: list[tuple[int, int]] = []
        self.timeline = Timeline()
        self.now = 0
        self.ahead = running
        for job in range(running):
            self.tree.occupy(self.tenant_of[job], self.line_of[job])
            self.hold(job)

    def _plant(self, shape: TreeShape) -> None:
        queues = [
            QueueNode(number, weight_milli=row.weight_milli, room=_room(row.cap), is_fifo=row.is_fifo)
            for number, row in enumerate(shape.queues)
        ]
        capacities = [Capacity(UUID(int=number), _room(cap)) for number, cap in enumerate(shape.caps)]
        # Ids of lines: a tenant's own line has the tenant's id, those of keys follow after all tenants.
        numbers, first_key = self.arrivals.entity, len(shape.entities)
        if self.arrivals.key is not None and self.rules.policy in FAIR:
            numbers = [first_key + key for key in self.arrivals.key]
        lines: list[dict[int, GrowingKeyNode]] = [{} for _ in shape.entities]
        for entity, number in sorted(set(zip(self.arrivals.entity, numbers, strict=True))):
            lines[entity][number] = GrowingKeyNode(number)
        self.tenants = [
            TenantNode(
                number,
                queues[row.queue],
                capacities[row.tenant],
                GrowingKeyNodes(list(lines[number].values()), is_fifo=queues[row.queue].is_fifo),
                weight_milli=row.weight_milli,
                vruntime=row.vruntime,
            )
            for number, row in enumerate(shape.entities)
        ]
        self.tenant_of = [self.tenants[entity] for entity in self.arrivals.entity]
        self.line_of = [lines[entity][number] for entity, number in zip(self.arrivals.entity, numbers, strict=True)]
        self.tree = GrowingTree(queues, cost_of=self.choose_charge())

    def run(self) -> Timeline:
        """Simulate until no job is left, the time is over or enough jobs have started; return the timeline."""
        at_us, rules, in_slots, spans = self.arrivals.at_us, self.rules, self.in_slots, self.timeline.spans
        tree, ahead, count = self.tree, self.ahead, len(self.arrivals)
        while ahead < count or in_slots:
            now = at_us[ahead] if ahead < count else FOREVER
            if in_slots and in_slots[0][0] < now:
                now = in_slots[0][0]
            if now >= rules.until_us or len(spans) >= rules.max_starts:
                break
            self.now = now
            while in_slots and in_slots[0][0] <= now:
                self.end(heappop(in_slots)[1])
            tree.fold()
            while ahead < count and at_us[ahead] <= now:
                tree.arrive(self.tenant_of[ahead], self.line_of[ahead], self.waiting_job(ahead))
                ahead += 1
            self.fill()
        self.timeline.end_us = self.now if rules.until_us == FOREVER else rules.until_us
        return self.timeline

    def waiting_job(self, job: int) -> ReadyJob:
        """Return the job as the tree needs it; a predictor that learns sets its cost at dispatch."""
        return ReadyJob(None, job, "", self.charges[job])

    def fill(self) -> None:
        """Start jobs in fair order, as a tick does, until no slot is free or no job may start."""
        in_slots, slots, tree = self.in_slots, self.rules.slots, self.tree
        if len(in_slots) >= slots or not tree.has_any():
            return
        tree.open_tick()
        while len(in_slots) < slots and (queue := tree.next_queue()) is not None:
            job, _ = tree.take(queue)
            self.hold(job.rank)
        tree.close_tick()

    def hold(self, job: int) -> None:
        """Start a job in a slot, and add its end to the heap."""
        cost_us, rules = self.arrivals.cost_us[job], self.rules
        began = self.now + rules.turnaround_us if cost_us >= rules.small_us else self.now
        end_us = began + cost_us
        self.timeline.spans.append((job, began, end_us))
        heappush(self.in_slots, (end_us, job))

    def end(self, job: int) -> None:
        """Free the slot of a job that has ended, and correct its charge."""
        cost_us = self.arrivals.cost_us[job]
        charged_us = cost_us if self.is_counting else self.charges[job]
        self.tree.end(self.tenant_of[job], self.line_of[job], charged_us=charged_us, measured_us=cost_us)
        if self.predictor is not None:
            self.predictor.learn(job, cost_us)

    def choose_charge(self) -> Callable[[ReadyJob], int]:
        """Return the function that computes what a dispatch of a job is charged."""
        if self.is_counting:
            return lambda job: 1
        return attrgetter("cost_us") if self.predictor is None else self._predict

    def _predict(self, job: ReadyJob) -> int:
        """Return the cost predicted at dispatch, as in a tick: the predictor may have learned since the arrival."""
        assert self.predictor is not None
        assert isinstance(self.charges, list)
        self.charges[job.rank] = cost_us = self.predictor.predict(job.rank)
        return cost_us


def _room(cap: float) -> int:
    return FOREVER if cap == inf else int(cap)
