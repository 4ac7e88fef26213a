"""What fairness costs: throughput against FIFO among 10,000 active tenants, and a tick at all sizes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

from django.db import connection

from benchmarks.fair.filling import (
    add_tenants,
    analyse,
    clear_platform,
    create_tenants,
    fill_backlog,
    take_nothing,
)
from benchmarks.fair.parts import POOL, Finding, MeasureFailedError
from benchmarks.fair.processes import Processes, serving
from benchmarks.fair.simulated import simulate_measure
from jobsplatform.demo.provision import ACTOR
from scheduling.conf import TICK_JOBS
from scheduling.fairness.simulation import Policy
from scheduling.models import CFSPlan, WorkerPool
from scheduling.services.cfs_plans import activate_cfs_plan
from scheduling.services.dispatching import run_tick
from scheduling.services.workers import register_worker
from tenants.context import acting_as, all_tenants

SLOTS = 2
ACTIVE_TENANTS, ACTIVE_JOBS = 10_000, 40_000
# Fair and FIFO in turns, so that whatever else changes meanwhile meets both.
TURNS = ("cloud", "community", "community", "cloud")
TURN_SECONDS, SETTLE_SECONDS = 20.0, 2.0
THROUGHPUT_TARGET = 0.9

# Tenants with a backlog, idle ones beside them, and jobs that wait in all.
SIZES = ((10, 0, 5_000), (1_000, 0, 5_000), (1_000, 99_000, 5_000), (100_000, 0, 100_000), (1_000, 0, 1_000_000))
TICKS, TICK_WARM_UP = 7, 2
TICK_TARGET = 2.0


def measure_throughput(folder: Path) -> list[Finding]:
    """No-op jobs of 10,000 tenants that all wait, in fair order and in order of arrival."""
    clear_platform()
    fill_backlog(add_tenants(ACTIVE_TENANTS), ACTIVE_JOBS, payload={})
    analyse()
    rates: dict[str, list[float]] = {"cloud": [], "community": []}
    try:
        with serving(folder, slots=SLOTS) as processes:
            processes.wait_until(lambda: _count_ended() > 0, within=60.0, what="the first job ends")
            for name in TURNS:
                _activate(name)
                rates[name].append(_rate(processes))
    finally:
        _activate("cloud")
    fair, fifo = (statistics.mean(rates[name]) for name in ("cloud", "community"))
    simulated = [simulate_measure("ten_thousand_tenants", policy).starts for policy in (Policy.CFS, Policy.FIFO)]
    return [
        Finding(
            what=f"throughput with {ACTIVE_TENANTS:,} active tenants, fair against FIFO",
            target=f"≥ {THROUGHPUT_TARGET:.0%}",
            measured=f"{fair / fifo:.0%} ({fair:.0f} against {fifo:.0f} jobs/s)",
            is_met=fair / fifo >= THROUGHPUT_TARGET,
            beside=f"{SLOTS} slots, `noop` jobs, {ACTIVE_JOBS:,} waiting, turns of {TURN_SECONDS:.0f} s in one run",
            simulated=f"{simulated[0] / simulated[1]:.0%}",
        )
    ]


def measure_ticks(folder: Path) -> list[Finding]:
    """One tick of 500 jobs at each size, in this process; the hints go nowhere."""
    del folder
    took = {size: _time_ticks(*size) for size in SIZES}
    ratio = max(took.values()) / min(took.values())
    told = "; ".join(
        f"{active:,} active and {idle:,} idle tenants, {jobs:,} waiting: {milliseconds:.0f} ms"
        for (active, idle, jobs), milliseconds in took.items()
    )
    return [
        Finding(
            what=f"cost of one tick of {TICK_JOBS} jobs, greatest over least",
            target=f"≤ {TICK_TARGET:.0f}×",
            measured=f"{ratio:.2f}×",
            is_met=ratio <= TICK_TARGET,
            beside=f"median of {TICKS} ticks, without publishing: {told}",
        )
    ]


def _rate(processes: Processes) -> float:
    """Jobs that end in a second, once the turn has settled in."""
    time.sleep(SETTLE_SECONDS)
    processes.require_alive()
    before, began = _count_ended(), time.monotonic()
    time.sleep(TURN_SECONDS)
    processes.require_alive()
    ended = _count_ended() - before
    if not ended:
        raise MeasureFailedError(f"No job ended in {TURN_SECONDS:.0f} s.")
    return ended / (time.monotonic() - began)


def _activate(name: str) -> None:
    with acting_as(ACTOR), all_tenants():
        plan = CFSPlan.objects.get(name=name)
        if not plan.is_active:
            activate_cfs_plan(plan=plan, reason="benchmark")


def _count_ended() -> int:
    return _ask("SELECT count(*) FROM scheduling_execution")


def _time_ticks(active: int, idle: int, jobs: int) -> float:
    clear_platform()
    busy = [tenant.pk for tenant in create_tenants([1] * active)] if active <= 10 else add_tenants(active)
    if idle:
        add_tenants(idle)
    fill_backlog(busy, jobs, payload={})
    pool = WorkerPool.objects.get(name=POOL)
    register_worker(pool_name=POOL, hostname="benchmark", pid=1, slots=TICK_JOBS)
    with patch("scheduling.broker.publish", take_nothing):
        _offer_slots(0)
        while run_tick(pool.pk).has_more:  # fold the wakes of the fill, with no slot to pick for
            pass
        analyse()
        times = [_time_tick(pool.pk) for _ in range(TICK_WARM_UP + TICKS)][TICK_WARM_UP:]
    return statistics.median(times)


def _time_tick(pool_id: int) -> float:
    _offer_slots(TICK_JOBS)
    began = time.perf_counter()
    result = run_tick(pool_id)
    took = (time.perf_counter() - began) * 1e3
    if result.dispatched != TICK_JOBS:
        raise MeasureFailedError(f"A tick dispatched {result.dispatched} of {TICK_JOBS} jobs.")
    return took


def _offer_slots(free: int) -> None:
    """So many slots beside those in use; the heartbeat is good for as long as the part lasts."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduling_worker SET heartbeat_at = now() + interval '1 hour', slots = %s"
            " + (SELECT count(*) FROM scheduling_execution_live)",
            [free],
        )


def _ask(statement: str, parameters: Sequence[object] = ()) -> int:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(statement, list(parameters))
        return int(cursor.fetchone()[0])
