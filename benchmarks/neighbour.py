"""The benchmark of neighbours: how much a job that spins, or one that eats memory, slows the jobs of another tenant."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from benchmarks.harness.filling import ask, clear_platform, create_tenants, run_statement
from benchmarks.harness.jobs import DRAIN_SECONDS, NOOP, WARM_UP_JOBS, submit_one, verify_platform
from benchmarks.harness.parts import Benchmark, Finding, Part, at_most, shown
from benchmarks.harness.processes import Processes, serving
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.provision import ACTOR
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.topology.models import MemoryClass
from tenants.context import acting_as, tenant_context
from tenants.models import Tenant

ROUNDS, SECONDS, SLOTS = 3, float(os.environ.get("NEIGHBOUR_SECONDS", "25")), 4
A_SECOND, MOST_RATIO, NOISY_PLAN = 10.0, 1.5, "sandbox"
# A job that spins ends before its timeout of two seconds; one that eats memory wants twice what its child has.
SPINS = JobRequest(kind="spin", payload={"seconds": 1.5}, max_retries=0)
EATS = JobRequest(kind="allocate", payload={"mebibytes": 2 * MemoryClass.LARGE, "seconds": 1.5}, max_retries=0)
NOISES: Mapping[str, JobRequest | None] = {"alone": None, "spins": SPINS, "eats": EATS}
# One of them begins every so many seconds.
NOISE_SECONDS = 1.6
_OPEN = """
SELECT count(*) FROM scheduling_job WHERE state IN ('scheduled', 'available', 'dispatched', 'executing')
"""
_STARTED = """
SELECT count(*) FROM scheduling_jobevent e JOIN scheduling_job j ON j.id = e.job_id AND j.kind = %s
WHERE e.name = 'execution.started'
"""
_TIMES = """
SELECT extract(epoch FROM e.at - j.created_at)::float8
FROM scheduling_job j JOIN scheduling_jobevent e ON e.job_id = j.id AND e.name = 'execution.completed'
WHERE j.id = ANY(%(jobs)s)
"""


def measure_neighbours(folder: Path) -> list[Finding]:
    """Time short jobs of one tenant from submission to end, alone and beside each kind of noise, in turns."""
    os.environ["CHILD_LIMITS"] = "process"
    clear_platform()
    (quiet,) = create_tenants([1])
    (noisy,) = create_tenants([1], cap=1, plan=NOISY_PLAN)
    times: dict[str, list[float]] = {name: [] for name in NOISES}
    with serving(folder, slots=SLOTS) as processes:
        _warm_up(processes, quiet)
        for _ in range(ROUNDS):
            for name, noise in NOISES.items():
                times[name] += _time_beside(processes, quiet, noisy, noise)
    verify_platform()
    p99 = {name: 1e3 * percentile(found, 0.99) for name, found in times.items()}
    p50 = {name: 1e3 * percentile(found, 0.5) for name, found in times.items()}
    beside = f"{SLOTS} slots, {A_SECOND:g} no-op jobs a second, {os.cpu_count()} cores, limits of processes only"
    findings = [shown("alone: no-op job, p99", f"{p99['alone']:.1f} ms", f"p50 {p50['alone']:.1f} ms; {beside}")]
    for name, what, noise in (
        ("spins", "a job of another tenant spins", SPINS),
        ("eats", "one wants twice the memory of its child", EATS),
    ):
        started = ask(_STARTED, [noise.kind])
        words = f"p99 {p99[name]:.1f} ms, p50 {p50[name]:.1f} ms, {len(times[name])} jobs, {started} of the other"
        ratio = p99[name] / p99["alone"]
        findings.append(at_most(f"{what}: p99, as a multiple of that alone", ratio, MOST_RATIO, ".2f", words))
    return findings


def _warm_up(processes: Processes, tenant: Tenant) -> None:
    with acting_as(ACTOR), tenant_context(tenant):
        submit_jobs(tenant=tenant, requests=[NOOP] * WARM_UP_JOBS, is_atomic=True)
    processes.wait_until(lambda: ask(_OPEN) == 0, within=DRAIN_SECONDS, what="the first jobs end")


def _time_beside(processes: Processes, quiet: Tenant, noisy: Tenant, noise: JobRequest | None) -> Sequence[float]:
    """Return the seconds from submission to end of jobs of one tenant while jobs of the other make noise."""
    if noise is not None:
        now = timezone.now()
        starts = [now + timedelta(seconds=NOISE_SECONDS * number) for number in range(int(SECONDS / NOISE_SECONDS))]
        with acting_as(ACTOR), tenant_context(noisy):
            requests = [replace(noise, run_at=at) for at in starts]
            submit_jobs(tenant=noisy, requests=requests, is_atomic=True)
    jobs, began = [], time.monotonic()
    while (elapsed := time.monotonic() - began) < SECONDS:
        jobs.append(submit_one(quiet))
        time.sleep(max(0.0, len(jobs) / A_SECOND - elapsed))
    processes.wait_until(lambda: ask(_OPEN) == 0, within=DRAIN_SECONDS, what="the jobs end")
    return [seconds for (seconds,) in run_statement(_TIMES, {"jobs": jobs})]


BENCHMARK = Benchmark(
    "neighbour",
    "Neighbours",
    (Part("neighbour", 5.0, measure_neighbours),),
    "A dispatcher and one worker. Jobs of a tenant of the plan sandbox spin for 1.5 s one after another, or want "
    "twice the memory of their child and fail. In turns of 25 s with and without them.",
)
