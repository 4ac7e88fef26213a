"""Whether a merged job costs the same whatever has been before, how many tenants there are and how many children."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.fair.filling import add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.fair.parts import MeasureFailedError
from benchmarks.fair.processes import Processes, serving
from benchmarks.fair.throughput import NOOP_US, SETTLE_SECONDS, wait_drained, warm_up
from benchmarks.hot_tables import Size, read_sizes
from benchmarks.outcome import Outcome, draw_rows
from benchmarks.past import DAYS, add_past, add_past_days
from benchmarks.processor_time import GROUPS, read_processor_seconds
from benchmarks.verifying import COMMAND, verify_platform

HISTORY, TENANTS, CHILDREN = "history", "tenants", "children"
LEAST_PAST, PAST, DRAINED = 10_000, 1_000_000, 1_000_000
MANY_TENANTS = (1, 100, 10_000)
MANY_CHILDREN = (2, 4, 8)
USUAL_TENANTS, USUAL_CHILDREN = 100, 2
BACKLOG, WINDOW_SECONDS = 160_000, 8.0
FLAT = 1.5
# While so many jobs pass, no more than these wait, so that a table's size is not its jobs.
WAITING_AT_MOST, REFILL = 40_000, 20_000
LOOKS = 10
LOOK_SECONDS = 0.5
STALLED_SECONDS = 60.0
# Below this a table's size says nothing of growth: what fills and empties swings with autovacuum's looks, executions in
# flight were seen between 16 and 37 MiB within a run.
SMALL_BYTES = 32 * 2**20
_ENDED = "SELECT count(*) FROM scheduling_execution WHERE ended_at >= to_timestamp(%s)"
_WAITING = "SELECT count(*) FROM scheduling_job_ready"


@dataclass(frozen=True, slots=True)
class Cost:
    """One row: at what size, microseconds of processor time a job by group, and jobs a second."""

    axis: str
    size: int
    microseconds: Mapping[str, float]
    rate: float

    @property
    def total(self) -> float:
        return sum(self.microseconds.values())


@dataclass(frozen=True, slots=True)
class Look:
    """The hot tables when so many jobs had ended."""

    ended: int
    sizes: Mapping[str, Size]


def measure(folder: Path, *, past: int = PAST, drained: int = DRAINED) -> Outcome:
    """Rows of each axis, while the other two stay as they are; then the hot tables while many jobs pass."""
    costs = [*_vary_history(folder, past), *_vary_tenants(folder), *_vary_children(folder)]
    looks = _watch_tables(folder, drained)
    missed = [*find_uneven(costs), *find_growth(looks)]
    told = "; ".join(missed)
    return Outcome(
        name="scale",
        title="What a merged job costs at all sizes",
        rows=_cost_rows(costs),
        target=f"processor time a job and jobs/s of each group of rows flat (greatest ≤ {FLAT:g}× least); no hot table "
        f"in the second half of {drained:,} jobs above {FLAT:g}× its greatest of the first half",
        is_met=not missed,
        verdict=f"missed ({told})" if told else "met",
        method=_METHOD + "\n".join(draw_rows(_table_rows(looks))),
        reproduce='make bench BENCH="scale --past 10000000"' if past > PAST else "",
    )


def _vary_history(folder: Path, past: int) -> list[Cost]:
    """The same tenants; each row adds to the history of the row before."""
    tenants = _begin(USUAL_TENANTS)
    costs, there, size = [], LEAST_PAST, LEAST_PAST
    while size <= past:
        add_past(tenants, size - there)
        there = size
        costs.append(_cost(folder, HISTORY, size, tenants, USUAL_CHILDREN))
        size *= 10
    verify_platform()
    return costs


def _vary_tenants(folder: Path) -> list[Cost]:
    costs = []
    for count in MANY_TENANTS:
        costs.append(_cost(folder, TENANTS, count, _begin(count), USUAL_CHILDREN))
        verify_platform()
    return costs


def _vary_children(folder: Path) -> list[Cost]:
    tenants = _begin(USUAL_TENANTS)
    costs = [_cost(folder, CHILDREN, count, tenants, count) for count in MANY_CHILDREN]
    verify_platform()
    return costs


def _begin(tenants: int) -> list[UUID]:
    clear_platform()
    add_past_days()
    ids = add_tenants(tenants, estimate_us=NOOP_US)
    add_past(ids, LEAST_PAST)
    return ids


def _cost(folder: Path, axis: str, size: int, tenants: Sequence[UUID], children: int) -> Cost:
    fill_backlog(tenants, BACKLOG - ask(_WAITING), payload={})
    analyse()
    with serving(folder, slots=children) as processes:
        warm_up(processes)
        time.sleep(SETTLE_SECONDS)
        before, began = read_processor_seconds(processes), time.time()
        time.sleep(WINDOW_SECONDS)
        processes.require_alive()
        took, after = time.time() - began, read_processor_seconds(processes)
        ended = ask(_ENDED, [began])
    if not ended or not ask(_WAITING):
        raise MeasureFailedError(f"{ended:,} jobs ended in {took:.0f} s, and {ask(_WAITING):,} wait.")
    cost = Cost(axis, size, {group: (after[group] - before[group]) / ended * 1e6 for group in GROUPS}, ended / took)
    _say(f"{axis} {size:,}: {cost.total:,.0f} µs a job, {cost.rate:,.0f} jobs/s")
    return cost


def _watch_tables(folder: Path, drained: int) -> list[Look]:
    """Let so many jobs pass, and look at the tables ten times."""
    tenants = _begin(USUAL_TENANTS)
    began, looks, sent = time.time(), [], 0
    with serving(folder, slots=USUAL_CHILDREN) as processes:
        ended, moved_at = 0, time.monotonic()
        while ended < drained:
            waiting = sent - ended
            if sent < drained and waiting + REFILL <= WAITING_AT_MOST:
                count = min(REFILL, drained - sent)
                fill_backlog(tenants, count, payload={})
                sent += count
            time.sleep(LOOK_SECONDS)
            ended, moved_at = _progress(processes, began, ended, moved_at)
            if ended * LOOKS >= (len(looks) + 1) * drained:
                looks.append(Look(ended, read_sizes()))
                _say(f"{ended:,} jobs have passed")
        wait_drained(processes)
    verify_platform()
    return looks


def _progress(processes: Processes, began: float, ended: int, moved_at: float) -> tuple[int, float]:
    """Jobs that have ended, and when that number grew last. Raises MeasureFailedError when it does not grow."""
    processes.require_alive()
    now_ended = ask(_ENDED, [began])
    if now_ended > ended:
        return now_ended, time.monotonic()
    if time.monotonic() - moved_at > STALLED_SECONDS:
        raise MeasureFailedError(f"After {ended:,} jobs no other ended for {STALLED_SECONDS:.0f} s.")
    return ended, moved_at


def _cost_rows(costs: Sequence[Cost]) -> list[list[str]]:
    rows = [["what varies", "at", *(f"{group}, µs a job" for group in GROUPS), "all", "ratio", "jobs/s", "ratio"]]
    for cost in costs:
        first = next(other for other in costs if other.axis == cost.axis)
        rows.append(
            [
                _AXES[cost.axis],
                f"{cost.size:,}",
                *(f"{cost.microseconds[group]:,.0f}" for group in GROUPS),
                f"{cost.total:,.0f}",
                f"{cost.total / first.total:.2f}×",
                f"{cost.rate:,.0f}",
                f"{cost.rate / first.rate:.2f}×",
            ]
        )
    return rows


_METHOD = f"""`noop` jobs of equal tenants in one queue, merged, from a backlog of {BACKLOG:,}; each row is measured \
for {WINDOW_SECONDS:g} s by the time of all processes from /proc, PostgreSQL with its background processes. Where a \
row does not say otherwise: {LEAST_PAST:,} ended jobs of the {DAYS} days before, each day a partition, with four \
events, two charges and an execution a job; {USUAL_TENANTS} tenants; one dispatcher and one worker with \
{USUAL_CHILDREN} children. `{COMMAND}` is clean after each group.

## The hot tables while jobs pass

{USUAL_TENANTS} tenants, at most {WAITING_AT_MOST:,} jobs waiting; sizes with indexes in MiB; dead rows and vacuums as \
PostgreSQL counts them.

"""
_AXES = {HISTORY: "jobs that have ended", TENANTS: "tenants", CHILDREN: "children of the worker"}


def find_uneven(costs: Sequence[Cost]) -> list[str]:
    """Sentences about groups of rows that are not flat."""
    found = []
    for axis, words in _AXES.items():
        of_axis = [cost for cost in costs if cost.axis == axis]
        for what, values in (
            ("processor time", [cost.total for cost in of_axis]),
            ("jobs/s", [cost.rate for cost in of_axis]),
        ):
            if values and (ratio := max(values) / min(values)) > FLAT:
                found.append(f"{what} by {words}: {ratio:.2f}×")
    return found


def find_growth(looks: Sequence[Look]) -> list[str]:
    """Sentences about hot tables that are larger in the second half than they ever were in the first."""
    half = len(looks) // 2
    found = []
    for what in looks[0].sizes:
        sizes = [look.sizes[what].whole for look in looks]
        first, second = max([*sizes[:half], SMALL_BYTES]), max(sizes[half:])
        if second > FLAT * first:
            found.append(f"{what} grew from {first / 2**20:.1f} to {second / 2**20:.1f} MiB")
    return found


def _table_rows(looks: Sequence[Look]) -> list[list[str]]:
    picked = [looks[0], looks[len(looks) // 2 - 1], looks[-1]]
    after = [f"after {look.ended:,}" for look in picked]
    rows = [["table", *after, "greatest", "of it indexes", "dead rows at most", "dead rows in the end", "vacuums"]]
    for what in looks[0].sizes:
        sizes = [look.sizes[what] for look in looks]
        greatest = max(sizes, key=lambda size: size.whole)
        rows.append(
            [
                what,
                *(_mib(look.sizes[what].whole) for look in picked),
                _mib(greatest.whole),
                _mib(greatest.indexes),
                f"{max(size.dead for size in sizes):,}",
                f"{sizes[-1].dead:,}",
                f"{sizes[-1].vacuums - sizes[0].vacuums:,}",
            ]
        )
    return rows


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
