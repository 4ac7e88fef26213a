"""Costs of a merged job: by step, and with few and with many ended jobs in the database."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from django.db import connection

from benchmarks.harness.filling import DAYS, add_past, add_past_days, add_tenants, analyse, ask, fill_backlog
from benchmarks.harness.jobs import NOOP_US, SETTLE_SECONDS, count_waiting, verify_platform, warm_up
from benchmarks.harness.parts import POOL, Finding, MeasureFailedError, at_most, shown
from benchmarks.harness.processes import GROUPS, read_processor_seconds, serving
from scheduling.celery.publishing import Hint
from scheduling.conf import MAX_MESSAGE_JOBS, MESSAGE_WORK_US
from scheduling.dispatch.tick import run_tick
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import start_executions
from scheduling.fleet.workers import Registration, register_worker, retire_worker
from scheduling.models import Worker
from tenants.context import all_tenants
from tenants.database.clock import read_moment

TENANTS, SLOTS = 100, 2
JOBS, SECONDS, WARM_UP_CYCLES = 60_000, 12.0, 12
# The time of 2 cores per job at 5,000 jobs a second; Celery's messages and the processes' loops use part of it.
TARGET_US = 400.0
# The time of a no-op job, as workers measure it.
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
        """Run the work of a step and add its processor time. Return its result."""
        here, server = time.process_time(), _processor_seconds(self._server)
        done = work()
        self.here[step] += time.process_time() - here
        self.server[step] += _processor_seconds(self._server) - server
        return done


def measure_cycle(folder: Path) -> list[Finding]:
    """Run cycles of one tick that fills both slots, two starts and two settlements, until the time is up."""
    del folder  # no other process takes part
    fill_backlog(add_tenants(TENANTS, estimate_us=WORK_US), JOBS, payload={})
    analyse()
    worker = register_worker(pool_name=POOL, hostname="benchmark", pid=os.getpid(), slots=SLOTS)
    hints: list[Hint] = []
    # Published hints are collected in the list.
    with patch("scheduling.celery.publishing.publish", lambda published: hints.extend(published) or []):
        for _ in range(WARM_UP_CYCLES):
            _cycle(worker, hints, Costs())
        costs, done, until = Costs(), 0, time.monotonic() + SECONDS
        while time.monotonic() < until:
            done += _cycle(worker, hints, costs)
    retire_worker(worker_id=worker.worker_id)
    here, server = (sum(spent.values()) / done * 1e6 for spent in (costs.here, costs.server))
    steps = ", ".join(
        f"{step} {costs.here[step] / done * 1e6:.0f} + {costs.server[step] / done * 1e6:.0f}"
        for step in ("tick", "start", "settlement")
    )
    return [
        at_most(
            "processor time of a merged no-op job through tick, start and settlement",
            *(here + server, TARGET_US, ".0f µs"),
            f"{steps}; {done:,} jobs of {TENANTS} tenants in messages of up to {MAX_MESSAGE_JOBS:,}, "
            f"{MESSAGE_WORK_US // 1_000} ms, on {SLOTS} slots, one step after another in one process; without Celery's "
            "messages, the processors' turns and what dispatchers do once per second",
            note=f" (Python {here:.0f} + PostgreSQL {server:.0f})",
        )
    ]


def _cycle(worker: Registration, hints: list[Hint], costs: Costs) -> int:
    """Run one cycle; return its number of jobs."""
    with all_tenants():
        Worker.objects.filter(pk=worker.worker_id).update(heartbeat_at=read_moment())
    costs.timed("tick", partial(run_tick, worker.pool_id))
    messages = [*hints]
    hints.clear()
    for hint in messages:
        start = partial(start_executions, execution_ids=hint.execution_ids, token=hint.token)
        started = costs.timed("start", partial(start, worker_id=worker.worker_id))
        settlements = [
            replace(Settlement.completed(one.execution_id, one.fence, {}), began_us=10 * place, measured_us=WORK_US)
            for place, one in enumerate(started)
        ]
        costs.timed("settlement", partial(settle, settlements))
    return sum(len(hint.execution_ids) for hint in messages)


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process in seconds, at the scheduler's resolution."""
    return float(Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[0]) / 1e9


PAST, BACKLOG, WINDOW_SECONDS, FLAT = (10_000, 1_000_000), 160_000, 8.0, 1.5
_ENDED = "SELECT count(*) FROM scheduling_execution WHERE ended_at >= to_timestamp(%s)"


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time per job by group, in microseconds, and jobs per second."""

    past: int
    microseconds: Mapping[str, float]
    rate: float

    @property
    def total(self) -> float:
        return sum(self.microseconds.values())

    @property
    def finding(self) -> Finding:
        groups = ", ".join(f"{group} {spent:,.0f}" for group, spent in self.microseconds.items())
        what = f"processor time of a merged no-op job with {self.past:,} ended jobs"
        return shown(what, f"{self.total:,.0f} µs at {self.rate:,.0f} jobs/s", f"{groups} µs")


def measure_history(folder: Path) -> list[Finding]:
    """Measure the same tenants with few and with many ended jobs."""
    add_past_days()
    tenants = add_tenants(TENANTS, estimate_us=NOOP_US)
    costs, there = [], 0
    for past in PAST:
        add_past(tenants, past - there)
        there = past
        costs.append(_measure_cost(folder, past, tenants))
    verify_platform()
    return [*(cost.finding for cost in costs), compare(costs)]


def _measure_cost(folder: Path, past: int, tenants: Sequence[UUID]) -> Cost:
    fill_backlog(tenants, BACKLOG - count_waiting(), payload={})
    analyse()
    with serving(folder, slots=SLOTS) as processes:
        warm_up(processes)
        time.sleep(SETTLE_SECONDS)
        before, began = read_processor_seconds(processes), time.time()
        time.sleep(WINDOW_SECONDS)
        processes.require_alive()
        took, after = time.time() - began, read_processor_seconds(processes)
        ended = ask(_ENDED, [began])
    if not ended or not count_waiting():
        raise MeasureFailedError(f"{ended:,} jobs ended in {took:.0f} s, and {count_waiting():,} wait.")
    return Cost(past, {group: (after[group] - before[group]) / ended * 1e6 for group in GROUPS}, ended / took)


def compare(costs: Sequence[Cost]) -> Finding:
    """Return the comparison of processor time and rate with few and with many ended jobs."""
    times, rates = ([cost.total for cost in costs], [cost.rate for cost in costs])
    of_time, of_rate = (max(values) / min(values) for values in (times, rates))
    return at_most(
        f"the same from {PAST[0]:,} to {PAST[-1]:,}: greatest over least",
        *(max(of_time, of_rate), FLAT, ".2f×"),
        f"{TENANTS} equal tenants in one queue, merged, from a backlog of {BACKLOG:,}, one dispatcher and one worker "
        f"with {SLOTS} slots; over {WINDOW_SECONDS:g} s by the time of all processes from /proc, PostgreSQL with its "
        f"background processes; the ended jobs are of the {DAYS} days before, each day a partition, with four events, "
        "two charges and an execution per job",
        note=f" ({of_time:.2f}× in processor time, {of_rate:.2f}× in jobs/s)",
    )
