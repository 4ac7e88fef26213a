"""One turn of the platform or of a peer, alone on the machine: a backlog that drains, or one tenant that floods."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.harness.draining import NOOP_US, SETTLE_SECONDS, count_ended, measure_rate, warm_up
from benchmarks.harness.filling import add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.probing import submit_one
from benchmarks.harness.processes import Processes, serving
from benchmarks.harness.verifying import verify_platform
from benchmarks.peers.apps.jobs import BULK_SECONDS, NOISY, TENANTS, trickle
from benchmarks.peers.catalogue import Peer, Servers
from benchmarks.peers.playground import Turn
from jobsplatform.demo.measures import percentile
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant

SLOTS, DRAIN_TENANTS = 2, 100
READY_SECONDS, LATE_SECONDS, TURN_SECONDS = 60.0, 30.0, 6.0
# Counting a table of jobs more often would slow down the peer.
LOOK_SECONDS = 0.5
# A measurement ends when so little of the backlog is left: its last jobs run alone.
LAST_PART = 0.05
MERGED, ALONE = "merged", "alone"
# They last for a turn at several times today's rate.
JOBS = {MERGED: 90_000, ALONE: 15_000}
BULK_JOBS, QUICK_A_SECOND, WARM_UP_JOBS = 4_000, 20.0, 100
_ENDED_BETWEEN = (
    "SELECT count(*) FROM scheduling_execution WHERE ended_at >= to_timestamp(%s) AND ended_at < to_timestamp(%s)"
)


@dataclass(frozen=True, slots=True)
class Flooded:
    """Jobs per second of all tenants, and the waits of the quiet ones in milliseconds."""

    rate: float
    p50: float
    p99: float


def drain_ours(folder: Path, how: str) -> float:
    """Return the platform's jobs per second, MERGED or ALONE."""
    clear_platform()
    fill_backlog(add_tenants(DRAIN_TENANTS, estimate_us=NOOP_US), JOBS[how], payload={}, travels_alone=how == ALONE)
    analyse()
    with serving(folder, slots=SLOTS, has_spare=False) as processes:
        warm_up(processes)
        rate = measure_rate(processes, TURN_SECONDS)
    verify_platform()
    return rate


def drain(peer: Peer, folder: Path) -> float:
    """Return a peer's jobs per second. Raise MeasureFailedError if it does not run."""
    with Turn(peer, peer.draining, f"peer.enqueue({peer.jobs})").running(folder) as (servers, processes):
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


def flood_ours(folder: Path) -> Flooded:
    """Return what the platform reaches; it is not told which tenant floods."""
    clear_platform()
    ids = add_tenants(TENANTS, estimate_us=round(BULK_SECONDS * 1e6))
    fill_backlog([ids[NOISY]], BULK_JOBS, kind="sleep", payload={"seconds": BULK_SECONDS})
    analyse()
    with all_tenants():
        tenants = Tenant.objects.in_bulk(ids)
    submitted: dict[UUID, float] = {}
    started: dict[UUID, float] = {}

    def submit(number: int, at: float) -> None:
        submitted[submit_one(tenants[ids[number]])] = at

    def have_started() -> bool:
        started.update(_starts(list(submitted)))
        return len(started) == len(submitted)

    with serving(folder, slots=SLOTS, has_spare=False) as processes:
        processes.wait_until(lambda: count_ended() >= WARM_UP_JOBS, within=READY_SECONDS, what="the first jobs end")
        began = time.time()
        trickle(submit, seconds=TURN_SECONDS, per_second=QUICK_A_SECOND)
        ended = time.time()
        processes.wait_until(have_started, within=LATE_SECONDS, what="all quiet tenants' jobs start")
    done = ask(_ENDED_BETWEEN, [began, ended])
    verify_platform()
    return _conclude("this platform", done, ended - began, [started[job] - at for job, at in submitted.items()])


def flood(peer: Peer, folder: Path) -> Flooded:
    """Return what a peer reaches. Raise MeasureFailedError if it does not run."""
    record, marks = folder / "record", folder / "marks"
    record.unlink(missing_ok=True)
    turn = Turn(peer, peer.flooded, f"peer.flood({BULK_JOBS})", record)
    submitting = (
        "import pathlib, time, jobs\nbegan = time.time()\n"
        f"sent = jobs.trickle(peer.submit, seconds={TURN_SECONDS}, per_second={QUICK_A_SECOND})\n"
        f"pathlib.Path({str(marks)!r}).write_text(' '.join(map(str, (began, time.time(), sent))))"
    )
    with turn.running(folder) as (_, processes):
        processes.wait_until(
            lambda: len(_read(record)) >= WARM_UP_JOBS, within=READY_SECONDS, what=f"{peer.name} runs jobs"
        )
        turn.call(submitting)
        began, ended, sent = map(float, marks.read_text().split())
        processes.wait_until(lambda: len(_waits(record)) >= sent, within=LATE_SECONDS, what=f"{peer.name} ends")
    done = sum(began <= float(words[1]) < ended for words in _read(record))
    return _conclude(peer.name, done, ended - began, _waits(record))


def _read(record: Path) -> list[list[str]]:
    """Return the words of each whole line that the jobs have written."""
    if not record.exists():
        return []
    return [line.split() for line in record.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _waits(record: Path) -> list[float]:
    return [float(words[2]) for words in _read(record) if words[0] == "quick"]


def _starts(job_ids: Sequence[UUID]) -> dict[UUID, float]:
    with all_tenants():
        found = Job.objects.filter(pk__in=job_ids, started_at__isnull=False).values_list("pk", "started_at")
        return {job_id: at.timestamp() for job_id, at in found}


def _conclude(name: str, done: int, took: float, waits: Sequence[float]) -> Flooded:
    if done >= BULK_JOBS - WARM_UP_JOBS:
        raise MeasureFailedError(f"{name} had done the whole flood before the turn was over.")
    return Flooded(done / took, *(1e3 * percentile(waits, part) for part in (0.5, 0.99)))
