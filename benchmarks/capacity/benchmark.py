"""The capacity benchmark: waits near capacity, useful slot time, processor time and memory of the processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from django.db import connection

from benchmarks.capacity import costs, submission
from benchmarks.harness.filling import create_tenants
from benchmarks.harness.jobs import count_ended, count_waiting, drain_backlog, verify_platform, warm_up
from benchmarks.harness.parts import Benchmark, Finding, Part, at_least, at_most
from benchmarks.harness.processes import Processes, children_of, memory_of, seconds_of, serving
from benchmarks.harness.writing import writing
from benchmarks.waiting_calls import measure_waiting
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.models import Plan

SLOTS, TENANTS = 2, 20
SECONDS, SETTLE_SECONDS = 15.0, 3.0
# Jobs per submission.
EACH = 10
# Without a pause.
FLOOD = 100_000.0
DRAIN_SECONDS = 300.0
LOAD, WAIT_MS = 0.7, 250.0
SHORT_SECONDS, SHORT_JOBS, WORK_PART = 0.01, 12_000, 0.95
SLEEPS_ALONE, CHILD_MIB = 200, 120.0
STEADY, DISPATCHER_PART = 1_000.0, 0.25
_WAITS = """
SELECT percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM e.started_at - j.created_at) * 1000)
FROM scheduling_execution e JOIN scheduling_job j ON j.id = e.job_id WHERE j.created_at BETWEEN %s AND %s
"""
_ARRIVALS = (
    f"{SLOTS} slots; no-op jobs of {TENANTS} tenants by the service in a process of its own, {EACH} per submission, "
    f"the times between two exponential; over {SECONDS:.0f} s"
)


def measure_near_capacity(folder: Path) -> list[Finding]:
    """Measure the capacity while one process submits without a pause, then the waits at a fraction of it."""
    slugs = _fresh_tenants()
    with serving(folder, slots=SLOTS) as processes:
        with writing(FLOOD, slugs, each=EACH):
            warm_up(processes)
            capacity, _ = _rates(processes)
        _wait_started(processes)
        p50, p95 = _waits_at(capacity * LOAD, slugs, processes)
    verify_platform()
    return [
        at_most(
            f"submit to start at {LOAD:.0%} of capacity, p95",
            *(p95, WAIT_MS, ".0f ms"),
            f"{_ARRIVALS}; {capacity * LOAD:,.0f} of {capacity:,.0f} jobs/s, which end while that process submits "
            "without a pause, so that submitting is part of it; from the submission's transaction to the start",
            note=f" (p50 {p50:.0f})",
        )
    ]


def measure_short_jobs(folder: Path) -> list[Finding]:
    """Measure the fraction of slot time that merged jobs of 10 ms work."""
    # Without the platform; the kernel's timer adds to such a job's sleep.
    began = time.perf_counter()
    for _ in range(SLEEPS_ALONE):
        time.sleep(SHORT_SECONDS)
    alone = (time.perf_counter() - began) / SLEEPS_ALONE
    job = {"kind": "sleep", "payload": {"seconds": SHORT_SECONDS}, "estimate_us": round(SHORT_SECONDS * 1e6)}
    rate = drain_backlog(folder, SHORT_JOBS, SECONDS, slots=SLOTS, tenants=TENANTS, **job).rate
    verify_platform()
    part, asked = rate * alone / SLOTS, rate * SHORT_SECONDS / SLOTS
    return [
        at_least(
            "slot time that is work, merged jobs of 10 ms",
            *(part, WORK_PART, ".1%"),
            f"{SLOTS} slots, {SHORT_JOBS:,} jobs waiting; such a sleep takes {alone * 1e3:.2f} ms without the "
            f"platform, measured just before, which counts as work; by the 10 ms of the payload it is {asked:.1%}",
        )
    ]


def measure_steady(folder: Path) -> list[Finding]:
    """Measure the dispatcher's processor time and a child's memory at a steady rate."""
    slugs = _fresh_tenants()
    with serving(folder, slots=SLOTS) as processes, writing(STEADY, slugs, each=EACH) as read_rate:
        warm_up(processes)
        rate, part = _rates(processes)
        read_rate()
        child = max(memory_of(pid)[1] for pid in children_of(processes.workers[0].pid))
    verify_platform()
    return [
        Finding(
            what=f"the dispatcher's process at {STEADY:,.0f} jobs/s",
            target=f"≤ {DISPATCHER_PART:.0%} of a processor",
            measured=f"{part:.1%} at {rate:,.0f} jobs/s",
            is_met=part <= DISPATCHER_PART and rate >= 0.95 * STEADY,
            beside=_ARRIVALS,
        ),
        at_most(
            "memory of a child without models",
            *(child, CHILD_MIB, ".0f MiB"),
            "its proportional set size at the end of the row before",
        ),
    ]


def _fresh_tenants() -> Sequence[str]:
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=10**9)
    return [tenant.slug for tenant in create_tenants([1] * TENANTS)]


def _rates(processes: Processes) -> tuple[float, float]:
    """Return the jobs that end per second, and the dispatcher's fraction of a processor."""
    time.sleep(SETTLE_SECONDS)
    (dispatcher,) = processes.dispatchers
    spent, ended, began = seconds_of(dispatcher.pid), count_ended(), time.monotonic()
    time.sleep(SECONDS)
    processes.require_alive()
    took = time.monotonic() - began
    return (count_ended() - ended) / took, (seconds_of(dispatcher.pid) - spent) / took


def _wait_started(processes: Processes) -> None:
    processes.wait_until(lambda: count_waiting() == 0, within=DRAIN_SECONDS, what="no job waits")


def _waits_at(rate: float, slugs: Sequence[str], processes: Processes) -> tuple[float, float]:
    with writing(rate, slugs, each=EACH):
        time.sleep(SETTLE_SECONDS)
        since = read_moment()
        time.sleep(SECONDS)
        until = read_moment()
    _wait_started(processes)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_WAITS, [since, until])
        p50, p95 = cursor.fetchone()[0]
    return float(p50), float(p95)


BENCHMARK = Benchmark(
    name="capacity",
    title="What the platform needs while it works",
    parts=(
        Part("near_capacity", 1.5, measure_near_capacity),
        Part("short_jobs", 1.0, measure_short_jobs),
        Part("steady", 1.0, measure_steady),
        Part("submission", 4.0, submission.measure_submission),
        Part("cycle", 1.0, costs.measure_cycle),
        Part("history", 5.0, costs.measure_history),
        Part("waiting", 1.5, measure_waiting),
    ),
    method="PostgreSQL, Valkey and the platform's processes, all on this machine. The consistency checks find nothing "
    "after each part but `cycle`, which does not run them.",
)
