"""What the platform needs while it works: the wait near its capacity, the slots' own part, a child, the dispatcher."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from benchmarks.fair.filling import add_tenants, analyse, ask, clear_platform, create_tenants, fill_backlog
from benchmarks.fair.processes import Processes, serving
from benchmarks.fair.throughput import measure_rate, warm_up
from benchmarks.job_writer import writing
from benchmarks.outcome import Outcome
from benchmarks.processor import children_of, seconds_of
from benchmarks.verifying import verify_platform
from tenants.clock import read_moment
from tenants.context import all_tenants
from tenants.models import Plan

SLOTS, TENANTS = 2, 20
SECONDS, SETTLE_SECONDS = 15.0, 3.0
# So many jobs a submission: the service is asked by many, and by most of them for few.
EACH = 10
# Without a pause.
FLOOD = 100_000.0
DRAIN_SECONDS = 300.0
LOAD, WAIT_MS = 0.7, 250.0
SHORT_SECONDS, SHORT_JOBS, WORK_PART = 0.01, 12_000, 0.95
SLEEPS_ALONE = 200
CHILD_MIB = 120.0
STEADY, DISPATCHER_PART = 1_000.0, 0.25
_WAITS = """
SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM e.started_at - j.created_at) * 1000)
FROM scheduling_execution e JOIN scheduling_job j ON j.id = e.job_id WHERE j.created_at BETWEEN %s AND %s
"""
_ENDED = "SELECT count(*) FROM scheduling_execution"
_WAITING = "SELECT count(*) FROM scheduling_job_ready"


@dataclass(frozen=True, slots=True)
class _Row:
    what: str
    target: str
    measured: str
    is_met: bool

    def cells(self) -> list[str]:
        return [self.what, self.target, self.measured, "met" if self.is_met else "**missed**"]


def measure(folder: Path) -> Outcome:
    """Each row for itself, on a platform that begins empty."""
    rows = [*_near_capacity(folder), _short_jobs(folder), *_steady(folder)]
    verify_platform()
    return Outcome(
        name="capacity",
        title="What the platform needs while it works",
        rows=[["what", "target", "measured", ""], *(row.cells() for row in rows)],
        target="every row's own",
        is_met=all(row.is_met for row in rows),
        method=f"{SLOTS} slots. Arrivals are no-op jobs of {TENANTS} tenants by the service in a process of its own, "
        f"{EACH} a submission, the times between two exponential; over {SECONDS:.0f} s. Capacity is what ends in a "
        "second while that process submits without a pause, so that submitting is in it. A wait is from the "
        "submission's transaction to the start. Slot time that is work is what the jobs' sleeps take without the "
        "platform, measured just before, over the slots' time "
        f"while {SHORT_JOBS:,} jobs wait. A child's memory is its proportional set size after the last row. "
        "`verify` is clean afterwards.",
    )


def _near_capacity(folder: Path) -> list[_Row]:
    slugs = _fresh_tenants()
    with serving(folder, slots=SLOTS) as processes:
        with writing(FLOOD, slugs, folder, each=EACH):
            warm_up(processes)
            capacity, _ = _rates(processes)
        _wait_started(processes)
        p50, p95 = _waits_at(capacity * LOAD, slugs, processes, folder)
    return [
        _Row(
            f"submit to start at {LOAD:.0%} of capacity ({capacity * LOAD:,.0f} of {capacity:,.0f} jobs/s), p95",
            f"≤ {WAIT_MS:.0f} ms",
            f"{p95:.0f} ms (p50 {p50:.0f})",
            p95 <= WAIT_MS,
        )
    ]


def _short_jobs(folder: Path) -> _Row:
    clear_platform()
    alone = _sleep_alone_seconds()
    seconds = {"seconds": SHORT_SECONDS}
    estimate = round(SHORT_SECONDS * 1e6)
    fill_backlog(add_tenants(TENANTS, estimate_us=estimate), SHORT_JOBS, kind="sleep", payload=seconds)
    analyse()
    with serving(folder, slots=SLOTS) as processes:
        warm_up(processes)
        rate = measure_rate(processes, SECONDS)
    part, asked = rate * alone / SLOTS, rate * SHORT_SECONDS / SLOTS
    measured = f"{part:.1%} ({alone * 1e3:.2f} ms each alone; by the 10 ms asked for {asked:.1%})"
    return _Row("slot time that is work, merged jobs of 10 ms", f"≥ {WORK_PART:.0%}", measured, part >= WORK_PART)


def _sleep_alone_seconds() -> float:
    """What such a job's sleep takes where nothing else runs: the system wakes nobody on the spot."""
    began = time.perf_counter()
    for _ in range(SLEEPS_ALONE):
        time.sleep(SHORT_SECONDS)
    return (time.perf_counter() - began) / SLEEPS_ALONE


def _steady(folder: Path) -> list[_Row]:
    slugs = _fresh_tenants()
    with serving(folder, slots=SLOTS) as processes, writing(STEADY, slugs, folder, each=EACH) as writer:
        warm_up(processes)
        rate, part = _rates(processes)
        writer.rate()
        child = max(_proportional_mib(pid) for pid in children_of(processes.workers[0].pid))
    return [
        _Row(
            f"the dispatcher's process at {rate:,.0f} jobs/s",
            f"≤ {DISPATCHER_PART:.0%} of a processor at {STEADY:,.0f}",
            f"{part:.1%}",
            part <= DISPATCHER_PART and rate >= 0.95 * STEADY,
        ),
        _Row("memory of a child without models", f"≤ {CHILD_MIB:.0f} MiB", f"{child:.0f} MiB", child <= CHILD_MIB),
    ]


def _fresh_tenants() -> Sequence[str]:
    clear_platform()
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=10**9)
    return [tenant.slug for tenant in create_tenants([1] * TENANTS)]


def _rates(processes: Processes) -> tuple[float, float]:
    """Jobs that end in a second, and the dispatcher's part of a processor."""
    time.sleep(SETTLE_SECONDS)
    (dispatcher,) = processes.dispatchers
    spent, ended, began = seconds_of(dispatcher.pid), ask(_ENDED), time.monotonic()
    time.sleep(SECONDS)
    processes.require_alive()
    took = time.monotonic() - began
    return (ask(_ENDED) - ended) / took, (seconds_of(dispatcher.pid) - spent) / took


def _wait_started(processes: Processes) -> None:
    processes.wait_until(lambda: ask(_WAITING) == 0, within=DRAIN_SECONDS, what="no job waits")


def _waits_at(rate: float, slugs: Sequence[str], processes: Processes, folder: Path) -> tuple[float, float]:
    with writing(rate, slugs, folder, each=EACH):
        time.sleep(SETTLE_SECONDS)
        since = read_moment()
        time.sleep(SECONDS)
        until = read_moment()
    _wait_started(processes)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_WAITS, [since, until])
        p50, p95 = cursor.fetchone()[0]
    return float(p50), float(p95)


def _proportional_mib(pid: int) -> float:
    """What a process has of memory, of what it shares its part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1_024
