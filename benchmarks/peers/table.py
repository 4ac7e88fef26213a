"""`make bench-peers`: the platform and its peers in turn on the same servers, draining no-op jobs and under a flood."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.harness.outcome import Outcome, draw_rows, write
from benchmarks.harness.verifying import COMMAND, verify_platform
from benchmarks.peers import draining, flood
from benchmarks.peers.apps.flooded.trickle import TENANTS
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.draining import ALONE, MERGED
from benchmarks.peers.kept import Run, begin_run
from benchmarks.peers.playground import Playground
from scheduling.conf import MAX_MESSAGE_JOBS, MESSAGE_WORK_US

ROUNDS = 5
DRAIN, FLOOD = "drain", "flood"
TABLES = (DRAIN, FLOOD)
OURS = "this platform"
# What carries one job a message while slots are free merges as load grows: under a backlog it is MERGED.
TARGETS = {MERGED: {"huey": 1.0, "Celery, bare": 5.0}}
_OUR_NAMES = {
    MERGED: f"{OURS}, merged ({MAX_MESSAGE_JOBS} jobs a message at most)",
    ALONE: f"{OURS}, jobs that may share no message",
}
_KEEPS = "all its state, events, executions, ledger"


def measure(
    folder: Path, *, programs: Path, rounds: int = ROUNDS, tables: Sequence[str] = (), resume: bool = False
) -> Outcome:
    """Rounds in which each has its turn, alone on the machine; the medians, and what is true of the platform's data
    after each of its turns. Raises MeasureFailedError where somebody does not run; what was measured is kept.
    """
    with Playground(programs, folder) as playground:
        run = begin_run(playground.versions([peer.package for peer in PEERS]), resume=resume)
        turns = _turns(playground, folder, tables or TABLES)
        for number in range(rounds):
            for (table, name), take in turns.items():
                if len(run.of(table, name)) <= number:
                    _take(run, table, name, take, f"round {number + 1} of {rounds}")
            write(draw(run))
    return draw(run)


def _turns(
    playground: Playground, folder: Path, tables: Sequence[str]
) -> dict[tuple[str, str], Callable[[], Mapping[str, float]]]:
    """Everybody's turns of one round, in their order."""
    turns: dict[tuple[str, str], Callable[[], Mapping[str, float]]] = {}
    if DRAIN in tables:
        for how in (MERGED, ALONE):
            turns[DRAIN, how] = lambda how=how: _verified({"rate": draining.drain_ours(folder, how)})
        for peer in PEERS:
            turns[DRAIN, peer.name] = lambda peer=peer: {"rate": draining.drain(playground, peer)}
    if FLOOD in tables:
        turns[FLOOD, OURS] = lambda: _verified(asdict(flood.flood_ours(folder)))
        for peer in PEERS:
            turns[FLOOD, peer.name] = lambda peer=peer: asdict(flood.flood(playground, peer, folder))
    return turns


def _take(run: Run, table: str, name: str, take: Callable[[], Mapping[str, float]], words: str) -> None:
    began = time.monotonic()
    measured = take()
    run.keep(table, name, measured)
    told = ", ".join(f"{what} {value:,.1f}" for what, value in measured.items())
    sys.stdout.write(f"{words}, {table}, {name}: {told} ({time.monotonic() - began:.0f} s)\n")
    sys.stdout.flush()


def _verified(measured: Mapping[str, float]) -> Mapping[str, float]:
    verify_platform()
    return measured


def draw(run: Run) -> Outcome:
    """Both tables of what was measured so far; a target that cannot be judged yet is missed."""
    missed = _missed(run)
    counts = sorted({len(turns) for table in run.turns.values() for turns in table.values()})
    return Outcome(
        name="throughput",
        title="Beside other queues: no-op jobs a second, and quiet tenants under a flood",
        rows=_drain_rows(run),
        target="merged, as a backlog is by itself, ≥ 1.0× huey and ≥ 5× bare Celery; for jobs that may share no "
        "message, and under a flood, none",
        is_met=not missed,
        verdict=f"missed ({'; '.join(missed)})" if missed else "met",
        method=_METHOD.format(
            rounds=" to ".join(str(count) for count in {counts[0], counts[-1]}) if counts else "0",
            drain_seconds=draining.TURN_SECONDS,
            drain_settings="\n".join(_drain_settings()),
            flood="\n".join(draw_rows(_flood_rows(run))),
            flood_settings="\n".join(_flood_settings()),
        ),
        reproduce="make bench-peers",
        measured_on=f"Measured on {run.date}: {run.machine}; all processes share the machine, whose load was "
        f"{run.load:.1f} before.",
    )


def _missed(run: Run) -> list[str]:
    missed = []
    for how, targets in TARGETS.items():
        for name, least in targets.items():
            ratio = _ratio(run, how, name)
            if ratio is None or ratio < least:
                missed.append(f"{how}: {_times(ratio)} {name} of {least:g}×")
    return missed


def _drain_rows(run: Run) -> list[list[str]]:
    rows = [["what", "keeps of a job", "jobs/s", "of all turns", "ours merged", "ours one a message"]]
    rows += [[name, _KEEPS, *_rates(run, DRAIN, how), "", ""] for how, name in _OUR_NAMES.items()]
    for peer in PEERS:
        ratios = [_times(_ratio(run, how, peer.name)) for how in _OUR_NAMES]
        rows.append([_versioned(run, peer), peer.keeps, *_rates(run, DRAIN, peer.name), *ratios])
    return rows


def _flood_rows(run: Run) -> list[list[str]]:
    rows = [["what", "quiet p50, ms", "quiet p99, ms", "p99 of all turns", "jobs/s of all", "of all turns"]]
    for name, key in ((OURS, OURS), *((_versioned(run, peer), peer.name) for peer in PEERS)):
        waits = [_middle(run, FLOOD, key, part) for part in ("p50", "p99")]
        told = [f"{wait:,.1f}" if wait is not None else "–" for wait in waits]
        rows.append([name, *told, _span(run, FLOOD, key, "p99"), *_rates(run, FLOOD, key)])
    return rows


def _drain_settings() -> list[str]:
    ours = (
        f"- {OURS}: one dispatcher, one worker with {draining.SLOTS} processes and none to spare, a job at a time in "
        f"each; jobs of {draining.TENANTS} tenants; up to {MAX_MESSAGE_JOBS} jobs a message where they are merged; "
        f"{_KEEPS} and tallies are kept ({draining.JOBS[MERGED]:,} jobs waiting, {draining.JOBS[ALONE]:,} for one a "
        "message)."
    )
    return [
        ours,
        *(
            f"- [{peer.name}](../peers/apps/{peer.module}.py): {peer.draining.settings} ({peer.jobs:,} jobs waiting)."
            for peer in PEERS
        ),
    ]


def _flood_settings() -> list[str]:
    ours = (
        f"- {OURS}: one dispatcher, one worker with {flood.SLOTS} processes and none to spare, a job at a time in "
        "each; one queue for all tenants, equal weights, and nobody tells it who floods; merged as it comes, jobs of "
        f"{MESSAGE_WORK_US / 1e6:g} s a message at most."
    )
    return [
        ours,
        *(f"- [{peer.name}](../peers/apps/flooded/{peer.module}.py): {peer.flooded.settings}." for peer in PEERS),
    ]


_METHOD = f"""Medians of {{rounds}} rounds, in each of which everybody has a turn alone on the machine, that also \
carries the one PostgreSQL (synchronous_commit on) and the one Valkey; the least and the greatest stand beside them. A \
message carries one job where nothing else is said. After each of the platform's turns \
`{COMMAND}` is clean.

Above: a backlog waits before the workers start; {draining.SETTLE_SECONDS:g} s after its first job it is measured for \
{{drain_seconds:g}} s.

{{drain_settings}}

## One tenant of {TENANTS} floods

{{flood}}

{flood.BULK_JOBS:,} jobs that sleep for {flood.BULK_SECONDS * 1e3:.0f} ms wait for one tenant while the other \
{TENANTS - 1} submit {flood.QUICK_A_SECOND:g} no-op jobs a second together for {flood.TRICKLE_SECONDS:g} s, at the \
same moments for everybody, one at a time. A wait is from the call that submits to the start of the job. Two jobs run \
at a time for everybody. Each peer has its usual answer to this; but for a queue a tenant, all of them have to be \
told by the application who floods.

{{flood_settings}}"""


def _versioned(run: Run, peer: Peer) -> str:
    return f"{peer.name} {run.versions[peer.package]}"


def _middle(run: Run, table: str, name: str, what: str = "rate") -> float | None:
    values = [turn[what] for turn in run.of(table, name)]
    return statistics.median(values) if values else None


def _ratio(run: Run, how: str, name: str) -> float | None:
    ours, theirs = _middle(run, DRAIN, how), _middle(run, DRAIN, name)
    return ours / theirs if ours is not None and theirs else None


def _times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}×"


def _rates(run: Run, table: str, name: str) -> list[str]:
    middle = _middle(run, table, name)
    return ["–" if middle is None else f"{middle:,.0f}", _span(run, table, name, "rate")]


def _span(run: Run, table: str, name: str, what: str) -> str:
    values = [turn[what] for turn in run.of(table, name)]
    return f"{min(values):,.0f}–{max(values):,.0f}" if values else "–"
