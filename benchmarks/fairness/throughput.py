"""No-op jobs per second: fair against first-in-first-out, and merged."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from benchmarks.fairness.metering import Meter
from benchmarks.fairness.simulated import measure_row
from benchmarks.harness.draining import NOOP_US, count_waiting, measure_rate, wait_drained, warm_up
from benchmarks.harness.filling import QUEUE, add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.harness.parts import NO_TARGET, Finding, MeasureFailedError
from benchmarks.harness.processes import Processes, serving
from jobsplatform.demo.provision import ACTOR
from scheduling.models import CFSPlan, Queue
from scheduling.services.cfs_plans import update_cfs_plan
from scheduling.services.pauses import pause_queue, resume_queue
from tenants.context import acting_as

SLOTS = 2
ACTIVE_TENANTS, JOBS_EACH = 10_000, 16
FAIR, FIFO = CFSPlan.Strategy.TIME_SLICE, CFSPlan.Strategy.NOP
# In turns, so that whatever else changes meanwhile meets both.
TURNS = (FAIR, FIFO, FIFO, FAIR)
TURN_SECONDS = 14.0
THROUGHPUT_TARGET = 0.9

MERGED_TENANTS = (100, 10_000)
MERGED_JOBS, MERGED_SECONDS = 220_000, 12.0
MERGED_TARGET = 5_000
_ACTIVE = "SELECT count(DISTINCT entity_id) FROM scheduling_job_ready"


def measure_throughput(folder: Path) -> list[Finding]:
    """No-op jobs of 10,000 tenants that all wait throughout, in fair order and in order of arrival."""
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
    return Finding(
        what=f"throughput with {ACTIVE_TENANTS:,} active tenants, fair against FIFO, "
        + ("one job a message" if are_alone else "merged"),
        target=f"≥ {THROUGHPUT_TARGET:.0%}",
        measured=f"{fair / fifo:.0%} ({fair:.0f} against {fifo:.0f} jobs/s)",
        is_met=fair / fifo >= THROUGHPUT_TARGET,
        beside=f"{SLOTS} slots, `noop` jobs; turns of {TURN_SECONDS:.0f} s in one run ({turns} jobs/s, fair ones "
        "first), between which only the strategy of the active plan is changed; each begins with "
        f"{JOBS_EACH} jobs waiting for each tenant, those after one another of tenants far apart, and ended "
        "with jobs of all tenants waiting; in the last fair "
        f"turn, {words[FAIR]}; in the last one of FIFO, {words[FIFO]}",
        simulated=f"{measure_row('ten_thousand_tenants').value:.0%}",
    )


def _take_turns(folder: Path, *, are_alone: bool) -> list[tuple[str, float, str]]:
    """The strategy of each turn, its rate, and what was metered."""
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
    active = ask(_ACTIVE)
    if active < len(tenants):
        raise MeasureFailedError(f"Only {active:,} of {len(tenants):,} tenants still had jobs waiting.")
    return rate, meter.words


def _set_strategy(strategy: str) -> None:
    """On the active plan: the queues stay, so nothing moves."""
    with acting_as(ACTOR):
        update_cfs_plan(
            plan=CFSPlan.objects.get(is_active=True), fields={"strategy": str(strategy)}, reason="benchmark"
        )


def measure_merged(folder: Path) -> list[Finding]:
    """No-op jobs with all their state, of few and of many tenants."""
    return [_drain_merged(folder, tenants=count) for count in MERGED_TENANTS]


def _drain_merged(folder: Path, *, tenants: int) -> Finding:
    clear_platform()
    fill_backlog(add_tenants(tenants, estimate_us=NOOP_US), MERGED_JOBS, payload={})
    analyse()
    with serving(folder, slots=SLOTS) as processes:
        warm_up(processes)
        with Meter(processes, slots=SLOTS) as meter:
            rate = measure_rate(processes, MERGED_SECONDS)
    # Of so many that each tick serves other tenants, what is promised is a ratio, to the order of arrival.
    is_promised = tenants == min(MERGED_TENANTS)
    return Finding(
        what=f"merged no-op jobs a second of {tenants:,} tenants, all state kept",
        target=f"≥ {MERGED_TARGET:,}" if is_promised else NO_TARGET,
        measured=f"{rate:,.0f}",
        is_met=rate >= MERGED_TARGET or not is_promised,
        beside=f"{SLOTS} slots, `noop` jobs with events, ledger, executions and tallies; PostgreSQL, Valkey, "
        f"dispatcher and worker on this machine; over {MERGED_SECONDS:.0f} s; measured meanwhile: {meter.words}; the "
        "simulator knows no overhead and merges nothing, so it shows the shares of 100 tenants with jobs of 1 ms "
        "and no throughput",
        simulated=measure_row("small_jobs_100_tenants").text if is_promised else "–",
    )
