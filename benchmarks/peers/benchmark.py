"""The platform beside other job queues, in turns on the same servers: no-op jobs per second, and waits in a flood."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.harness.draining import SETTLE_SECONDS
from benchmarks.harness.parts import NO_TARGET, Benchmark, Finding, Part
from benchmarks.harness.verifying import COMMAND
from benchmarks.peers import turns
from benchmarks.peers.apps.jobs import BULK_SECONDS, TENANTS
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.playground import read_versions
from benchmarks.peers.turns import ALONE, MERGED, Flooded
from scheduling.conf import MAX_MESSAGE_JOBS, MESSAGE_WORK_US

ROUNDS = int(os.environ.get("ROUNDS", "5"))
OURS = "this platform"
# Times the peer's rate. A backlog is merged by itself; jobs that may share no message have no target.
TARGETS = {"huey": 1.0, "Celery, bare": 5.0}
_OUR_NAMES = {
    MERGED: f"{OURS}, merged (at most {MAX_MESSAGE_JOBS:,} jobs a message)",
    ALONE: f"{OURS}, jobs that may share no message",
}
_OUR_WORKER = f"one dispatcher, one worker with {turns.SLOTS} processes and no spare one, a job at a time in each"


def measure_drain(folder: Path) -> list[Finding]:
    """Measure the rates at which backlogs of no-op jobs drain."""
    takes = {how: partial(turns.drain_ours, folder, how) for how in _OUR_NAMES}
    takes |= {peer.name: partial(turns.drain, peer, folder) for peer in PEERS}
    return compare_rates(_take_turns(takes), read_versions())


def measure_flood(folder: Path) -> list[Finding]:
    """Measure how long quiet tenants' jobs wait while one tenant floods."""
    takes = {OURS: partial(turns.flood_ours, folder)}
    takes |= {peer.name: partial(turns.flood, peer, folder) for peer in PEERS}
    return describe_floods(_take_turns(takes), read_versions())


def _take_turns[T](takes: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Run ROUNDS rounds with a turn of each; return what was measured by name."""
    found: dict[str, list[T]] = {name: [] for name in takes}
    for number in range(ROUNDS):
        for name, take in takes.items():
            found[name].append(take())
            sys.stdout.write(f"round {number + 1} of {ROUNDS}, {name}: {found[name][-1]}\n")
            sys.stdout.flush()
    return found


def compare_rates(rates: Mapping[str, Sequence[float]], versions: Mapping[str, str]) -> list[Finding]:
    """Return a row for each way of the platform, and one for each peer with its target."""
    ours = [
        Finding(
            what=f"no-op jobs per second: {name}",
            target=NO_TARGET,
            measured=_spread(rates[how], ",.0f"),
            is_met=True,
            beside=f"{_OUR_WORKER}; {turns.DRAIN_TENANTS} tenants; stores all state, events, executions, ledger and "
            f"tallies; {turns.JOBS[how]:,} jobs waiting",
        )
        for how, name in _OUR_NAMES.items()
    ]
    return ours + [_compare_peer(peer, rates, versions[peer.package]) for peer in PEERS]


def _compare_peer(peer: Peer, rates: Mapping[str, Sequence[float]], version: str) -> Finding:
    merged, alone = (statistics.median(rates[how]) / statistics.median(rates[peer.name]) for how in (MERGED, ALONE))
    target = TARGETS.get(peer.name)
    return Finding(
        what=f"no-op jobs per second: {peer.name} {version}",
        target=NO_TARGET if target is None else f"platform, merged ≥ {target:g}×",
        measured=f"{_spread(rates[peer.name], ',.0f')}; platform, merged {merged:.2f}×, one a message {alone:.2f}×",
        is_met=target is None or merged >= target,
        beside=f"{peer.draining.settings}; stores {peer.keeps}; {peer.jobs:,} jobs waiting",
    )


def describe_floods(found: Mapping[str, Sequence[Flooded]], versions: Mapping[str, str]) -> list[Finding]:
    """Return a row for the platform and each peer; none has a target."""
    ours = (
        f"{_OUR_WORKER}; one queue for all tenants, equal weights, and no word on which tenant floods; merged by "
        f"itself, messages of {MESSAGE_WORK_US / 1e6:g} s of work at most"
    )
    rows = [(OURS, OURS, ours)]
    rows += [(peer.name, f"{peer.name} {versions[peer.package]}", peer.flooded.settings) for peer in PEERS]
    return [
        Finding(
            what=f"quiet tenants' p99 start while one of {TENANTS} floods: {name}",
            target=NO_TARGET,
            measured=f"{_spread([one.p99 for one in found[key]], ',.1f')} ms "
            f"(p50 {statistics.median(one.p50 for one in found[key]):,.1f}) with "
            f"{_spread([one.rate for one in found[key]], ',.0f')} jobs/s of all",
            is_met=True,
            beside=settings,
        )
        for key, name, settings in rows
    ]


def _spread(values: Sequence[float], form: str) -> str:
    """Return the median, and the least and the greatest of all turns."""
    return f"{statistics.median(values):{form}} ({min(values):,.0f}–{max(values):,.0f})"


BENCHMARK = Benchmark(
    name="throughput",
    title="Beside other queues: no-op jobs per second, and quiet tenants in a flood",
    parts=(Part("drain", 12.0, measure_drain), Part("flood", 10.0, measure_flood)),
    method=f"Medians of {ROUNDS} rounds with the least and the greatest turn; each system has the machine to itself in "
    "its turn, with one PostgreSQL (synchronous_commit on) and one Valkey. A message carries one job unless stated "
    f"otherwise. `{COMMAND}` finds nothing after each turn of the platform. Rates are measured over "
    f"{turns.TURN_SECONDS:g} s, {SETTLE_SECONDS:g} s after the first job of a backlog that waits before the workers "
    f"start. In a flood {turns.BULK_JOBS:,} jobs of {BULK_SECONDS * 1e3:.0f} ms wait for one tenant while the other "
    f"{TENANTS - 1} submit {turns.QUICK_A_SECOND:g} no-op jobs per second together for {turns.TURN_SECONDS:g} s, one "
    "at a time, at the same times for each system; a wait is from the call that submits to the start of the job. Two "
    "jobs run at a time. Each peer uses its usual remedy, for which the application has to mark the flood's jobs.",
    reproduce="make bench-peers",
)
