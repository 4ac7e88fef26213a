"""Time slices in the simulation: a job that has used its slice yields when somebody less served waits for the slot."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappush
from typing import Any

from scheduling.fairness.simulated_slots import Simulation, Timeline
from scheduling.fairness.simulated_tree import Entity

# Jobs looked at in order to find who yields: with tiny slices on very many slots a replay would never end.
MOST_LOOKS = 2_000_000


class SlicedSimulation(Simulation):
    """Jobs that fit into a slice run as ever; of the others ``left`` is the work that is left, ``began`` when the
    hand-out began, and ``used_up`` holds those whose slice is over.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self.left: dict[int, int] = {}
        self.began: dict[int, int] = {}
        self.charged: dict[int, int] = {}
        self.used_up: set[int] = set()
        self.looks = 0
        super().__init__(*args, **options)

    def run(self) -> Timeline:
        timeline = super().run()
        timeline.spans += [(job, began, began + self.left[job]) for job, began in self.began.items()]
        timeline.spans.sort(key=lambda span: (span[1], span[0]))
        return timeline

    def fill(self) -> None:
        super().fill()
        while self.used_up and not self.timeline.is_unsliced and (head := self.tree.head()) is not None:
            self.looks += len(self.used_up) + len(self.in_slots)
            if self.looks > MOST_LOOKS:
                self.timeline.is_unsliced = True
                return
            # The most served of them yields; jobs ask at their next safe point, which is taken to be at once.
            job = max(self.used_up, key=lambda job: (_served(self.entity_of[job], head), job))
            if not _is_less_served(head, self.entity_of[job]):
                return
            self._yield(job)
            super().fill()

    def choose_charge(self) -> Callable[[int], int]:
        charge_whole, granularity_us = super().choose_charge(), self.rules.granularity_us

        def charge(job: int) -> int:
            """What is left of it, as far as is believed."""
            cost_us = self.arrivals.cost_us[job]
            if cost_us <= granularity_us:
                return charge_whole(job)
            self.charged[job] = charged = max(1, charge_whole(job) - cost_us + self.left.get(job, cost_us))
            return charged

        return charge

    def hold(self, job: int) -> None:
        if self.arrivals.cost_us[job] <= self.rules.granularity_us:
            super().hold(job)
            return
        left = self.left.setdefault(job, self.arrivals.cost_us[job])
        self.began[job] = self.now
        heappush(self.in_slots, (self.now + min(left, self.rules.granularity_us), job))

    def end(self, job: int) -> None:
        if job not in self.began:
            super().end(job)
            return
        left, began = self.left[job], self.began[job]
        if began + left > self.now:
            self.used_up.add(job)
            heappush(self.in_slots, (began + left, job))
            return
        self._release(job)
        if self.predictor is not None:
            self.predictor.learn(job, self.arrivals.cost_us[job])

    def _yield(self, job: int) -> None:
        self.in_slots[:] = [slot for slot in self.in_slots if slot[1] != job]
        heapify(self.in_slots)
        self._release(job)
        self.tree.give_back(self.entity_of[job], job)
        self.tree.admit_freed()

    def _release(self, job: int) -> None:
        began = self.began.pop(job)
        used = self.now - began
        self.used_up.discard(job)
        self.left[job] -= used
        self.timeline.spans.append((job, began, self.now))
        self.tree.end(self.entity_of[job], job, self.charged.get(job, used), used)


def _served(entity: Entity, head: Entity) -> int:
    return entity.vruntime if entity.queue is head.queue else entity.queue.vruntime


def _is_less_served(head: Entity, entity: Entity) -> bool:
    if head.queue is entity.queue:
        return head.vruntime < entity.vruntime
    return head.queue.vruntime < entity.queue.vruntime
