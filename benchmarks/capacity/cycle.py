"""Processor time of a merged job, step by step: tick, start and settlement, in Python and in PostgreSQL.

One process takes the parts of dispatcher and worker, so that no step waits for another. The processor time of the
server is that of the one connection, as Linux counts it.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.db import connection

from benchmarks.harness.filling import add_tenants, analyse, fill_backlog
from benchmarks.harness.parts import POOL, Finding
from scheduling import broker
from scheduling.broker import Hint
from scheduling.conf import MAX_MESSAGE_JOBS, MESSAGE_WORK_US
from scheduling.models import Worker
from scheduling.services import verdicts
from scheduling.services.dispatching import run_tick
from scheduling.services.execution import StartedExecution, start_executions
from scheduling.services.settlement import settle
from scheduling.services.workers import Registration, register_worker, retire_worker
from tenants.clock import read_moment
from tenants.context import all_tenants

TENANTS, SLOTS, JOBS = 100, 2, 60_000
SECONDS, WARM_UP_CYCLES = 12.0, 12
# So much have 2 cores for a job at 5,000 a second; Celery's messages and the processors' turns take their part of it.
TARGET_US = 400.0
# Of a no-op job, as workers measure it.
WORK_US = 60


class Costs:
    """Processor seconds by step: of this process, and of the server's for this connection."""

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (self._server,) = cursor.fetchone()
        self.here: dict[str, float] = defaultdict(float)
        self.server: dict[str, float] = defaultdict(float)

    def timed[T](self, step: str, work: Callable[[], T]) -> T:
        """Do the work of a step."""
        here, server = time.process_time(), _processor_seconds(self._server)
        done = work()
        self.here[step] += time.process_time() - here
        self.server[step] += _processor_seconds(self._server) - server
        return done

    def forget(self) -> None:
        self.here.clear()
        self.server.clear()


def measure_cycle(folder: Path) -> list[Finding]:
    """Run cycles of one tick that fills both slots, two starts and two settlements, until the time is up."""
    del folder  # no other process takes part
    fill_backlog(add_tenants(TENANTS, estimate_us=WORK_US), JOBS, payload={})
    analyse()
    costs = Costs()
    with _worker() as worker, _caught() as hints:
        for _ in range(WARM_UP_CYCLES):
            _cycle(worker, hints, costs)
        costs.forget()
        done, until = 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            done += _cycle(worker, hints, costs)
    here, server = (sum(spent.values()) / done * 1e6 for spent in (costs.here, costs.server))
    steps = ", ".join(
        f"{step} {costs.here[step] / done * 1e6:.0f} + {costs.server[step] / done * 1e6:.0f}"
        for step in ("tick", "start", "settlement")
    )
    return [
        Finding(
            what="processor time of a merged no-op job through tick, start and settlement",
            target=f"≤ {TARGET_US:.0f} µs",
            measured=f"{here + server:.0f} µs (Python {here:.0f} + PostgreSQL {server:.0f})",
            is_met=here + server <= TARGET_US,
            beside=f"{steps}; {done:,} jobs of {TENANTS} tenants in messages of up to {MAX_MESSAGE_JOBS:,}, "
            f"{MESSAGE_WORK_US // 1_000} ms, on {SLOTS} slots, one step after another in one process; without Celery's "
            "messages, the processors' turns and what dispatchers do once per second",
        )
    ]


@contextmanager
def _worker() -> Iterator[Registration]:
    registration = register_worker(pool_name=POOL, hostname="benchmark", pid=os.getpid(), slots=SLOTS)
    try:
        yield registration
    finally:
        retire_worker(worker_id=registration.worker_id)


@contextmanager
def _caught() -> Iterator[list[Hint]]:
    """What would be published, in a list."""
    hints: list[Hint] = []

    def keep(published: Sequence[Hint]) -> list[Hint]:
        hints.extend(published)
        return []

    publish, broker.publish = broker.publish, keep
    try:
        yield hints
    finally:
        broker.publish = publish


def _cycle(worker: Registration, hints: list[Hint], costs: Costs) -> int:
    """How many jobs ran through one."""
    with all_tenants():
        Worker.objects.filter(pk=worker.worker_id).update(heartbeat_at=read_moment())
    costs.timed("tick", lambda: run_tick(worker.pool_id))
    messages = [*hints]
    hints.clear()
    for hint in messages:
        started = costs.timed("start", lambda hint=hint: _start(hint, worker))
        settlements = [
            replace(verdicts.completed(one.execution_id, one.fence, {}), began_us=10 * place, measured_us=WORK_US)
            for place, one in enumerate(started)
        ]
        costs.timed("settlement", lambda settlements=settlements: settle(settlements))
    return sum(len(hint.execution_ids) for hint in messages)


def _start(hint: Hint, worker: Registration) -> list[StartedExecution]:
    return start_executions(execution_ids=hint.execution_ids, token=hint.token, worker_id=worker.worker_id)


def _processor_seconds(pid: int) -> float:
    """User and system time of a process, as finely as the scheduler counts."""
    return float(Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[0]) / 1e9
