"""No-op jobs per second: fair against first-in-first-out, merged, and beside bare Celery that keeps nothing."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from benchmarks.fairness.metering import Meter
from benchmarks.fairness.simulated import measure_row
from benchmarks.harness.filling import QUEUE, add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.harness.jobs import NOOP_US, count_waiting, measure_rate, wait_drained, warm_up
from benchmarks.harness.parts import Finding, MeasureFailedError, at_least, shown
from benchmarks.harness.processes import Processes, serving
from benchmarks.peers.benchmark import drain
from benchmarks.peers.playground import BARE_CELERY, PROGRAMS
from jobsplatform.demo.provision import ACTOR
from scheduling.models import CFSPlan, Queue
from scheduling.services.cfs_plans import update_cfs_plan
from scheduling.services.pauses import pause_queue, resume_queue
from tenants.context import acting_as

SLOTS = 2
ACTIVE_TENANTS, JOBS_EACH = 10_000, 16
FAIR, FIFO = CFSPlan.Strategy.TIME_SLICE, CFSPlan.Strategy.NOP
# In turns, so that whatever else changes meanwhile meets both.
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
    """Return the strategy of each turn, its rate, and what was metered."""
    clear_platform()
    tenants = add_tenants(ACTIVE_TENANTS, estimate_us=NOOP_US)
    fill_backlog(tenants, ACTIVE_TENANTS, payload={}, travels_alone=are_alone)
    with serving(folder, slots=SLOTS) as processes, acting_as(ACTOR):
        warm_up(processes)
        return [(turn, *_take_turn(processes, tenants, turn, are_alone=are_alone)) for turn in TURNS]


def _take_turn(processes: Processes, tenants: Sequence[UUID], strategy: str, *, are_alone: bool) -> tuple[float, str]:
    """Fill up while nothing runs, set the strategy, and count what ends."""
    queue = Queue.objects.get(name=QUEUE)
    pause_queue(queue=queue, reason="benchmark")
    wait_drained(processes)
    fill_backlog(tenants, len(tenants) * JOBS_EACH - count_waiting(), payload={}, travels_alone=are_alone)
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
    # Of so many that each tick serves other tenants, what is promised is a ratio, to the order of arrival.
    if tenants > FEW_TENANTS:
        return shown(what, f"{rate:,.0f}", words)
    simulated = measure_row("small_jobs_100_tenants").text
    return at_least(what, rate, MERGED_TARGET, ",.0f", words, simulated=simulated)


def measure_bare_celery(folder: Path) -> list[Finding]:
    """Measure turns from a backlog that waits already, each alone on the machine, before and after bare Celery.

    In one kind of turns jobs travel as they are: one at a time while slots are free, more together as load grows. In
    the other all travel alone.
    """
    alone, words_alone = _drain(folder, are_alone=True)
    together, words_together = _drain(folder)
    # Celery is the platform's own here: its programs are those of this environment.
    with patch.dict(os.environ, {PROGRAMS: str(Path(sys.executable).parent)}):
        bare = drain(BARE_CELERY, folder)
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
    """Return the jobs per second from a backlog of equal tenants, and what was metered."""
    clear_platform()
    jobs = ALONE_JOBS if are_alone else MERGED_JOBS
    fill_backlog(add_tenants(tenants, estimate_us=NOOP_US), jobs, payload={}, travels_alone=are_alone)
    analyse()
    with serving(folder, slots=SLOTS) as processes:
        warm_up(processes)
        with Meter(processes, slots=SLOTS) as meter:
            rate = measure_rate(processes, MERGED_SECONDS)
    return rate, meter.words
