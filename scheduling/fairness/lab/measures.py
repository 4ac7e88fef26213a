"""Measures of a simulation: shares compared with entitlements, waits, and use of slots.

A share is compared with the entitlement over those parts of the time in which a tenant had waiting jobs throughout:
only then does the scheduler decide its share. In the other parts a tenant's demand is what it used.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements, jain_index
from scheduling.fairness.lab import Arrivals, OrderPolicy, Rules, Timeline, TreeShape, replay
from scheduling.fairness.lab.what_if import percentile_seconds
from scheduling.fairness.lab.workload import SECOND_US, Workload
from scheduling.fairness.lab.workload_costs import predictor_for

# The time is divided into this many parts, and into fewer for very many tenants.
PARTS, FEW_PARTS, MANY_TENANTS = 60, 12, 1_000


@dataclass(frozen=True, slots=True)
class SimulatedTenantMeasure:
    """The measures of one tenant.

    Shares are parts (0 to 1) of the busy time; waits are from arrival to first start, of the jobs that began. ``ratio``
    is service over entitlement while it was backlogged; None if it never was for a whole part of the time. ``series``
    holds (share, entitled share) of each part of the time.
    """

    name: str
    worker_seconds: float
    share: float
    entitled_share: float
    ratio: float | None
    starts: int
    unstarted: int
    wait_p50: float | None
    wait_p95: float | None
    wait_p99: float | None
    wait_max: float | None
    series: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class PolicyMeasure:
    """The measures of one policy.

    ``busy_while_wanted`` is the busy part of the slots over the time in which there were enough runnable jobs for all.
    """

    policy: OrderPolicy
    seconds: float
    starts: int
    hand_outs: int
    jain: float | None
    share_error: float | None
    busy: float
    busy_while_wanted: float | None
    tenants: Sequence[SimulatedTenantMeasure]


def measure_workload(
    workload: Workload, *, policies: Sequence[OrderPolicy] = (), slots: int | None = None
) -> list[PolicyMeasure]:
    """Simulate the same jobs under each policy, by default those of the workload; return the measures."""
    arrivals = workload.draw_arrivals()
    return [_measure(workload, arrivals, policy, slots or workload.slots) for policy in policies or workload.policies]


def _measure(workload: Workload, arrivals: Arrivals, policy: OrderPolicy, slots: int) -> PolicyMeasure:
    shape = workload.shape()
    rules = Rules(
        slots=slots,
        policy=policy,
        granularity_us=round(workload.granularity_seconds * SECOND_US),
        **({} if workload.seconds is None else {"until_us": round(workload.seconds * SECOND_US)}),
        **({} if workload.jobs is None else {"max_starts": workload.jobs}),
    )
    predictor = predictor_for(
        arrivals,
        [tenant.is_known for tenant in workload.tenants],
        [workload.queues[tenant.queue].expected_seconds for tenant in workload.tenants],
    )
    timeline = replay(arrivals, shape, rules, predictor=predictor)
    return _Measurement(workload, arrivals, shape, timeline, rules).conclude()


class _Measurement:
    """The counts of one run."""

    def __init__(
        self, workload: Workload, arrivals: Arrivals, shape: TreeShape, timeline: Timeline, rules: Rules
    ) -> None:
        self.workload, self.arrivals, self.shape, self.timeline, self.rules = workload, arrivals, shape, timeline, rules
        self.end_us = max(1, timeline.end_us)
        self.parts = FEW_PARTS if len(shape.caps) > MANY_TENANTS else PARTS
        count = len(shape.caps)
        self.used = [[0.0] * self.parts for _ in range(count)]
        self.waits: list[list[int]] = [[] for _ in range(count)]
        self.arrived = [0] * count
        self.moves: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        self._count()
        self.backlogged = [self._find_backlogged(moves) for moves in self.moves]
        self.totals = [sum(row[part] for row in self.used) or 1.0 for part in range(self.parts)]
        self.due = self._share_out()

    def _count(self) -> None:
        at_us, entity = self.arrivals.at_us, self.arrivals.entity
        left = list(self.arrivals.cost_us)
        has_begun = bytearray(len(at_us))
        for job, start, end in self.timeline.spans:
            tenant = entity[job]
            self._spread(tenant, start, min(end, self.end_us))
            self.moves[tenant].append((start, -1))
            left[job] -= end - start
            if left[job] > 0:
                # It yielded, and waits again.
                self.moves[tenant].append((end, 1))
            if not has_begun[job]:
                has_begun[job] = True
                self.waits[tenant].append(start - at_us[job])
        for job, at in enumerate(at_us):
            if at < self.end_us or has_begun[job]:
                self.arrived[entity[job]] += 1
                self.moves[entity[job]].append((at, 1))

    def _spread(self, tenant: int, start: float, end: float) -> None:
        """Add the use of a slot to the parts of the time that it overlaps."""
        used, width = self.used[tenant], self.end_us / self.parts
        part = min(self.parts - 1, int(start / width))
        last = min(self.parts - 1, int(end / width))
        while part < last:
            border = (part + 1) * width
            used[part] += border - start
            start, part = border, part + 1
        used[part] += end - start

    def _find_backlogged(self, moves: list[tuple[int, int]]) -> list[bool]:
        """Return, for each part, whether the tenant had waiting jobs throughout."""
        moves.sort(key=lambda move: (move[0], -move[1]))
        width, place, waiting = self.end_us / self.parts, 0, 0
        found: list[bool] = []
        for part in range(self.parts):
            while place < len(moves) and moves[place][0] <= part * width:
                waiting += moves[place][1]
                place += 1
            least = waiting
            while place < len(moves) and moves[place][0] < (part + 1) * width:
                waiting += moves[place][1]
                place += 1
                least = min(least, waiting)
            found.append(least > 0)
        return found

    def _share_out(self) -> list[list[float]]:
        """Return each tenant's entitlement to the time used in each part, by water-filling."""
        due = [[0.0] * self.parts for _ in self.used]
        width = self.end_us / self.parts
        for part in range(self.parts):
            by_queue: dict[int, list[TenantDemand[int]]] = defaultdict(list)
            for tenant, row in enumerate(self.shape.entities):
                used = self.used[tenant][part]
                cap = self.shape.caps[tenant] * width
                if not self.backlogged[tenant][part]:
                    cap = min(cap, used)
                if cap > 0:
                    by_queue[row.queue].append(TenantDemand(tenant, row.weight_milli / 1_000, cap))
            demands = [
                QueueDemand(queue, self.shape.queues[queue].weight_milli, self.shape.queues[queue].cap * width, rows)
                for queue, rows in by_queue.items()
            ]
            for (_, tenant_id), share in entitlements(self.totals[part], demands).items():
                due[tenant_id][part] = share
        return due

    def conclude(self) -> PolicyMeasure:
        """Return all measures of the run."""
        whole = sum(sum(row) for row in self.used)
        tenants = [self._describe(tenant, whole or 1.0) for tenant in range(len(self.used))]
        ratios = [row.ratio for row in tenants if row.ratio is not None]
        return PolicyMeasure(
            policy=self.rules.policy,
            seconds=self.timeline.end_us / SECOND_US,
            starts=sum(len(waits) for waits in self.waits),
            hand_outs=len(self.timeline.spans),
            jain=jain_index(ratios) if len(ratios) > 1 else None,
            share_error=max((abs(ratio - 1) for ratio in ratios), default=None),
            busy=whole / (self.rules.slots * self.end_us),
            busy_while_wanted=self._busy_while_wanted(),
            tenants=tenants,
        )

    def _describe(self, tenant: int, whole: float) -> SimulatedTenantMeasure:
        used, due, waits = self.used[tenant], self.due[tenant], sorted(self.waits[tenant])
        compared = [part for part in range(self.parts) if self.backlogged[tenant][part] and due[part] > 0]
        due_there = sum(due[part] for part in compared)
        return SimulatedTenantMeasure(
            name=self.workload.tenants[tenant].name,
            worker_seconds=sum(used) / SECOND_US,
            share=sum(used) / whole,
            entitled_share=sum(due) / whole,
            ratio=sum(used[part] for part in compared) / due_there if compared else None,
            starts=len(waits),
            unstarted=self.arrived[tenant] - len(waits),
            wait_p50=percentile_seconds(waits, 0.5),
            wait_p95=percentile_seconds(waits, 0.95),
            wait_p99=percentile_seconds(waits, 0.99),
            wait_max=waits[-1] / SECOND_US if waits else None,
            series=[(used[part] / self.totals[part], due[part] / self.totals[part]) for part in range(self.parts)],
        )

    def _busy_while_wanted(self) -> float | None:
        """Return the busy part of the slots while enough jobs for all were running, or waiting below their caps."""
        caps = [math.inf] * len(self.shape.caps) if self.rules.policy is OrderPolicy.FIFO else self.shape.caps
        waiting, running = [0] * len(caps), [0] * len(caps)
        busy = busy_us = wanted_us = last = 0
        may_run = 0.0
        for moment, tenant, to_wait, to_run in self._all_moves():
            at = min(moment, self.end_us)
            if busy + may_run >= self.rules.slots and at > last:
                busy_us += min(busy, self.rules.slots) * (at - last)
                wanted_us += self.rules.slots * (at - last)
            last = max(last, at)
            may_run -= min(waiting[tenant], max(0, caps[tenant] - running[tenant]))
            waiting[tenant] += to_wait
            running[tenant] += to_run
            busy += to_run
            may_run += min(waiting[tenant], max(0, caps[tenant] - running[tenant]))
        return busy_us / wanted_us if wanted_us else None

    def _all_moves(self) -> list[tuple[int, int, int, int]]:
        """Return (time, tenant, change of waiting, change of running), in order.

        At equal times ends come first, starts last.
        """
        entity = self.arrivals.entity
        moves = [(end, entity[job], 0, -1) for job, _, end in self.timeline.spans]
        moves += [(at, tenant, step, 0) for tenant, rows in enumerate(self.moves) for at, step in rows if step > 0]
        moves += [(start, entity[job], -1, 1) for job, start, _ in self.timeline.spans]
        moves.sort(key=lambda move: move[0])
        return moves
