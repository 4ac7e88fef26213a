"""What a merged job costs with few and with many ended jobs in the database."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.harness.draining import NOOP_US, SETTLE_SECONDS, count_waiting, warm_up
from benchmarks.harness.filling import add_tenants, analyse, ask, fill_backlog
from benchmarks.harness.parts import NO_TARGET, Finding, MeasureFailedError
from benchmarks.harness.past import DAYS, add_past, add_past_days
from benchmarks.harness.processes import serving
from benchmarks.harness.processor import GROUPS, read_processor_seconds
from benchmarks.harness.verifying import verify_platform

PAST = (10_000, 1_000_000)
TENANTS, SLOTS = 100, 2
BACKLOG, WINDOW_SECONDS = 160_000, 8.0
FLAT = 1.5
_ENDED = "SELECT count(*) FROM scheduling_execution WHERE ended_at >= to_timestamp(%s)"


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time per job by group, in microseconds, and jobs per second."""

    past: int
    microseconds: Mapping[str, float]
    rate: float

    @property
    def total(self) -> float:
        return sum(self.microseconds.values())

    @property
    def finding(self) -> Finding:
        groups = ", ".join(f"{group} {spent:,.0f}" for group, spent in self.microseconds.items())
        return Finding(
            what=f"processor time of a merged no-op job with {self.past:,} ended jobs",
            target=NO_TARGET,
            measured=f"{self.total:,.0f} µs at {self.rate:,.0f} jobs/s",
            is_met=True,
            beside=f"{groups} µs",
        )


def measure_history(folder: Path) -> list[Finding]:
    """Measure the same tenants with few and with many ended jobs."""
    add_past_days()
    tenants = add_tenants(TENANTS, estimate_us=NOOP_US)
    costs, there = [], 0
    for past in PAST:
        add_past(tenants, past - there)
        there = past
        costs.append(_measure_cost(folder, past, tenants))
    verify_platform()
    return [*(cost.finding for cost in costs), compare(costs)]


def _measure_cost(folder: Path, past: int, tenants: Sequence[UUID]) -> Cost:
    fill_backlog(tenants, BACKLOG - count_waiting(), payload={})
    analyse()
    with serving(folder, slots=SLOTS) as processes:
        warm_up(processes)
        time.sleep(SETTLE_SECONDS)
        before, began = read_processor_seconds(processes), time.time()
        time.sleep(WINDOW_SECONDS)
        processes.require_alive()
        took, after = time.time() - began, read_processor_seconds(processes)
        ended = ask(_ENDED, [began])
    if not ended or not count_waiting():
        raise MeasureFailedError(f"{ended:,} jobs ended in {took:.0f} s, and {count_waiting():,} wait.")
    return Cost(past, {group: (after[group] - before[group]) / ended * 1e6 for group in GROUPS}, ended / took)


def compare(costs: Sequence[Cost]) -> Finding:
    """Return whether processor time and rate are the same with few and with many ended jobs."""
    times, rates = ([cost.total for cost in costs], [cost.rate for cost in costs])
    of_time, of_rate = (max(values) / min(values) for values in (times, rates))
    return Finding(
        what=f"the same from {PAST[0]:,} to {PAST[-1]:,}: greatest over least",
        target=f"≤ {FLAT:g}×",
        measured=f"{of_time:.2f}× in processor time, {of_rate:.2f}× in jobs/s",
        is_met=max(of_time, of_rate) <= FLAT,
        beside=f"{TENANTS} equal tenants in one queue, merged, from a backlog of {BACKLOG:,}, one dispatcher and one "
        f"worker with {SLOTS} slots; over {WINDOW_SECONDS:g} s by the time of all processes from /proc, PostgreSQL "
        f"with its background processes; the ended jobs are of the {DAYS} days before, each day a partition, with four "
        "events, two charges and an execution per job",
    )
