"""What one tick costs at all sizes, with as much to fold as it hands out."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from benchmarks.fairness.simulated import measure_row
from benchmarks.harness.filling import add_tenants, analyse, ask, clear_platform, fill_backlog, run_statement
from benchmarks.harness.parts import POOL, Finding, MeasureFailedError, at_most
from scheduling.models import LiveExecution, WorkerPool
from scheduling.services import verdicts
from scheduling.services.dispatching import run_tick
from scheduling.services.settlement import settle
from scheduling.services.workers import register_worker
from tenants.context import all_tenants

TICKS, TICK_WARM_UP, TICK_TARGET = 15, 2, 2.0
# Jobs of a measured tick: as many slots are free, each for a job of its own.
JOBS = 500
# Tenants that have jobs waiting, others beside them that have none, and the jobs that wait in all.
Size = tuple[int, int, int]
FEW: Size = (10, 0, 10_000)
MANY: Size = (1_000, 0, 10_000)
MOST: Size = (100_000, 0, 100_000)
SIZES = ((500, 0, 1_000), MANY, (1_000, 99_000, 10_000), (1_000, 0, 1_000_000), MOST, (100_000, 0, 1_000_000))


def measure_ticks(folder: Path) -> list[Finding]:
    """Measure one tick of 500 jobs at each size, in this process; the hints go nowhere."""
    del folder
    took = {size: _time_ticks(size) for size in (FEW, *SIZES)}
    return [
        _compare("500 to 100,000 tenants, 1,000 to 1,000,000 waiting", took, SIZES),
        _compare("1,000 and 100,000 tenants", took, (MANY, MOST)),
        _compare_few(took),
    ]


def _compare(what: str, took: dict[Size, float], sizes: Sequence[Size]) -> Finding:
    times = [took[size] for size in sizes]
    told = "; ".join(f"{_words(size)}: {took[size]:.0f} ms" for size in sizes)
    return at_most(
        f"cost of one tick of {JOBS} jobs, {what}: greatest over least",
        *(max(times) / min(times), TICK_TARGET, ".2f×"),
        f"median of {TICKS} ticks, each of which also folds {JOBS} settled executions and the wakes of {JOBS} jobs "
        f"submitted one by one; jobs of 1 s, one a message, without publishing: {told}; the simulation shows whom 500 "
        "free slots go to among 20,000 tenants, and no cost",
        note=f" ({min(times):.0f} to {max(times):.0f} ms)",
        simulated=measure_row("tick_of_500").text,
    )


def _compare_few(took: dict[Size, float]) -> Finding:
    """Few tenants have fewer rows to write, so that their tick is the cheaper one; only the other way is a fault."""
    return at_most(
        f"cost of one tick of {JOBS} jobs, 10 tenants against 1,000",
        *(took[FEW] / took[MANY], 1.0, ".2f×"),
        f"measured as the rows before; {JOBS} jobs of 10 tenants move the clocks of 10, of 1,000 those of {JOBS}: "
        f"{_words(FEW)}: {took[FEW]:.0f} ms",
        note=f" ({took[FEW]:.0f} against {took[MANY]:.0f} ms)",
    )


def _words(size: Size) -> str:
    active, idle, waiting = size
    return f"{active:,} active{f' and {idle:,} idle' if idle else ''} tenants, {waiting:,} waiting"


def _time_ticks(size: Size) -> float:
    """Return the median of the ticks in milliseconds."""
    active, idle, waiting = size
    clear_platform()
    busy = add_tenants(active)
    if idle:
        add_tenants(idle)
    fill_backlog(busy, waiting, payload={})
    # By now autovacuum may have seen the tables while none of this was committed, and taken them for empty.
    analyse()
    pool = WorkerPool.objects.get(name=POOL)
    register_worker(pool_name=POOL, hostname="benchmark", pid=1, slots=JOBS)
    with patch("scheduling.broker.publish", lambda hints: ()):
        _offer_slots(0)
        while run_tick(pool.pk).has_more:  # fold the wakes of the fill, with no slot to pick for
            pass
        analyse()
        times = []
        for number in range(TICK_WARM_UP + TICKS):
            # Other tenants each time, if there are more than a tick's.
            first = number * JOBS % len(busy)
            times.append(_time_tick(pool.pk, [*busy[first:], *busy[:first]][:JOBS]))
    return statistics.median(times[TICK_WARM_UP:])


def _time_tick(pool_id: int, submitters: Sequence[UUID]) -> float:
    """Return a tick's milliseconds after all in flight has ended and as many jobs have been submitted."""
    run_statement("UPDATE scheduling_execution_live SET started_at = clock_timestamp() - interval '1 second'")
    with all_tenants():
        live = list(LiveExecution.objects.values_list("pk", "fence"))
    settle([verdicts.completed(execution_id, fence, None) for execution_id, fence in live])
    fill_backlog(submitters, JOBS, payload={}, one_by_one=True)
    _offer_slots(JOBS)
    began = time.perf_counter()
    result = run_tick(pool_id)
    took = (time.perf_counter() - began) * 1e3
    if result.dispatched != JOBS or ask("SELECT count(*) FROM scheduling_settled"):
        raise MeasureFailedError(f"A tick dispatched {result.dispatched} of {JOBS} jobs.")
    return took


def _offer_slots(free: int) -> None:
    """Offer so many slots beside those in use; the heartbeat is good for as long as the part lasts."""
    run_statement(
        "UPDATE scheduling_worker SET heartbeat_at = now() + interval '1 hour', slots = %(free)s"
        " + (SELECT count(*) FROM scheduling_execution_live)",
        {"free": free},
    )
