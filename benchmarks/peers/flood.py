"""A turn of the second table: fifty tenants, of which one floods, and how long the others' jobs wait meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from benchmarks.harness.filling import add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.harness.parts import MeasureFailedError
from benchmarks.harness.probing import submit_one
from benchmarks.harness.processes import serving
from benchmarks.peers.apps.flooded.trickle import NOISY, TENANTS, trickle
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.playground import APPS, Playground, Turn
from jobsplatform.demo.measures import percentile
from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant

SLOTS = 2
BULK_JOBS, BULK_SECONDS = 4_000, 0.015
TRICKLE_SECONDS, QUICK_A_SECOND = 6.0, 20.0
WARM_UP_JOBS = 100
READY_SECONDS, LATE_SECONDS = 60.0, 30.0
_ENDED = "SELECT count(*) FROM scheduling_execution"
_ENDED_BETWEEN = (
    "SELECT count(*) FROM scheduling_execution WHERE ended_at >= to_timestamp(%s) AND ended_at < to_timestamp(%s)"
)


@dataclass(frozen=True, slots=True)
class Flooded:
    """Jobs of all tenants a second, and the quiet ones' waits in milliseconds."""

    rate: float
    p50: float
    p99: float


def flood_ours(folder: Path) -> Flooded:
    """The platform's turn; nobody tells it who floods."""
    clear_platform()
    ids = add_tenants(TENANTS, estimate_us=round(BULK_SECONDS * 1e6))
    fill_backlog([ids[NOISY]], BULK_JOBS, kind="sleep", payload={"seconds": BULK_SECONDS})
    analyse()
    with all_tenants():
        tenants = Tenant.objects.in_bulk(ids)
    submitted: dict[UUID, float] = {}

    def submit(number: int, at: float) -> None:
        submitted[submit_one(tenants[ids[number]])] = at

    with serving(folder, slots=SLOTS, has_spare=False) as processes:
        processes.wait_until(lambda: ask(_ENDED) >= WARM_UP_JOBS, within=READY_SECONDS, what="the first jobs end")
        began = time.time()
        trickle(submit, seconds=TRICKLE_SECONDS, per_second=QUICK_A_SECOND)
        ended = time.time()
        started: dict[UUID, float] = {}

        def have_started() -> bool:
            started.update(_starts(list(submitted)))
            return len(started) == len(submitted)

        processes.wait_until(have_started, within=LATE_SECONDS, what="all quiet tenants' jobs start")
    done = ask(_ENDED_BETWEEN, [began, ended])
    return _conclude("this platform", done, ended - began, [started[job] - at for job, at in submitted.items()])


def flood(playground: Playground, peer: Peer, folder: Path) -> Flooded:
    """A peer's turn. Raises MeasureFailedError where it does not run."""
    record = folder / f"{peer.module}.record"
    record.unlink(missing_ok=True)
    turn = Turn(peer, peer.flooded, APPS / "flooded", f"peer.flood({BULK_JOBS})", {"PEER_RECORD": str(record)})
    marks = folder / f"{peer.module}.marks"
    submitting = (
        "import pathlib, time, trickle\nbegan = time.time()\n"
        f"sent = trickle.trickle(peer.submit, seconds={TRICKLE_SECONDS}, per_second={QUICK_A_SECOND})\n"
        f"pathlib.Path({str(marks)!r}).write_text(' '.join(map(str, (began, time.time(), sent))))"
    )
    with playground.running(turn) as (_, processes):
        processes.wait_until(
            lambda: len(_read(record)) >= WARM_UP_JOBS, within=READY_SECONDS, what=f"{peer.name} does jobs"
        )
        playground.call(turn, submitting)
        began, ended, sent = map(float, marks.read_text().split())
        processes.wait_until(lambda: len(_waits(record)) >= sent, within=LATE_SECONDS, what=f"{peer.name} ends")
    lines = _read(record)
    done = sum(began <= float(words[1]) < ended for words in lines)
    return _conclude(peer.name, done, ended - began, _waits(record))


def _read(record: Path) -> list[list[str]]:
    """The words of each whole line that the jobs have written."""
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
