"""A turn of the first table: a backlog of jobs that do nothing, and how fast it goes down."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.harness.draining import NOOP_US, SETTLE_SECONDS, measure_rate, warm_up
from benchmarks.harness.filling import add_tenants, analyse, clear_platform, fill_backlog
from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.processes import Processes, serving
from benchmarks.peers.catalogue import Peer, Servers
from benchmarks.peers.playground import APPS, Playground, Turn

SLOTS, TENANTS = 2, 100
READY_SECONDS, TURN_SECONDS = 60.0, 6.0
# So seldom that counting a table of jobs does not slow down whom it measures.
LOOK_SECONDS = 0.5
# Where so little of it is left the measure ends: the last jobs of a backlog run alone.
LAST_PART = 0.05
MERGED, ALONE = "merged", "alone"
# Enough for a turn at several times today's pace.
JOBS = {MERGED: 90_000, ALONE: 15_000}


def drain_ours(folder: Path, how: str) -> float:
    """The platform's jobs a second, MERGED or ALONE."""
    clear_platform()
    fill_backlog(add_tenants(TENANTS, estimate_us=NOOP_US), JOBS[how], payload={}, travels_alone=how == ALONE)
    analyse()
    with serving(folder, slots=SLOTS, has_spare=False) as processes:
        warm_up(processes)
        return measure_rate(processes, TURN_SECONDS)


def drain(playground: Playground, peer: Peer) -> float:
    """A peer's jobs a second. Raises MeasureFailedError where it does not run."""
    turn = Turn(peer, peer.draining, APPS, f"peer.enqueue({peer.jobs})")
    with playground.running(turn) as (servers, processes):
        return _rate(peer, servers, processes)


def _rate(peer: Peer, servers: Servers, processes: Processes) -> float:
    least = peer.jobs * LAST_PART
    processes.wait_until(lambda: peer.left(servers) < peer.jobs, within=READY_SECONDS, what=f"{peer.name} takes jobs")
    time.sleep(SETTLE_SECONDS)
    before, began = peer.left(servers), time.monotonic()
    left, took = before, 0.0
    while left > least and took < TURN_SECONDS:
        time.sleep(LOOK_SECONDS)
        processes.require_alive()
        left, took = peer.left(servers), time.monotonic() - began
    if took < LOOK_SECONDS or left == before:
        raise MeasureFailedError(f"{peer.name} did {before - left:,} jobs in {took:.1f} s, and {left:,} were left.")
    return (before - left) / took
