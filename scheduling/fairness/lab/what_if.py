"""What-if comparison: the same work replayed with the current weights and caps, and with changed ones.

>>> result = what_if(load, Change(plan_weights={"sandbox": 3}))
>>> [(line.name, line.now.share, line.after.share) for line in result.plans]
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from scheduling.fairness.entitlement import QueueDemand, TenantDemand, entitlements, jain_index
from scheduling.fairness.lab import Timeline, replay
from scheduling.fairness.lab.load import SECOND_US, Change, PoolScenario, apply_change
from scheduling.fairness.lab.workload_costs import predictor_for
from tenants.translation import translate

# The most affected tenants shown one by one.
MOST_AFFECTED = 10
# Fewer starts than this give unreliable percentiles and shares.
FEW_STARTS = 100
# Differences below these are noise of a simulation, not a loss.
LOST_PART, LATER_PART, LATER_SECONDS = 0.01, 0.05, 0.05


@dataclass(frozen=True, slots=True)
class ProjectedShare:
    """What a plan or a tenant gets in the simulated time; ``share`` is its part (0 to 1) of the pool's busy time.

    Waits are from when a job could run to its start. A job that has not started counts with its wait so far, so a wait
    as long as the simulated time means "longer". Waits are None if there are no jobs.
    """

    worker_seconds: float
    share: float
    starts: int
    unstarted: int
    wait_p50_seconds: float | None
    wait_p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class ComparedShare:
    """What a plan or a tenant gets now and after the change; ``plan`` is a tenant's plan."""

    name: str
    plan: str
    now: ProjectedShare
    after: ProjectedShare

    @property
    def lost_seconds(self) -> float:
        """Return how many seconds of worker time the change costs; negative if it brings some."""
        return self.now.worker_seconds - self.after.worker_seconds

    @property
    def later_seconds(self) -> float:
        """Return by how many seconds the 95th percentile of its waits grows."""
        return (self.after.wait_p95_seconds or 0.0) - (self.now.wait_p95_seconds or 0.0)

    @property
    def is_loser(self) -> bool:
        has_lost = self.lost_seconds > LOST_PART * self.now.worker_seconds
        is_later = self.later_seconds > max(LATER_SECONDS, LATER_PART * (self.now.wait_p95_seconds or 0.0))
        return has_lost or is_later


@dataclass(frozen=True, slots=True)
class Totals:
    """The results for the pool as a whole.

    ``jain`` is Jain's fairness index of the worker time over what the weights give for the demand; 1 is exactly fair.
    """

    worker_seconds: float
    busy_part: float
    starts: int
    unstarted: int
    jain: float


class NoteCode(StrEnum):
    """The kinds of reservations about a result."""

    NO_ARRIVALS = "no_arrivals"
    FEW_STARTS = "few_starts"
    SAMPLED = "sampled"
    NO_SLOTS = "no_slots"
    OTHER_POOLS = "other_pools"
    PREDICTED_COSTS = "predicted_costs"
    UNSLICED = "unsliced"
    RESERVED_SLOTS = "reserved_slots"


@dataclass(frozen=True, slots=True)
class Note:
    """One reservation about a result, as a text for the user."""

    code: NoteCode
    text: str


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The result of a comparison. ``losers`` are ordered by loss of worker time, then of waiting, greatest first.

    ``tenants`` are the ten most affected ones; ``picks`` counts the simulated decisions of both replays together.
    """

    pool: str
    seconds: float
    arrivals: int
    picks: int
    now: Totals
    after: Totals
    plans: Sequence[ComparedShare]
    tenants: Sequence[ComparedShare]
    losers: Sequence[ComparedShare]
    notes: Sequence[Note]


def what_if(
    load: PoolScenario, change: Change, *, notes: Sequence[Note] = (), now: ScenarioResult | None = None
) -> WhatIf:
    """Replay the scenario now and after the change; return the comparison. Raise UnknownNameError.

    ``now`` is a replay of the unchanged scenario, if the caller has one. There are no side effects.
    """
    changed = apply_change(load, change)
    now, after = now or ScenarioResult(load), ScenarioResult(changed)
    names = [tenant.slug for tenant in load.tenants]
    plans = [tenant.plan for tenant in load.tenants]
    by_tenant = _lines(now.outcomes(names), after.outcomes(names), dict(zip(names, plans, strict=True)))
    affected = sorted(by_tenant, key=lambda line: (-abs(line.lost_seconds), -abs(line.later_seconds), line.name))
    losers = sorted(
        (line for line in by_tenant if line.is_loser),
        key=lambda line: (-line.lost_seconds, -line.later_seconds, line.name),
    )
    return WhatIf(
        pool=load.pool,
        seconds=load.seconds,
        arrivals=len(load.arrivals) * load.stands_for,
        picks=len(now.timeline.spans) + len(after.timeline.spans),
        now=now.totals(),
        after=after.totals(),
        plans=_lines(now.outcomes(plans), after.outcomes(plans), {plan: plan for plan in plans}),
        tenants=affected[:MOST_AFFECTED],
        losers=losers[:MOST_AFFECTED],
        notes=[
            *_notes(load, min(now.starts, after.starts)),
            *_slice_notes(is_unsliced=now.timeline.is_unsliced or after.timeline.is_unsliced),
            *notes,
        ],
    )


class ScenarioResult:
    """The result of replaying one scenario, with counts by tenant; it does not change after its creation."""

    def __init__(self, load: PoolScenario) -> None:
        self.load = load
        predictor = predictor_for(
            load.arrivals, load.known, [load.queues[queue].expected_seconds for queue, _ in load.places]
        )
        self.timeline: Timeline = replay(
            load.arrivals, load.shape(), load.rules(), predictor=predictor, running=load.running
        )
        count = len(load.tenants)
        self.busy_us = [0] * count
        self.started = [0] * count
        self.unstarted = [0] * count
        self.waits_us: list[list[int]] = [[] for _ in range(count)]
        self._count()

    def _count(self) -> None:
        arrivals, end_us = self.load.arrivals, self.timeline.end_us
        tenant_of = [self.load.places[place][1] for place in arrivals.entity]
        has_begun = bytearray(len(arrivals))
        for job in range(self.load.running):
            has_begun[job] = True
        for job, start_us, stop_us in self.timeline.spans:
            tenant = tenant_of[job]
            self.busy_us[tenant] += max(0, min(stop_us, end_us) - start_us)
            if not has_begun[job]:
                has_begun[job] = True
                self.started[tenant] += 1
                self.waits_us[tenant].append(start_us - arrivals.at_us[job])
        for job, tenant in enumerate(tenant_of):
            if not has_begun[job] and arrivals.at_us[job] < end_us:
                self.unstarted[tenant] += 1
                self.waits_us[tenant].append(end_us - arrivals.at_us[job])

    @property
    def starts(self) -> int:
        return sum(self.started)

    def outcomes(self, names: Sequence[str]) -> dict[str, ProjectedShare]:
        """Return the results by name, where ``names`` has a name for each tenant; equal names are summed."""
        members: dict[str, list[int]] = defaultdict(list)
        for tenant, name in enumerate(names):
            members[name].append(tenant)
        whole = sum(self.busy_us) or 1
        return {name: self._outcome(tenants, whole) for name, tenants in members.items()}

    def _outcome(self, tenants: Iterable[int], whole_us: int) -> ProjectedShare:
        tenants = list(tenants)
        waits = sorted(wait for tenant in tenants for wait in self.waits_us[tenant])
        busy_us = sum(self.busy_us[tenant] for tenant in tenants)
        return ProjectedShare(
            worker_seconds=busy_us / SECOND_US,
            share=busy_us / whole_us,
            starts=sum(self.started[tenant] for tenant in tenants) * self.load.stands_for,
            unstarted=sum(self.unstarted[tenant] for tenant in tenants) * self.load.stands_for,
            wait_p50_seconds=percentile_seconds(waits, 0.5),
            wait_p95_seconds=percentile_seconds(waits, 0.95),
        )

    def totals(self) -> Totals:
        busy_us = sum(self.busy_us)
        offered_us = self.load.slots * self.timeline.end_us
        return Totals(
            worker_seconds=busy_us / SECOND_US,
            busy_part=busy_us / offered_us if offered_us else 0.0,
            starts=self.starts * self.load.stands_for,
            unstarted=sum(self.unstarted) * self.load.stands_for,
            jain=self._jain(),
        )

    def _jain(self) -> float:
        """Return Jain's index of delivered time over the entitlements to it, given the demand."""
        load = self.load
        asked_us: dict[tuple[int, int], int] = defaultdict(int)
        for place, at_us, cost_us in zip(load.arrivals.entity, load.arrivals.at_us, load.arrivals.cost_us, strict=True):
            asked_us[load.places[place]] += min(cost_us, max(0, self.timeline.end_us - at_us))
        by_queue: dict[int, list[TenantDemand[int]]] = defaultdict(list)
        for (queue, tenant), wanted_us in asked_us.items():
            terms = load.tenants[tenant]
            weight = load.plans[terms.plan].weight * terms.factor
            cap = min(wanted_us, load.cap_of(terms) * self.timeline.end_us)
            by_queue[queue].append(TenantDemand(tenant, weight, cap))
        demands = [
            QueueDemand(queue, load.queue_weight(load.queues[queue]), math.inf, tenants)
            for queue, tenants in by_queue.items()
        ]
        due: dict[int, float] = defaultdict(float)
        for (_, tenant_id), share in entitlements(sum(self.busy_us), demands).items():
            due[tenant_id] += share
        return jain_index([self.busy_us[tenant] / share for tenant, share in due.items() if share > 0])


def percentile_seconds(ordered_us: Sequence[int], part: float) -> float | None:
    """Return the percentile ``part`` (0 to 1) of sorted waits, in seconds; None if there are no waits."""
    if not ordered_us:
        return None
    return ordered_us[max(0, math.ceil(part * len(ordered_us)) - 1)] / SECOND_US


def _lines(
    now: Mapping[str, ProjectedShare], after: Mapping[str, ProjectedShare], plans: Mapping[str, str]
) -> list[ComparedShare]:
    return [ComparedShare(name, plans[name], outcome, after[name]) for name, outcome in sorted(now.items())]


def _notes(load: PoolScenario, starts: int) -> list[Note]:
    notes: list[Note] = []
    if not len(load.arrivals):
        notes.append(Note(NoteCode.NO_ARRIVALS, translate("Nothing to compare: no jobs arrived or waited.")))
    elif load.slots == 0:
        notes.append(Note(NoteCode.NO_SLOTS, translate("The pool has no slots now, so no job would start.")))
    elif starts < FEW_STARTS:
        notes.append(
            Note(
                NoteCode.FEW_STARTS,
                translate("Only %(starts)s jobs would start, too few for reliable percentiles.", {"starts": starts}),
            )
        )
    if load.stands_for > 1:
        text = translate(
            "One arrival in %(count)s was replayed and represents %(count)s; waits are approximate.",
            {"count": load.stands_for},
        )
        notes.append(Note(NoteCode.SAMPLED, text))
    return notes


def _slice_notes(*, is_unsliced: bool) -> list[Note]:
    if not is_unsliced:
        return []
    text = translate(
        "There were too many time slices to replay: after some time, jobs kept their slots until they ended."
    )
    return [Note(NoteCode.UNSLICED, text)]
