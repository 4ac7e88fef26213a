"""Calls to a slow model on one worker of an I/O pool: its processes, memory and connections, and the time they take."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.filling import ask, clear_platform, create_tenants
from benchmarks.harness.jobs import count_ended, verify_platform, wait_drained
from benchmarks.harness.parts import Finding, MeasureFailedError, at_most
from benchmarks.harness.processes import READY_SECONDS, Processes, family_of, is_ticking, memory_of
from benchmarks.slow_model import ANSWER_SECONDS
from jobsplatform.demo.provision import ACTOR
from jobsplatform.demo.readings import read_slots
from scheduling.execution.lost_sessions import session_name
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from scheduling.models import Worker
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.models import Plan

KIND, POOL = "http_call", "io"
CALLS, MANY_TENANTS = 500, 10
PROCESSES, MEGABYTES, CONNECTIONS, SECONDS = 2, 400.0, 8, 25.0
LOOK_SECONDS, END_SECONDS = 0.5, 120.0
_MEGABYTES_PER_MIB = 1.048576
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
_TOOK_MS = "SELECT 1000 * extract(epoch FROM max(ended_at) - min(started_at)) FROM scheduling_execution"
_STARTING_MS = "SELECT 1000 * extract(epoch FROM max(started_at) - min(started_at)) FROM scheduling_execution"
_COMPLETED = "SELECT count(*) FROM scheduling_job WHERE state = 'completed' AND execution_count = 1"


@dataclass(slots=True)
class Needs:
    """What a worker needs at one moment, or the most of several; memory is in MB of 10⁶ bytes."""

    processes: int = 0
    resident: float = 0.0
    proportional: float = 0.0
    connections: int = 0

    def include(self, other: Needs) -> None:
        """Make each number the greater of both."""
        self.processes = max(self.processes, other.processes)
        self.resident = max(self.resident, other.resident)
        self.proportional = max(self.proportional, other.proportional)
        self.connections = max(self.connections, other.connections)


def measure_waiting(folder: Path) -> list[Finding]:
    """Measure a worker while it waits for the answers to all calls, of one tenant and of several."""
    return [finding for tenants in (1, MANY_TENANTS) for finding in _measure(folder, tenants)]


def _measure(folder: Path, tenants: int) -> list[Finding]:
    clear_platform()
    with _serving(folder) as (processes, url):
        (pid,) = (worker.pid for worker in processes.workers)
        idle, most = _read_needs(pid), Needs()
        _submit(url, tenants)
        deadline = time.monotonic() + END_SECONDS
        while count_ended() < CALLS:
            processes.require_alive()
            if time.monotonic() > deadline:
                raise MeasureFailedError(f"{count_ended()} of {CALLS} calls had ended after {END_SECONDS:.0f} s.")
            most.include(_read_needs(pid))
            time.sleep(LOOK_SECONDS)
        wait_drained(processes)
    if (completed := ask(_COMPLETED)) != CALLS:
        raise MeasureFailedError(f"{completed} of {CALLS} calls were completed by their first execution.")
    verify_platform()
    return _conclude(tenants, idle, most)


def _conclude(tenants: int, idle: Needs, most: Needs) -> list[Finding]:
    what = f"{CALLS} waiting calls of {tenants} tenant{'s' if tenants > 1 else ''}"
    worker = f"one worker of an I/O pool with {CALLS} slots and one process beside its parent"
    memory = (
        f"the sum of their resident sizes, so that shared pages count twice; {idle.resident:.0f} MB before the jobs"
    )
    shared = f" (proportional {most.proportional:.0f})"
    started = f"; the last call started after {ask(_STARTING_MS) / 1e3:.1f} s"
    from_to = f"each answered {ANSWER_SECONDS:.0f} s after its request, by a model on this machine{started}"
    return [
        at_most(f"{what}: processes of the worker", most.processes, PROCESSES, ".0f", worker),
        at_most(f"{what}: memory of the worker", most.resident, MEGABYTES, ".0f MB", memory, note=shared),
        at_most(f"{what}: connections of the worker to PostgreSQL", most.connections, CONNECTIONS, ".0f"),
        at_most(f"{what}: from the first start to the last settlement", ask(_TOOK_MS) / 1e3, SECONDS, ".1f s", from_to),
    ]


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[Processes, str]]:
    """Run the model, a worker and a dispatcher; yield them with the model's address."""
    processes = Processes(folder)
    log = folder / "model.log"
    log.unlink(missing_ok=True)
    model = processes.run([sys.executable, "-m", "benchmarks.slow_model"], log="model")
    try:
        processes.wait_until(lambda: log.read_text().endswith("\n"), within=READY_SECONDS, what="the model listens")
        address = f"127.0.0.1:{log.read_text().strip()}"
        options = (f"--pool={POOL}", f"--slots={CALLS}", "--processes=1")
        allowed = {"OUTGOING_HTTP_ALLOWED_HOSTS": address}
        worker = processes.start("run_worker", *options, environment=allowed)
        processes.workers.append(worker)
        has_started = lambda: read_slots(POOL) >= CALLS and len(family_of(worker.pid)) > 1  # noqa: E731 - short
        processes.wait_until(has_started, within=READY_SECONDS, what="the worker has slots and a process")
        processes.start_dispatcher()
        processes.wait_until(lambda: is_ticking(POOL), within=READY_SECONDS, what="a dispatcher ticks")
        yield processes, f"http://{address}/v1/chat/completions"
    finally:
        processes.stop()
        model.kill()
        model.wait()


def _submit(url: str, tenants: int) -> None:
    """Submit the calls, equally many of each tenant, whose cap is their number."""
    each = CALLS // tenants
    chat = {"model": "slow", "messages": [{"role": "user", "content": "What is six times seven?"}]}
    request = JobRequest(kind=KIND, payload={"url": url, "json": chat, "timeout_seconds": 60})
    with all_tenants():
        Plan.objects.update(max_waiting_jobs=10**9)
    for tenant in create_tenants([1] * tenants, cap=each):
        with acting_as(ACTOR), tenant_context(tenant):
            submit_jobs(tenant=tenant, requests=[request] * each, is_atomic=True)


def _read_needs(pid: int) -> Needs:
    with all_tenants():
        worker_id = Worker.objects.get(pid=pid, stopped_at=None).pk
    family = family_of(pid)
    sizes = [memory_of(member) for member in family]
    resident, proportional = (sum(size) * _MEGABYTES_PER_MIB for size in zip(*sizes, strict=True))
    return Needs(len(family), resident, proportional, ask(_CONNECTIONS, [session_name(worker_id)]))
