"""The time until a job starts: on an idle platform, behind floods, and after the loss of a dispatcher or worker."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from uuid import UUID

from django.db import connection, transaction

from benchmarks.fairness.simulated import measure_row
from benchmarks.harness.filling import analyse, clear_platform, create_tenants, fill_backlog
from benchmarks.harness.jobs import JOB_SECONDS_AT_MOST, Meter, submit_one, time_starts, wait_started
from benchmarks.harness.parts import Finding, MeasureFailedError, at_most
from benchmarks.harness.processes import Processes, serving
from jobsplatform.demo.measures import percentile
from scheduling.jobs.requests import JobRequest
from scheduling.models import LiveExecution, PoolClock, Worker
from tenants.context import all_tenants
from tenants.models import Tenant

SLOTS, WARM_UP, PAUSE = 2, 10, (0.1, 0.2)
IDLE_JOBS, IDLE_DISPATCHERS, IDLE_TARGET_MS = 150, (1, 2, 5), 25.0
BACKLOGS, NOISY_SECONDS, QUIET_JOBS, QUIET_PAUSE = (1_000, 100_000, 1_000_000), 0.2, 200, (0.15, 0.35)
# After so many of the quiet tenant's jobs, as many of the noisy one's are added as the slots have done meanwhile.
REFILL_EVERY, REFILL_JOBS = 20, 60
# One slot release, that is the longest job in front, and the platform's own time.
QUIET_TARGET_MS = NOISY_SECONDS * 1e3 + 50
# "The same" for a 99th percentile of 200 waits, each of which is up to a whole slot release.
SAME_TARGET = 1.25
TAKEOVER_SECONDS, TAKEOVERS, KILL_SECONDS, KILLS = 2.5, 3, 15.0, 3
# Long enough to be running when its worker is killed, and short enough to wait for afterwards.
KILLED_JOB = JobRequest(kind="sleep", payload={"seconds": 4.0})
_BLOCKED = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"


def measure_idle(folder: Path) -> list[Finding]:
    """Measure one job at a time, from the commit of its submission to its start, by clocks of one machine."""
    return [_idle(folder, dispatchers) for dispatchers in IDLE_DISPATCHERS]


def _idle(folder: Path, dispatchers: int) -> Finding:
    clear_platform()
    (tenant,) = create_tenants([1])
    with serving(folder, slots=SLOTS, dispatchers=dispatchers) as processes:
        time_starts(processes, tenant, WARM_UP, PAUSE)
        with Meter(processes, slots=SLOTS) as meter:
            waits = time_starts(processes, tenant, IDLE_JOBS, PAUSE)
    p50, p95, p99 = (percentile(waits, part) for part in (0.5, 0.95, 0.99))
    which = "1 dispatcher" if dispatchers == 1 else f"{dispatchers} dispatchers"
    return at_most(
        f"submit to start, nothing else to do, {which}, p95",
        *(p95, IDLE_TARGET_MS, ".1f ms"),
        f"{SLOTS} slots, {IDLE_JOBS} `noop` jobs one at a time; from the commit of the submission to the row of the "
        f"start, so tick, message and start statement are in it and HTTP is not; {meter.words}",
        note=f" (p50 {p50:.1f}, p99 {p99:.1f})",
        simulated=f"{measure_row('idle_system').value * 1e3:.0f} ms",
    )


def measure_quiet_tenant(folder: Path) -> list[Finding]:
    """Measure the same tenant behind floods of three sizes, and compare the sizes."""
    found = [_behind(folder, jobs) for jobs in BACKLOGS]
    p50s, p99s = [p50 for p50, _, _ in found], [p99 for _, p99, _ in found]
    simulated = [measure_row(f"quiet_tenant_behind_{jobs}").value for jobs in BACKLOGS]
    rows = [
        at_most(
            f"quiet tenant's p99 start behind {jobs:,} waiting jobs of a noisy one",
            *(p99, QUIET_TARGET_MS, ".0f ms"),
            f"{SLOTS} slots, jobs of {NOISY_SECONDS * 1e3:.0f} ms, kept at their number while {QUIET_JOBS} `noop` jobs "
            f"are submitted one at a time; {metered}; the simulation has the same slots and lengths",
            note=f" (p50 {p50:.0f})",
            simulated=f"{wait * 1e3:.0f} ms",
        )
        for jobs, (p50, p99, metered), wait in zip(BACKLOGS, found, simulated, strict=True)
    ]
    ratio = at_most(
        f"the same from {BACKLOGS[0]:,} to {BACKLOGS[-1]:,}: greatest p99 over least",
        *(max(p99s) / min(p99s), SAME_TARGET, ".2f×"),
        f"the three rows before; the greatest p99 is the one behind {BACKLOGS[p99s.index(max(p99s))]:,}",
        note=f" (p50 {max(p50s) / min(p50s):.2f}×)",
        simulated=f"{max(simulated) / min(simulated):.2f}×" if min(simulated) else "–",
    )
    return [*rows, ratio]


def _behind(folder: Path, jobs: int) -> tuple[float, float, str]:
    """Return the quiet tenant's p50 and p99 in milliseconds, and the meter's text."""
    clear_platform()
    noisy, quiet = create_tenants([1, 1])
    _flood(noisy, jobs)
    analyse()

    def keep_full(number: int) -> None:
        if number and number % REFILL_EVERY == 0:
            _flood(noisy, REFILL_JOBS)

    with serving(folder, slots=SLOTS) as processes:
        time_starts(processes, quiet, WARM_UP, QUIET_PAUSE)
        with Meter(processes, slots=SLOTS) as meter:
            waits = time_starts(processes, quiet, QUIET_JOBS, QUIET_PAUSE, between=keep_full)
    return percentile(waits, 0.5), percentile(waits, 0.99), meter.words


def _flood(noisy: Tenant, jobs: int) -> None:
    fill_backlog([noisy.pk], jobs, kind="sleep", payload={"seconds": NOISY_SECONDS})


def measure_takeover(folder: Path) -> list[Finding]:
    """Stop the leading dispatcher in the middle of a tick; measure the time until a job starts through another."""
    times, words = [], ""
    for _ in range(TAKEOVERS):
        clear_platform()
        (tenant,) = create_tenants([1])
        with serving(folder, slots=SLOTS, dispatchers=2) as processes:
            time_starts(processes, tenant, WARM_UP, PAUSE)
            with Meter(processes, slots=SLOTS) as meter:
                times.append(_take_over(processes, tenant))
        words = meter.words
    return [
        at_most(
            "another dispatcher takes over from one that is stopped in the middle of a tick",
            *(max(times), TAKEOVER_SECONDS, ".2f s"),
            f"{SLOTS} slots, one `noop` job, 2 dispatchers; from SIGSTOP of the one that holds the pool's lock to the "
            f"start of a waiting job; in the last of {TAKEOVERS}, {words}",
            note=f" at worst of {TAKEOVERS}",
        )
    ]


def _take_over(processes: Processes, tenant: Tenant) -> float:
    """Return seconds from the stop to the start. The other dispatcher is stopped until the first one surely leads."""
    leader, other = processes.dispatchers
    other.send_signal(signal.SIGSTOP)
    is_stopped = False
    while not is_stopped:
        leader.send_signal(signal.SIGCONT)
        with all_tenants(), transaction.atomic():
            list(PoolClock.objects.select_for_update().all())
            processes.wait_until(_is_tick_blocked, within=JOB_SECONDS_AT_MOST, what="a tick waits for us")
            os.kill(leader.pid, signal.SIGSTOP)
            stopped_at = time.time()
            # A tick waits for a moment only.
            is_stopped = _is_tick_blocked()
    other.send_signal(signal.SIGCONT)
    return wait_started(processes, submit_one(tenant)) - stopped_at


def _is_tick_blocked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_BLOCKED)
        return bool(cursor.fetchone()[0])


def measure_killed(folder: Path) -> list[Finding]:
    """Kill a worker, parent and children at once, while it runs a job; measure the time until another runs the job."""
    (tenant,) = create_tenants([1])
    times = []
    with serving(folder, slots=SLOTS, workers=2) as processes, Meter(processes, slots=2 * SLOTS) as meter:
        for number in range(KILLS):
            if number:
                processes.start_worker(SLOTS)
            times.append(_kill(processes, tenant))
    return [
        at_most(
            "worker SIGKILLed: its job running again",
            *(max(times), KILL_SECONDS, ".1f s"),
            f"2 workers of {SLOTS} slots each, one job of {KILLED_JOB.payload['seconds']:.0f} s; from SIGKILL of the "
            f"worker and its children to the start on the other one; {meter.words}",
            note=f" at worst of {KILLS}",
        )
    ]


def _kill(processes: Processes, tenant: Tenant) -> float:
    """Return seconds from the kill to the next start of the job, once it has ended."""
    job_id = submit_one(tenant, KILLED_JOB)
    wait_started(processes, job_id)
    first = _running(job_id)
    if first is None:
        raise MeasureFailedError("The job had ended before its worker was killed.")
    killed_at = processes.kill(_worker_of(processes, first))
    processes.wait_until(lambda: bool(_running(job_id, but=first)), within=4 * KILL_SECONDS, what="the job runs again")
    again = _running(job_id, but=first)
    if again is None:
        raise MeasureFailedError("The job had ended before its second start was read.")
    processes.wait_until(lambda: _running(job_id) is None, within=JOB_SECONDS_AT_MOST, what="the job ends")
    return again.started_at.timestamp() - killed_at


def _running(job_id: UUID, *, but: LiveExecution | None = None) -> LiveExecution | None:
    with all_tenants():
        running = LiveExecution.objects.filter(job_id=job_id, started_at__isnull=False)
        return running.exclude(pk=but.pk if but else None).first()


def _worker_of(processes: Processes, execution: LiveExecution) -> subprocess.Popen[bytes]:
    with all_tenants():
        pid = Worker.objects.get(pk=execution.worker_id).pid
    return next(worker for worker in processes.workers if worker.pid == pid)
