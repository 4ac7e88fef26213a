"""No-op jobs per second, fair, merged and compared with bare Celery, and the cost of one tick at all sizes."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from benchmarks.fairness.simulated import measure_row
from benchmarks.harness.filling import QUEUE, add_tenants, analyse, ask, clear_platform, fill_backlog, run_statement
from benchmarks.harness.jobs import NOOP_US, Meter, count_waiting, drain_backlog, measure_rate, wait_drained, warm_up
from benchmarks.harness.parts import POOL, Finding, MeasureFailedError, at_least, at_most, shown
from benchmarks.harness.processes import Processes, serving
from benchmarks.peers.benchmark import drain
from benchmarks.peers.playground import BARE_CELERY, PROGRAMS
from jobsplatform.demo.provision import ACTOR
from scheduling.dispatch.tick import run_tick
from scheduling.execution.settlement import Settlement, settle
from scheduling.fleet.workers import register_worker
from scheduling.models import CFSPlan, LiveExecution, Queue, WorkerPool
from scheduling.plans.service import update_cfs_plan
from scheduling.stops.pauses import pause_queue, resume_queue
from tenants.context import acting_as, all_tenants

SLOTS = 2
ACTIVE_TENANTS, JOBS_EACH = 10_000, 16
FAIR, FIFO = CFSPlan.Strategy.TIME_SLICE, CFSPlan.Strategy.NOP
# Alternating, so that other changes on the machine affect both.
TURNS, TURN_SECONDS, THROUGHPUT_TARGET = (FAIR, FIFO, FIFO, FAIR), 14.0, 0.9
FEW_TENANTS, MERGED_JOBS, MERGED_SECONDS, MERGED_TARGET = 100, 220_000, 12.0, 5_000
ALONE_JOBS = 30_000
_ACTIVE = "SELECT count(DISTINCT entity_id) FROM scheduling_job_ready"
_NO_OVERHEAD = (
    f"the simulator knows no overhead and merges nothing, so it shows the shares of {FEW_TENANTS} tenants with jobs of "
    "1 ms and no throughput"
)


def measure_throughput(folder: Path) -> list[Finding]:
    """Measure no-op jobs of 10,000 tenants that all wait throughout, in fair order and in order of arrival."""
    return [_against_fifo(folder, are_alone=are_alone) for are_alone in (False, True)]


def _against_fifo(folder: Path, *, are_alone: bool) -> Finding:
    rates: dict[str, list[float]] = {FAIR: [], FIFO: []}
    words: dict[str, str] = {}
    try:
        for strategy, rate, metered in _take_turns(folder, are_alone=are_alone):
            rates[strategy].append(rate)
            words[strategy] = metered
    finally:
        _set_strategy(FAIR)
    fair, fifo = (statistics.mean(rates[strategy]) for strategy in (FAIR, FIFO))
    turns = ", ".join(f"{rate:.0f}" for strategy in (FAIR, FIFO) for rate in rates[strategy])
    return at_least(
        f"throughput with {ACTIVE_TENANTS:,} active tenants, fair against FIFO, "
        + ("one job a message" if are_alone else "merged"),
        *(fair / fifo, THROUGHPUT_TARGET, ".0%"),
        f"{SLOTS} slots, `noop` jobs; turns of {TURN_SECONDS:.0f} s in one run ({turns} jobs/s, fair ones first), "
        f"between which only the strategy of the active plan is changed; each begins with {JOBS_EACH} jobs waiting for "
        "each tenant, those after one another of tenants far apart, and ended with jobs of all tenants waiting; in the "
        f"last fair turn, {words[FAIR]}; in the last one of FIFO, {words[FIFO]}",
        note=f" ({fair:.0f} against {fifo:.0f} jobs/s)",
        simulated=f"{measure_row('ten_thousand_tenants').value:.0%}",
    )


def _take_turns(folder: Path, *, are_alone: bool) -> list[tuple[str, float, str]]:
    """Return the strategy of each turn, its rate, and the meter's text."""
    clear_platform()
    tenants = add_tenants(ACTIVE_TENANTS, estimate_us=NOOP_US)
    fill_backlog(tenants, ACTIVE_TENANTS, payload={}, merge_disabled=are_alone)
    with serving(folder, slots=SLOTS) as processes, acting_as(ACTOR):
        warm_up(processes)
        return [(turn, *_take_turn(processes, tenants, turn, are_alone=are_alone)) for turn in TURNS]


def _take_turn(processes: Processes, tenants: Sequence[UUID], strategy: str, *, are_alone: bool) -> tuple[float, str]:
    """Fill up while nothing runs, set the strategy, and return the rate and the meter's text."""
    queue = Queue.objects.get(name=QUEUE)
    pause_queue(queue=queue, reason="benchmark")
    wait_drained(processes)
    fill_backlog(tenants, len(tenants) * JOBS_EACH - count_waiting(), payload={}, merge_disabled=are_alone)
    analyse()
    _set_strategy(strategy)
    resume_queue(queue=queue, reason="benchmark")
    with Meter(processes, slots=SLOTS) as meter:
        rate = measure_rate(processes, TURN_SECONDS)
    if (active := ask(_ACTIVE)) < len(tenants):
        raise MeasureFailedError(f"Only {active:,} of {len(tenants):,} tenants still had jobs waiting.")
    return rate, meter.words


def _set_strategy(strategy: str) -> None:
    """Set the active plan's strategy: the queues stay, so nothing moves."""
    plan = CFSPlan.objects.get(is_active=True)
    with acting_as(ACTOR):
        update_cfs_plan(plan=plan, fields={"strategy": str(strategy)}, reason="benchmark")


def measure_merged(folder: Path) -> list[Finding]:
    """Measure no-op jobs with all their state, of few and of many tenants."""
    return [_merged(folder, FEW_TENANTS), _merged(folder, ACTIVE_TENANTS)]


def _merged(folder: Path, tenants: int) -> Finding:
    rate, metered = _drain(folder, tenants=tenants)
    what = f"merged no-op jobs a second of {tenants:,} tenants, all state kept"
    words = (
        f"{SLOTS} slots, `noop` jobs with events, ledger, executions and tallies; PostgreSQL, Valkey, dispatcher and "
        f"worker on this machine; over {MERGED_SECONDS:.0f} s; measured meanwhile: {metered}; {_NO_OVERHEAD}"
    )
    # With so many tenants that each tick serves others, the promise is a ratio to the order of arrival.
    if tenants > FEW_TENANTS:
        return shown(what, f"{rate:,.0f}", words)
    simulated = measure_row("small_jobs_100_tenants").text
    return at_least(what, rate, MERGED_TARGET, ",.0f", words, simulated=simulated)


def measure_bare_celery(folder: Path) -> list[Finding]:
    """Measure turns from an existing backlog, each alone on the machine, before and after bare Celery.

    In one kind of turn jobs are merged normally: one a message while slots are free, more together as load grows. In
    the other each job has its own message.
    """
    alone, words_alone = _drain(folder, are_alone=True)
    together, words_together = _drain(folder)
    # Celery is the platform's own here: its programs are those of this environment.
    with patch.dict(os.environ, {PROGRAMS: str(Path(sys.executable).parent)}):
        bare = drain(BARE_CELERY, folder).rate
    togethers, alones = (together, _drain(folder)[0]), (alone, _drain(folder, are_alone=True)[0])
    ours, ours_alone = statistics.mean(togethers), statistics.mean(alones)
    simulated = measure_row("small_jobs_100_tenants").text
    return [
        at_least(
            "no-op jobs, one a message while slots are free and merged as load grows, against bare Celery in the same "
            "run",
            *(ours / bare, 1.0, ".0%"),
            _beside_celery(togethers, words_together),
            note=f" ({ours:,.0f} against {bare:,.0f} jobs/s)",
            simulated=simulated,
        ),
        shown(
            "no-op jobs that all are forbidden to share a message, against bare Celery in the same run",
            f"{ours_alone / bare:.0%} ({ours_alone:,.0f} against {bare:,.0f} jobs/s)",
            _beside_celery(alones, words_alone),
            simulated=simulated,
        ),
    ]


def _beside_celery(rates: Sequence[float], metered: str) -> str:
    return (
        f"jobs of {FEW_TENANTS} tenants, {SLOTS} slots; Celery: {BARE_CELERY.draining.settings}; on the same Valkey, "
        f"both from a backlog submitted before, so publishing is in ours and not in Celery's; turns of "
        f"{MERGED_SECONDS:.0f} s ({rates[0]:,.0f} before, {rates[1]:,.0f} after bare Celery); in the first, {metered}; "
        f"{_NO_OVERHEAD}"
    )


def _drain(folder: Path, *, tenants: int = FEW_TENANTS, are_alone: bool = False) -> tuple[float, str]:
    """Return the jobs per second from a backlog of equal tenants, and the meter's text."""
    jobs = ALONE_JOBS if are_alone else MERGED_JOBS
    done = drain_backlog(folder, jobs, MERGED_SECONDS, slots=SLOTS, tenants=tenants, merge_disabled=are_alone)
    return done.rate, done.words


TICKS, TICK_WARM_UP, TICK_TARGET = 15, 2, 2.0
# Jobs of a measured tick: as many slots are free, each for a job of its own.
JOBS = 500
# Tenants with waiting jobs, other tenants without any, and all waiting jobs.
Size = tuple[int, int, int]
FEW: Size = (10, 0, 10_000)
MANY: Size = (1_000, 0, 10_000)
MOST: Size = (100_000, 0, 100_000)
SIZES = ((500, 0, 1_000), MANY, (1_000, 99_000, 10_000), (1_000, 0, 1_000_000), MOST, (100_000, 0, 1_000_000))


def measure_ticks(folder: Path) -> list[Finding]:
    """Measure one tick of 500 jobs at each size, in this process; the hints are not published."""
    del folder
    took = {size: _time_ticks(size) for size in (FEW, *SIZES)}
    return [
        _compare("500 to 100,000 tenants, 1,000 to 1,000,000 waiting", took, SIZES),
        _compare("1,000 and 100,000 tenants", took, (MANY, MOST)),
        _compare_few(took),
    ]


def _compare(what: str, took: dict[Size, float], sizes: Sequence[Size]) -> Finding:
    times = [took[size] for size in sizes]
    each = "; ".join(f"{_words(size)}: {took[size]:.0f} ms" for size in sizes)
    return at_most(
        f"cost of one tick of {JOBS} jobs, {what}: greatest over least",
        *(max(times) / min(times), TICK_TARGET, ".2f×"),
        f"median of {TICKS} ticks, each of which also folds {JOBS} settled executions and the wakes of {JOBS} jobs "
        f"submitted one by one; jobs of 1 s, one a message, without publishing: {each}; the simulation shows whom 500 "
        "free slots go to among 20,000 tenants, and no cost",
        note=f" ({min(times):.0f} to {max(times):.0f} ms)",
        simulated=measure_row("tick_of_500").text,
    )


def _compare_few(took: dict[Size, float]) -> Finding:
    """Return the comparison of 10 and 1,000 tenants.

    Fewer tenants have fewer rows to write, so their tick should be cheaper; only the opposite is a fault.
    """
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
    with patch("scheduling.celery.publishing.publish", lambda hints: ()):
        _offer_slots(0)
        while run_tick(pool.pk).has_more:  # fold the wake-ups of the fill, without a free slot
            pass
        analyse()
        times = []
        for number in range(TICK_WARM_UP + TICKS):
            # Other tenants each time, if there are more than a tick's.
            first = number * JOBS % len(busy)
            times.append(_time_tick(pool.pk, [*busy[first:], *busy[:first]][:JOBS]))
    return statistics.median(times[TICK_WARM_UP:])


def _time_tick(pool_id: int, submitters: Sequence[UUID]) -> float:
    """Return a tick's milliseconds after all jobs in flight have ended and as many have been submitted."""
    run_statement("UPDATE scheduling_execution_live SET started_at = clock_timestamp() - interval '1 second'")
    with all_tenants():
        live = list(LiveExecution.objects.values_list("pk", "fence"))
    settle([Settlement.completed(execution_id, fence, None) for execution_id, fence in live])
    fill_backlog(submitters, JOBS, payload={}, one_by_one=True)
    _offer_slots(JOBS)
    began = time.perf_counter()
    result = run_tick(pool_id)
    took = (time.perf_counter() - began) * 1e3
    if result.dispatched != JOBS or ask("SELECT count(*) FROM scheduling_settled"):
        raise MeasureFailedError(f"A tick dispatched {result.dispatched} of {JOBS} jobs.")
    return took


def _offer_slots(free: int) -> None:
    """Offer so many slots beside those in use; the heartbeat is valid for as long as the part lasts."""
    run_statement(
        "UPDATE scheduling_worker SET heartbeat_at = now() + interval '1 hour', slots = %(free)s"
        " + (SELECT count(*) FROM scheduling_execution_live)",
        {"free": free},
    )
