"""What one tick costs at all sizes, with as much to fold as it hands out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from django.db import connection

from benchmarks.fairness.simulated import measure_row
from benchmarks.harness.filling import add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.harness.parts import POOL, Finding, MeasureFailedError, at_most
from scheduling.models import LiveExecution, WorkerPool
from scheduling.services import verdicts
from scheduling.services.dispatching import run_tick
from scheduling.services.settlement import settle
from scheduling.services.workers import register_worker
from tenants.context import all_tenants

TICKS, TICK_WARM_UP = 15, 2
TICK_TARGET = 2.0


@dataclass(frozen=True, slots=True)
class _Size:
    """Tenants that have jobs waiting, others beside them that have none, and the jobs that wait in all."""

    active: int
    idle: int
    waiting: int

    def __str__(self) -> str:
        idle = f" and {self.idle:,} idle" if self.idle else ""
        return f"{self.active:,} active{idle} tenants, {self.waiting:,} waiting"


# Jobs of a measured tick: as many slots are free, each for a job of its own.
JOBS = 500
FEW = _Size(10, 0, 10_000)
SIZES = (
    _Size(500, 0, 1_000),
    _Size(1_000, 0, 10_000),
    _Size(1_000, 99_000, 10_000),
    _Size(1_000, 0, 1_000_000),
    _Size(100_000, 0, 100_000),
    _Size(100_000, 0, 1_000_000),
)
MANY = SIZES[1]
COUNTS = (MANY, SIZES[4])


def measure_ticks(folder: Path) -> list[Finding]:
    """One tick of 500 jobs at each size, in this process; the hints go nowhere."""
    del folder
    took = {size: _time_ticks(size) for size in (FEW, *SIZES)}
    return [
        _compare("500 to 100,000 tenants, 1,000 to 1,000,000 waiting", took, SIZES),
        _compare("1,000 and 100,000 tenants", took, COUNTS),
        _compare_few(took),
    ]


def _compare(what: str, took: dict[_Size, float], sizes: Sequence[_Size]) -> Finding:
    times = [took[size] for size in sizes]
    told = "; ".join(f"{size}: {took[size]:.0f} ms" for size in sizes)
    return at_most(
        f"cost of one tick of {JOBS} jobs, {what}: greatest over least",
        *(max(times) / min(times), TICK_TARGET, ".2f×"),
        f"median of {TICKS} ticks, each of which also folds {JOBS} settled executions and the wakes of {JOBS} jobs "
        f"submitted one by one; jobs of 1 s, one a message, without publishing: {told}; the simulation shows whom 500 "
        "free slots go to among 20,000 tenants, and no cost",
        note=f" ({min(times):.0f} to {max(times):.0f} ms)",
        simulated=measure_row("tick_of_500").text,
    )


def _compare_few(took: dict[_Size, float]) -> Finding:
    """Few tenants have fewer rows to write, so that their tick is the cheaper one; only the other way is a fault."""
    return at_most(
        f"cost of one tick of {JOBS} jobs, 10 tenants against 1,000",
        *(took[FEW] / took[MANY], 1.0, ".2f×"),
        f"measured as the rows before; {JOBS} jobs of 10 tenants move the clocks of 10, of 1,000 those of {JOBS}: "
        f"{FEW}: {took[FEW]:.0f} ms",
        note=f" ({took[FEW]:.0f} against {took[MANY]:.0f} ms)",
    )


def _time_ticks(size: _Size) -> float:
    clear_platform()
    busy = add_tenants(size.active)
    if size.idle:
        add_tenants(size.idle)
    fill_backlog(busy, size.waiting, payload={})
    # By now autovacuum may have seen the tables while none of this was committed, and taken them for empty.
    analyse()
    pool = WorkerPool.objects.get(name=POOL)
    register_worker(pool_name=POOL, hostname="benchmark", pid=1, slots=JOBS)
    with patch("scheduling.broker.publish", lambda hints: ()):
        _offer_slots(0)
        while run_tick(pool.pk).has_more:  # fold the wakes of the fill, with no slot to pick for
            pass
        analyse()
        times = [_time_tick(pool.pk, _some_of(busy, number)) for number in range(TICK_WARM_UP + TICKS)]
    return statistics.median(times[TICK_WARM_UP:])


def _some_of(tenants: Sequence[UUID], number: int) -> Sequence[UUID]:
    """Other tenants each time, where there are more than a tick's."""
    first = number * JOBS % len(tenants)
    return [*tenants[first:], *tenants[:first]][:JOBS]


def _time_tick(pool_id: int, submitters: Sequence[UUID]) -> float:
    """What the tick before handed out has ended, and as many jobs have been submitted."""
    _end_all()
    fill_backlog(submitters, JOBS, payload={}, one_by_one=True)
    _offer_slots(JOBS)
    began = time.perf_counter()
    result = run_tick(pool_id)
    took = (time.perf_counter() - began) * 1e3
    if result.dispatched != JOBS or ask("SELECT count(*) FROM scheduling_settled"):
        raise MeasureFailedError(f"A tick dispatched {result.dispatched} of {JOBS} jobs.")
    return took


def _end_all() -> None:
    """Everything in flight began a second ago and is done now."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_execution_live SET started_at = clock_timestamp() - interval '1 second'")
    with all_tenants():
        live = list(LiveExecution.objects.values_list("pk", "fence"))
    settle([verdicts.completed(execution_id, fence, None) for execution_id, fence in live])


def _offer_slots(free: int) -> None:
    """So many slots beside those in use; the heartbeat is good for as long as the part lasts."""
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduling_worker SET heartbeat_at = now() + interval '1 hour', slots = %s"
            " + (SELECT count(*) FROM scheduling_execution_live)",
            [free],
        )
