"""Jobs that end per second while a backlog drains."""

from __future__ import annotations

import time

from benchmarks.harness.filling import ask
from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.processes import Processes

# Estimates begin where a tenant's first jobs would have brought them: a job of unknown cost is not merged.
NOOP_US = 1_000
SETTLE_SECONDS = 2.0
# After so many jobs the kind's cost is known: the first ones of a kind are not merged.
WARM_UP_JOBS = 200
DRAIN_SECONDS = 60.0
_ENDED = "SELECT count(*) FROM scheduling_execution"
_WAITING = "SELECT count(*) FROM scheduling_job_ready"
_UNFINISHED = "SELECT (SELECT count(*) FROM scheduling_execution_live) + (SELECT count(*) FROM scheduling_settled)"


def count_ended() -> int:
    """Return the number of attempts that have ended."""
    return ask(_ENDED)


def count_waiting() -> int:
    """Return the number of jobs that wait for a slot."""
    return ask(_WAITING)


def warm_up(processes: Processes) -> None:
    """Wait until the kind's cost is known and all is loaded."""
    processes.wait_until(lambda: count_ended() >= WARM_UP_JOBS, within=DRAIN_SECONDS, what="the first jobs end")


def wait_drained(processes: Processes) -> None:
    """Wait until nothing is in flight, and the dispatcher has folded what ended."""
    processes.wait_until(lambda: ask(_UNFINISHED) == 0, within=DRAIN_SECONDS, what="nothing is in flight")


def measure_rate(processes: Processes, seconds: float) -> float:
    """Return the jobs that end per second, after a moment to settle. Raise MeasureFailedError if none is left."""
    time.sleep(SETTLE_SECONDS)
    processes.require_alive()
    before, began = count_ended(), time.monotonic()
    time.sleep(seconds)
    processes.require_alive()
    ended, took = count_ended() - before, time.monotonic() - began
    if not ended or not count_waiting():
        raise MeasureFailedError(f"{ended:,} jobs ended in {took:.0f} s, and none was left.")
    return ended / took
