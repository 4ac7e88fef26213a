"""What a merged job costs with few and with many ended jobs in the database."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.harness.draining import NOOP_US, SETTLE_SECONDS, count_waiting, warm_up
from benchmarks.harness.filling import add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.harness.outcome import Outcome
from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.processes import serving
from benchmarks.harness.processor import GROUPS, read_processor_seconds
from benchmarks.harness.verifying import COMMANDS, verify_platform
from benchmarks.past import DAYS, add_past, add_past_days

LEAST_PAST, PAST = 10_000, 1_000_000
TENANTS, SLOTS = 100, 2
BACKLOG, WINDOW_SECONDS = 160_000, 8.0
FLAT = 1.5
_ENDED = "SELECT count(*) FROM scheduling_execution WHERE ended_at >= to_timestamp(%s)"


@dataclass(frozen=True, slots=True)
class Cost:
    """One row: the number of ended jobs, microseconds of processor time per job by group, and jobs per second."""

    past: int
    microseconds: Mapping[str, float]
    rate: float

    @property
    def total(self) -> float:
        return sum(self.microseconds.values())


def measure(folder: Path, *, past: int = PAST) -> Outcome:
    """Measure at 10,000 ended jobs, then at ten times as many, up to ``past``."""
    clear_platform()
    add_past_days()
    tenants = add_tenants(TENANTS, estimate_us=NOOP_US)
    costs, there, size = [], 0, LEAST_PAST
    while size <= past:
        add_past(tenants, size - there)
        there = size
        costs.append(_cost(folder, size, tenants))
        size *= 10
    verify_platform()
    missed = find_uneven(costs)
    return Outcome(
        name="scale",
        title="What a merged job costs with many ended jobs",
        rows=_rows(costs),
        target=f"processor time per job and jobs/s flat (greatest ≤ {FLAT:g}× least)",
        is_met=not missed,
        verdict=f"missed ({'; '.join(missed)})" if missed else "met",
        method=_METHOD,
        reproduce='make bench BENCH="scale --past 10000000"' if past > PAST else "",
    )


def _cost(folder: Path, past: int, tenants: Sequence[UUID]) -> Cost:
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
    cost = Cost(past, {group: (after[group] - before[group]) / ended * 1e6 for group in GROUPS}, ended / took)
    sys.stdout.write(f"{past:,} ended jobs: {cost.total:,.0f} µs per job, {cost.rate:,.0f} jobs/s\n")
    sys.stdout.flush()
    return cost


def _rows(costs: Sequence[Cost]) -> list[list[str]]:
    rows = [["ended jobs", *(f"{group}, µs per job" for group in GROUPS), "all", "ratio", "jobs/s", "ratio"]]
    rows += [
        [
            f"{cost.past:,}",
            *(f"{cost.microseconds[group]:,.0f}" for group in GROUPS),
            f"{cost.total:,.0f}",
            f"{cost.total / costs[0].total:.2f}×",
            f"{cost.rate:,.0f}",
            f"{cost.rate / costs[0].rate:.2f}×",
        ]
        for cost in costs
    ]
    return rows


def find_uneven(costs: Sequence[Cost]) -> list[str]:
    """Return a sentence for each of processor time and rate that differs too much between the rows."""
    found = []
    for what, values in (
        ("processor time", [cost.total for cost in costs]),
        ("jobs/s", [cost.rate for cost in costs]),
    ):
        if (ratio := max(values) / min(values)) > FLAT:
            found.append(f"{what}: {ratio:.2f}×")
    return found


_METHOD = f"""`noop` jobs of {TENANTS} equal tenants in one queue, merged, from a backlog of {BACKLOG:,}, on one \
dispatcher and one worker with {SLOTS} slots; each row is measured for {WINDOW_SECONDS:g} s by the time of all \
processes from /proc, PostgreSQL with its background processes. The ended jobs are of the {DAYS} days before, each \
day a partition, with four events, two charges and an execution per job. \
{", ".join(f"`{name}`" for name in COMMANDS)} are clean afterwards."""
