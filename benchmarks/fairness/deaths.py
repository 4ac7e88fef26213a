"""When a process is taken away: a dispatcher stopped inside a tick, a worker killed with a job."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from uuid import UUID

from django.db import connection, transaction

from benchmarks.fairness.metering import Meter
from benchmarks.harness.filling import clear_platform, create_tenants
from benchmarks.harness.parts import Finding, MeasureFailedError
from benchmarks.harness.probing import JOB_SECONDS_AT_MOST, submit_one, time_starts, wait_started
from benchmarks.harness.processes import Processes, serving
from scheduling.models import LiveExecution, PoolClock, Worker
from scheduling.services.job_requests import JobRequest
from tenants.context import all_tenants
from tenants.models import Tenant

SLOTS = 2
WARM_UP, PAUSE = 10, (0.1, 0.2)
TAKEOVER_SECONDS = 2.5
TAKEOVERS = 3
KILL_SECONDS = 15.0
KILLS = 3
# Long enough to be running when its worker is killed, and short enough to wait for afterwards.
KILLED_JOB = JobRequest(kind="sleep", payload={"seconds": 4.0})


def measure_takeover(folder: Path) -> list[Finding]:
    """Stop the leading dispatcher in the middle of a tick, and see when a job starts through another."""
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
        Finding(
            what="another dispatcher takes over from one that is stopped in the middle of a tick",
            target=f"≤ {TAKEOVER_SECONDS} s",
            measured=f"{max(times):.2f} s at worst of {TAKEOVERS}",
            is_met=max(times) <= TAKEOVER_SECONDS,
            beside=f"{SLOTS} slots, one `noop` job, 2 dispatchers; from SIGSTOP of the one that holds the pool's lock "
            f"to the start of a waiting job; in the last of {TAKEOVERS}, {words}",
        )
    ]


def _take_over(processes: Processes, tenant: Tenant) -> float:
    """Seconds from the stop to the start. The other one is held still until the first surely leads."""
    leader, other = processes.dispatchers
    other.send_signal(signal.SIGSTOP)
    is_stopped = False
    while not is_stopped:
        leader.send_signal(signal.SIGCONT)
        with all_tenants(), transaction.atomic():
            list(PoolClock.objects.select_for_update().all())
            processes.wait_until(_is_anybody_blocked, within=JOB_SECONDS_AT_MOST, what="a tick waits for us")
            os.kill(leader.pid, signal.SIGSTOP)
            stopped_at = time.time()
            # A tick waits for a moment only.
            is_stopped = _is_anybody_blocked()
    other.send_signal(signal.SIGCONT)
    return wait_started(processes, submit_one(tenant)) - stopped_at


def _is_anybody_blocked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return bool(cursor.fetchone()[0])


def measure_killed(folder: Path) -> list[Finding]:
    """Kill a worker, parent and children at once, while it runs a job, and see when another one runs that."""
    (tenant,) = create_tenants([1])
    times = []
    with serving(folder, slots=SLOTS, workers=2) as processes, Meter(processes, slots=2 * SLOTS) as meter:
        for number in range(KILLS):
            if number:
                processes.start_worker(SLOTS)
            times.append(_kill(processes, tenant))
    return [
        Finding(
            what="worker SIGKILLed: its job running again",
            target=f"≤ {KILL_SECONDS:.0f} s",
            measured=f"{max(times):.1f} s at worst of {KILLS}",
            is_met=max(times) <= KILL_SECONDS,
            beside=f"2 workers of {SLOTS} slots each, one job of {KILLED_JOB.payload['seconds']:.0f} s; from SIGKILL "
            f"of the worker and its children to the start on the other one; {meter.words}",
        )
    ]


def _kill(processes: Processes, tenant: Tenant) -> float:
    """Seconds from the kill to the next start of the job; it has ended when this returns."""
    job_id = submit_one(tenant, KILLED_JOB)
    wait_started(processes, job_id)
    first = _running(job_id)
    if first is None:
        raise MeasureFailedError("The job had ended before its worker was killed.")
    killed_at = processes.kill(_worker_of(processes, first))
    again: list[LiveExecution] = []

    def is_running_again() -> bool:
        running = _running(job_id)
        if running is not None and running.pk != first.pk:
            again.append(running)
        return bool(again)

    processes.wait_until(is_running_again, within=4 * KILL_SECONDS, what="the job runs again")
    processes.wait_until(lambda: _running(job_id) is None, within=JOB_SECONDS_AT_MOST, what="the job ends")
    return again[0].started_at.timestamp() - killed_at


def _running(job_id: UUID) -> LiveExecution | None:
    with all_tenants():
        return LiveExecution.objects.filter(job_id=job_id, started_at__isnull=False).first()


def _worker_of(processes: Processes, execution: LiveExecution) -> subprocess.Popen[bytes]:
    with all_tenants():
        pid = Worker.objects.get(pk=execution.worker_id).pid
    return next(worker for worker in processes.workers if worker.pid == pid)
