"""How soon a job starts: on an idle platform, behind a flood, and after the leading dispatcher is stopped."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from django.db import connection, transaction

from benchmarks.fair.filling import analyse, clear_platform, create_tenants, fill_backlog
from benchmarks.fair.parts import Finding
from benchmarks.fair.processes import Processes, serving
from benchmarks.fair.simulated import simulate_measure, simulate_quiet_p99
from jobsplatform.demo.measures import percentile
from jobsplatform.demo.provision import ACTOR
from scheduling.models import Job, PoolClock
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.models import Tenant

SEED = 20_261_125
JOB_SECONDS_AT_MOST = 30.0

IDLE_SLOTS, IDLE_JOBS, WARM_UP = 2, 200, 10
IDLE_PAUSE = (0.1, 0.2)
IDLE_TARGET_MS = 25.0

BACKLOGS = (1_000, 100_000, 1_000_000)
NOISY_SLOTS, NOISY_SECONDS = 2, 0.2
QUIET_JOBS = 100
QUIET_PAUSE = (0.15, 0.35)
# One slot release, the job that is longest in front of it, and what the platform may add.
QUIET_TARGET_MS = NOISY_SECONDS * 1e3 + 50

TAKEOVER_SECONDS = 2.5
TAKEOVERS = 3


def measure_idle(folder: Path) -> list[Finding]:
    """One job at a time; from the moment the submission is committed to the start, by clocks of one machine."""
    clear_platform()
    (tenant,) = create_tenants([1])
    with serving(folder, slots=IDLE_SLOTS) as processes:
        waits = _submit_and_time(processes, tenant, WARM_UP + IDLE_JOBS, IDLE_PAUSE)[WARM_UP:]
    p50, p95, p99 = (percentile(waits, part) for part in (0.5, 0.95, 0.99))
    simulated = max((tenant.wait_p95 or 0.0) for tenant in simulate_measure("idle_system").tenants)
    return [
        Finding(
            what="submit to start, nothing else to do, p95",
            target=f"≤ {IDLE_TARGET_MS:.0f} ms",
            measured=f"{p95:.1f} ms (p50 {p50:.1f}, p99 {p99:.1f})",
            is_met=p95 <= IDLE_TARGET_MS,
            beside=f"{IDLE_SLOTS} slots, utilisation below 5 %, `noop` jobs one at a time; from the commit of the "
            "submission to the row of the start, so tick, message and start statement are in it and HTTP is not",
            simulated=f"{simulated * 1e3:.0f} ms",
        )
    ]


def measure_quiet_tenant(folder: Path) -> list[Finding]:
    """The same tenant behind floods of three sizes."""
    return [_behind(folder, jobs) for jobs in BACKLOGS]


def _behind(folder: Path, jobs: int) -> Finding:
    clear_platform()
    noisy, quiet = create_tenants([1, 1])
    fill_backlog([noisy.pk], jobs, kind="sleep", payload={"seconds": NOISY_SECONDS})
    analyse()
    with serving(folder, slots=NOISY_SLOTS) as processes:
        waits = _submit_and_time(processes, quiet, WARM_UP + QUIET_JOBS, QUIET_PAUSE)[WARM_UP:]
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    return Finding(
        what=f"quiet tenant's p99 start behind {jobs:,} waiting jobs of a noisy one",
        target=f"≤ {QUIET_TARGET_MS:.0f} ms, the same at each size",
        measured=f"{p99:.0f} ms (p50 {p50:.0f})",
        is_met=p99 <= QUIET_TARGET_MS,
        beside=f"{NOISY_SLOTS} slots, all of them busy with jobs of {NOISY_SECONDS * 1e3:.0f} ms, "
        f"{QUIET_JOBS} `noop` jobs",
        simulated=f"{simulate_quiet_p99(jobs) * 1e3:.0f} ms (4 slots, jobs of 1,000 ms)",
    )


def measure_takeover(folder: Path) -> list[Finding]:
    """Stop the leading dispatcher in the middle of a tick, and see when a job starts through another."""
    times = []
    for _ in range(TAKEOVERS):
        clear_platform()
        (tenant,) = create_tenants([1])
        with serving(folder, slots=IDLE_SLOTS, dispatchers=2) as processes:
            _submit_and_time(processes, tenant, WARM_UP, IDLE_PAUSE)
            times.append(_take_over(processes, tenant))
    return [
        Finding(
            what="another dispatcher takes over from one that is stopped in the middle of a tick",
            target=f"≤ {TAKEOVER_SECONDS} s",
            measured=f"{max(times):.2f} s at worst of {TAKEOVERS}",
            is_met=max(times) <= TAKEOVER_SECONDS,
            beside="2 dispatchers; from SIGSTOP of the one that holds the pool's lock to the start of a waiting job",
        )
    ]


def _take_over(processes: Processes, tenant: Tenant) -> float:
    """Seconds from the stop to the start. The other one is held still until the first surely leads."""
    leader, other = processes.dispatchers
    other.send_signal(signal.SIGSTOP)
    with all_tenants(), transaction.atomic():
        list(PoolClock.objects.select_for_update().all())
        processes.wait_until(_is_anybody_blocked, within=JOB_SECONDS_AT_MOST, what="a tick waits for us")
        os.kill(leader.pid, signal.SIGSTOP)
        stopped_at = time.time()
    other.send_signal(signal.SIGCONT)
    job_id = _submit(tenant)
    processes.wait_until(lambda: _started_at(job_id) is not None, within=JOB_SECONDS_AT_MOST, what="the job starts")
    return (_started_at(job_id) or 0.0) - stopped_at


def _submit_and_time(processes: Processes, tenant: Tenant, jobs: int, pause: tuple[float, float]) -> Sequence[float]:
    """Submit no-op jobs one at a time; milliseconds from each commit to its start."""
    chance = random.Random(SEED)  # noqa: S311 - pauses, not secrets
    waits = []
    for _ in range(jobs):
        job_id = _submit(tenant)
        committed_at = time.time()
        # So long that the look at the job does not disturb what it measures, and so random that no rhythm is met.
        time.sleep(chance.uniform(*pause))
        processes.wait_until(
            lambda job_id=job_id: _started_at(job_id) is not None, within=JOB_SECONDS_AT_MOST, what="the job starts"
        )
        waits.append(max(0.0, (_started_at(job_id) or 0.0) - committed_at) * 1e3)
    return waits


def _submit(tenant: Tenant) -> UUID:
    with acting_as(ACTOR), tenant_context(tenant):
        bulk = submit_jobs(tenant=tenant, requests=[JobRequest(kind="noop")], is_whole=True)
    return bulk.accepted[0][1].job.pk


def _started_at(job_id: UUID) -> float | None:
    with all_tenants():
        started = Job.objects.values_list("started_at", flat=True).get(pk=job_id)
    return started.timestamp() if started else None


def _is_anybody_blocked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])
