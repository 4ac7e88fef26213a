"""Switching the edition under a backlog: how fast it moves, and how long the longest turn keeps a dispatcher."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.outcome import Outcome
from scheduling.models import BacklogMove, CFSPlan, JobReady, WorkerPool
from scheduling.services import backlog
from scheduling.services.backlog import move_turn
from scheduling.services.cfs_plans import activate_cfs_plan
from scheduling.services.consistency.verification import verify
from scheduling.services.dispatching import run_tick
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from tenants.context import all_tenants
from tenants.models import Plan
from tenants.services.tenants import create_tenant

TENANTS = 100
JOBS_EACH = int(os.environ.get("BENCH_BACKLOG_JOBS", "1000"))
BATCH = 500
TARGET_PER_SECOND = 5_000


def measure(folder: Path) -> Outcome:
    """Move the backlog from cloud to community and back."""
    del folder
    backlog.SETTLE_SECONDS = 0.0
    _fill()
    rows: list[list[str]] = [["from → to", "jobs", "seconds", "jobs a second", "longest turn"]]
    slowest = float("inf")
    for names in (("cloud", "community"), ("community", "cloud")):
        jobs, seconds, longest = _switch(names[1])
        slowest = min(slowest, jobs / seconds)
        rows.append(
            [" → ".join(names), f"{jobs:,}", f"{seconds:.1f}", f"{jobs / seconds:,.0f}", f"{longest * 1e3:.0f} ms"]
        )
    with all_tenants():
        is_whole = JobReady.objects.count() == TENANTS * JOBS_EACH
    for pool in WorkerPool.objects.all():
        run_tick(pool.pk)
    is_counted = verify(["counters", "ready"]).is_clean
    return Outcome(
        name="backlog",
        title="Switching the edition under a backlog",
        rows=rows,
        target=f"{TARGET_PER_SECOND:,} jobs a second, none lost, counters recounted",
        is_met=slowest >= TARGET_PER_SECOND and is_whole and is_counted,
        method=(
            f"{TENANTS * JOBS_EACH:,} ready jobs of {TENANTS} tenants; the other CFS plan is activated and one process"
            " takes the turns of the move, each a transaction of at most 2,000 jobs with their history, until a last"
            " pass over everything finds nothing more. The time includes that pass."
        ),
    )


def _fill() -> None:
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=10**9)
    if not CFSPlan.objects.get(name="cloud").is_active:
        activate_cfs_plan(plan=CFSPlan.objects.get(name="cloud"))
    for number in range(TENANTS):
        tenant = create_tenant(slug=f"backlog-{number}", plan=("sandbox", "team", "professional")[number % 3])
        for _ in range(JOBS_EACH // BATCH):
            submit_jobs(tenant=tenant, requests=[JobRequest(kind="noop")] * BATCH)


def _switch(name: str) -> tuple[int, float, float]:
    activate_cfs_plan(plan=CFSPlan.objects.get(name=name), reason="benchmark")
    moved, longest, began = 0, 0.0, time.perf_counter()
    while BacklogMove.objects.filter(is_open=True).exists():
        turn = time.perf_counter()
        moved += move_turn()
        longest = max(longest, time.perf_counter() - turn)
    return moved, time.perf_counter() - began, longest
