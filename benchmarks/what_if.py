"""How long a what-if computes: 50,000 picks on the tree of three queues and 300 tenants, by the processor's clock."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from heapq import heappop, heappush
from pathlib import Path

from benchmarks.outcome import Outcome
from scheduling.fairness.simulation import Arrivals, Policy
from scheduling.fairness.simulation.load import Change, Load, PlanTerms, QueueTerms, TenantTerms
from scheduling.fairness.simulation.what_if import what_if

PICKS = 50_000
TENANTS, SLOTS, SEED, RUNS = 300, 16, 20_260_203, 7
TARGET_SECONDS = 0.3


def measure(folder: Path) -> Outcome:
    """Ask the same question several times, and turn a bare heap over as often."""
    load = make_load(PICKS // 2)
    change = Change(plan_weights={"sandbox": 8}, slots=SLOTS - 2)
    picks = what_if(load, change).picks
    whole = _median(lambda: what_if(load, change))
    bare = _median(lambda: _turn_heap(load.arrivals))
    return Outcome(
        name="what_if",
        title="What-if: time to answer",
        rows=[
            ["picks", "processor time (median)", "a pick", "times a bare heap of slots"],
            [f"{picks:,}", f"{whole * 1000:.0f} ms", f"{whole / picks * 1e6:.1f} µs", f"{whole / bare:.1f}"],
        ],
        target=f"{TARGET_SECONDS * 1000:.0f} ms for {PICKS:,} picks",
        is_met=whole <= TARGET_SECONDS,
        method=(
            f"{PICKS // 2:,} jobs of an hour, of {TENANTS} tenants of three plans in three queues on {SLOTS} slots, "
            "replayed as they are and with another weight and two slots less, shares and waits of both sides included; "
            f"median of {RUNS} runs. The bare heap pushes and pops as many slots' ends and does nothing else, which "
            "makes the last number comparable between machines. Reading the last hour is not in it."
        ),
    )


def make_load(jobs: int) -> Load:
    """An hour that fills the slots to nine tenths."""
    chance = random.Random(SEED)  # noqa: S311 - costs, not secrets
    mean_us = 3_600_000_000 * SLOTS * 0.9 / jobs
    arrivals = Arrivals(
        at_us=sorted(chance.randrange(3_600_000_000) for _ in range(jobs)),
        entity=[chance.randrange(TENANTS) for _ in range(jobs)],
        cost_us=[max(1, round(chance.expovariate(1 / mean_us))) for _ in range(jobs)],
    )
    plans = {"sandbox": PlanTerms(1, 2), "team": PlanTerms(2, 5), "professional": PlanTerms(4, 10)}
    names = list(plans)
    return Load(
        pool="default",
        slots=SLOTS,
        policy=Policy.TIME_SLICE,
        granularity_seconds=120,
        queues=[QueueTerms(name, weight) for name, weight in zip(names, (1, 2, 4), strict=True)],
        plans=plans,
        tenants=[TenantTerms(f"tenant-{number}", names[number % 3]) for number in range(TENANTS)],
        tiers={},
        places=[(number % 3, number) for number in range(TENANTS)],
        arrivals=arrivals,
        seconds=3_600.0,
    )


def _median(act: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        began = time.process_time()
        act()
        times.append(time.process_time() - began)
    return statistics.median(times)


def _turn_heap(arrivals: Arrivals) -> None:
    for _ in range(2):
        slots: list[tuple[int, int]] = []
        for job, cost_us in enumerate(arrivals.cost_us):
            heappush(slots, (arrivals.at_us[job] + cost_us, job))
            if len(slots) > SLOTS:
                heappop(slots)
