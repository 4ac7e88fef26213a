"""`make bench-peers`: no-op jobs a second of the platform and of its peers, in turn on the same servers."""

from __future__ import annotations

import statistics
from collections import defaultdict
from io import StringIO
from pathlib import Path

from django.core.management import call_command

from benchmarks.fair.filling import add_tenants, analyse, clear_platform, fill_backlog
from benchmarks.fair.processes import serving
from benchmarks.fair.throughput import NOOP_US, measure_rate, warm_up
from benchmarks.outcome import Outcome
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.turns import TURN_SECONDS, Playground
from scheduling.conf import MAX_MESSAGE_JOBS

ROUNDS = 5
SLOTS, TENANTS = 2, 100
MERGED, ALONE = "merged", "alone"
# Enough for a turn at ten times today's pace.
JOBS = {MERGED: 150_000, ALONE: 20_000}
TARGETS = {MERGED: {"huey": 1.0, "Celery, bare": 5.0}, ALONE: {"Celery, bare": 1.0}}
VERIFIED = ("verify_ledger", "verify_state", "verify_audit")


def measure(folder: Path, *, programs: Path, rounds: int = ROUNDS) -> Outcome:
    """Rounds in which each has its turn, alone on the machine; the medians, and what is true of the platform's data
    after each of its turns. Raises MeasureFailedError where somebody does not run.
    """
    playground = Playground(programs, folder)
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for how in (MERGED, ALONE):
            rates[how].append(_our_turn(folder, how))
        for peer in PEERS:
            rates[peer.name].append(playground.take_turn(peer))
    middle = {name: statistics.median(measured) for name, measured in rates.items()}
    versions = playground.versions([peer.package for peer in PEERS])
    missed = [
        f"{how}: {middle[how] / middle[name]:.2f}× {name} of {least:g}×"
        for how, targets in TARGETS.items()
        for name, least in targets.items()
        if middle[how] < least * middle[name]
    ]
    rows = [
        ["what", "keeps of a job", "jobs/s", "of all turns", "ours merged", "ours one a message"],
        _our_row(f"this platform, merged ({MAX_MESSAGE_JOBS} a message at most)", rates[MERGED]),
        _our_row("this platform, one job a message", rates[ALONE]),
        *(
            [
                f"{peer.name} {versions[peer.package]}",
                peer.keeps,
                f"{middle[peer.name]:,.0f}",
                _span(rates[peer.name]),
                f"{middle[MERGED] / middle[peer.name]:.2f}×",
                f"{middle[ALONE] / middle[peer.name]:.2f}×",
            ]
            for peer in PEERS
        ),
    ]
    settings = "; ".join(f"{peer.name}: {peer.settings}" for peer in PEERS)
    return Outcome(
        name="throughput",
        title="No-op jobs a second, beside other queues",
        rows=rows,
        target="merged ≥ 1.0× huey and ≥ 5× bare Celery; one a message ≥ 1.0× bare Celery",
        is_met=not missed,
        verdict=f"missed ({'; '.join(missed)})" if missed else "met",
        method=f"Medians of {rounds} rounds, in each of which everybody has a turn of {TURN_SECONDS:.0f} s alone on "
        "the machine, that also carries the one PostgreSQL (synchronous_commit on) and the one Valkey; a backlog waits "
        f"before the workers start, and its middle is measured. Ours: jobs of {TENANTS} tenants, {SLOTS} slots, one "
        "dispatcher, with all state, events, ledger, executions, tallies; "
        f"{', '.join(f'`{name}`' for name in VERIFIED)} are clean after each of its turns. {settings}. Settings and "
        "code of each: `benchmarks/peers/`.",
        reproduce="make bench-peers",
    )


def _our_turn(folder: Path, how: str) -> float:
    clear_platform()
    fill_backlog(add_tenants(TENANTS, estimate_us=NOOP_US), JOBS[how], payload={}, travels_alone=how == ALONE)
    analyse()
    with serving(folder, slots=SLOTS) as processes:
        warm_up(processes)
        rate = measure_rate(processes, TURN_SECONDS)
    for name in VERIFIED:
        call_command(name, stdout=StringIO())
    return rate


def _our_row(what: str, rates: list[float]) -> list[str]:
    keeps = "all its state, events, executions, ledger"
    return [what, keeps, f"{statistics.median(rates):,.0f}", _span(rates), "", ""]


def _span(rates: list[float]) -> str:
    return f"{min(rates):,.0f}–{max(rates):,.0f}"
