"""The platform compared with other job queues on the same servers: no-op jobs, and waits in a flood."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

from benchmarks.harness.filling import add_tenants, analyse, ask, clear_platform, fill_backlog
from benchmarks.harness.jobs import (
    SETTLE_SECONDS,
    Drained,
    count_ended,
    drain_backlog,
    read_starts,
    submit_one,
    verify_platform,
)
from benchmarks.harness.parts import NO_TARGET, Benchmark, Finding, MeasureFailedError, Part, shown
from benchmarks.harness.processes import read_processor_seconds, serving
from benchmarks.peers.apps.jobs import BULK_SECONDS, NOISY, TENANTS, trickle
from benchmarks.peers.playground import PEERS, Peer, Turn, read_versions
from jobsplatform.demo.measures import percentile
from scheduling.conf import LIST_WORK_US, MAX_MESSAGE_JOBS
from tenants.context import all_tenants
from tenants.models import Tenant

SLOTS, DRAIN_TENANTS = 2, 100
READY_SECONDS, LATE_SECONDS, TURN_SECONDS = 60.0, 30.0, 6.0
# More frequent counts of a table of jobs would slow down the peer.
LOOK_SECONDS = 0.5
# A measurement ends when this fraction of the backlog is left: its last jobs run alone.
LAST_PART = 0.05
MERGED, ORDINARY = "merged", "ordinary"
KINDS = {MERGED: "noop", ORDINARY: "noop_task"}
# Enough for a turn at several times the current rate.
JOBS = {MERGED: 90_000, ORDINARY: 24_000}
BULK_JOBS, QUICK_A_SECOND, WARM_UP_JOBS = 4_000, 20.0, 100
# Executions that were returned when the worker stopped are settled together.
_SHARED = "SELECT count(*) - count(DISTINCT xmin::text) FROM scheduling_execution WHERE outcome = 'completed'"
_ENDED = "SELECT count(*) FROM scheduling_execution WHERE ended_at BETWEEN to_timestamp(%s) AND to_timestamp(%s)"


@dataclass(frozen=True, slots=True)
class Flooded:
    """Jobs per second of all tenants, and the waits of the quiet ones in milliseconds."""

    rate: float
    p50: float
    p99: float


def drain_ours(folder: Path, how: str) -> Drained:
    """Drain a backlog of the platform, MERGED or ORDINARY.

    Raise `MeasureFailedError` if ordinary jobs were not settled in one transaction each.
    """
    how_many = {"slots": SLOTS, "tenants": DRAIN_TENANTS, "has_spare": how == ORDINARY}
    drained = drain_backlog(folder, JOBS[how], TURN_SECONDS, kind=KINDS[how], **how_many)
    verify_platform()
    if how == ORDINARY and (shared := ask(_SHARED)):
        raise MeasureFailedError(f"{shared:,} of {count_ended():,} jobs were settled with others.")
    return drained


def drain(peer: Peer, folder: Path) -> Drained:
    """Drain a backlog of a peer. Raise `MeasureFailedError` if it does not run."""
    with Turn(peer, peer.draining, f"peer.enqueue({peer.jobs})").running(folder) as (count_left, processes):
        processes.wait_until(lambda: count_left() < peer.jobs, within=READY_SECONDS, what=f"{peer.name} takes jobs")
        time.sleep(SETTLE_SECONDS)
        before, began, spent = count_left(), time.monotonic(), read_processor_seconds(processes)
        left, took = before, 0.0
        while left > peer.jobs * LAST_PART and took < TURN_SECONDS:
            time.sleep(LOOK_SECONDS)
            processes.require_alive()
            left, took = count_left(), time.monotonic() - began
        seconds = sum(read_processor_seconds(processes).values()) - sum(spent.values())
    if took < LOOK_SECONDS or left == before:
        raise MeasureFailedError(f"{peer.name} did {before - left:,} jobs in {took:.1f} s, and {left:,} were left.")
    return Drained((before - left) / took, seconds / (before - left) * 1e3, "")


def flood_ours(folder: Path) -> Flooded:
    """Return the platform's result; it has no information on which tenant floods."""
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
        started.update(read_starts(list(submitted)))
        return len(started) == len(submitted)

    with serving(folder, slots=SLOTS) as processes:
        processes.wait_until(lambda: count_ended() >= WARM_UP_JOBS, within=READY_SECONDS, what="the first jobs end")
        began = time.time()
        trickle(submit, seconds=TURN_SECONDS, per_second=QUICK_A_SECOND)
        ended = time.time()
        processes.wait_until(have_started, within=LATE_SECONDS, what="all quiet tenants' jobs start")
    done = ask(_ENDED, [began, ended])
    verify_platform()
    return _conclude("this platform", done, ended - began, [started[job] - at for job, at in submitted.items()])


def flood(peer: Peer, folder: Path) -> Flooded:
    """Return a peer's result. Raise `MeasureFailedError` if it does not run."""
    record = folder / "record"
    record.unlink(missing_ok=True)
    turn = Turn(peer, peer.flooded, f"peer.flood({BULK_JOBS})", record)
    submitting = f"jobs.trickle(peer.submit, seconds={TURN_SECONDS}, per_second={QUICK_A_SECOND})"
    with turn.running(folder) as (_, processes):
        has_warmed_up = lambda: len(_read(record)) >= WARM_UP_JOBS  # noqa: E731 - as short as it is
        processes.wait_until(has_warmed_up, within=READY_SECONDS, what=f"{peer.name} runs jobs")
        output = turn.call(f"import time, jobs\nprint(time.time(), {submitting}, time.time())")
        began, sent, ended = map(float, output.split())
        processes.wait_until(lambda: len(_waits(record)) >= sent, within=LATE_SECONDS, what=f"{peer.name} ends")
    done = sum(began <= float(words[1]) < ended for words in _read(record))
    return _conclude(peer.name, done, ended - began, _waits(record))


def _read(record: Path) -> list[list[str]]:
    """Return the words of each complete line that the jobs have written."""
    if not record.exists():
        return []
    return [line.split() for line in record.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _waits(record: Path) -> list[float]:
    return [float(words[2]) for words in _read(record) if words[0] == "quick"]


def _conclude(name: str, done: int, took: float, waits: Sequence[float]) -> Flooded:
    if done >= BULK_JOBS - WARM_UP_JOBS:
        raise MeasureFailedError(f"{name} had done the whole flood before the turn was over.")
    return Flooded(done / took, *(1e3 * percentile(waits, part) for part in (0.5, 0.99)))


ROUNDS = int(os.environ.get("ROUNDS", "5"))
OURS = "this platform"
# Multiples of the peer's rate, for small jobs, which are merged automatically; ordinary ones have no target.
TARGETS = {"huey": 1.0, "Celery, bare": 5.0}
_OUR_NAMES = {
    MERGED: f"{OURS}, merged (at most {MAX_MESSAGE_JOBS:,} jobs a message)",
    ORDINARY: f"{OURS}, a default `@fair_task`, each job in a transaction of its own",
}
_OUR_WORKER = f"one dispatcher, one worker with {SLOTS} slots, a job at a time in each"
_WITHOUT_SPARE = f"{_OUR_WORKER} and no spare process"


def measure_drain(folder: Path) -> list[Finding]:
    """Measure the rates at which backlogs of no-op jobs drain."""
    takes = {how: partial(drain_ours, folder, how) for how in _OUR_NAMES}
    takes |= {peer.name: partial(drain, peer, folder) for peer in PEERS}
    return compare_rates(_take_turns(takes), read_versions())


def measure_flood(folder: Path) -> list[Finding]:
    """Measure how long quiet tenants' jobs wait while one tenant floods."""
    takes = {OURS: partial(flood_ours, folder)}
    takes |= {peer.name: partial(flood, peer, folder) for peer in PEERS}
    return describe_floods(_take_turns(takes), read_versions())


def _take_turns[T](takes: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Run ROUNDS rounds with a turn of each; return the measurements by name."""
    found: dict[str, list[T]] = {name: [] for name in takes}
    for number in range(ROUNDS):
        for name, take in takes.items():
            found[name].append(take())
            print(f"round {number + 1} of {ROUNDS}, {name}: {found[name][-1]}", flush=True)
    return found


def compare_rates(drains: Mapping[str, Sequence[Drained]], versions: Mapping[str, str]) -> list[Finding]:
    """Return a row for each way of the platform, and one for each peer with its target."""
    words = f"{DRAIN_TENANTS} tenants; stores all state, events, executions, ledger and tallies"
    workers = {MERGED: _WITHOUT_SPARE, ORDINARY: _OUR_WORKER}
    ours = [
        shown(
            f"no-op jobs per second: {name}",
            _describe(drains[how]),
            f"{workers[how]}; {words}; {JOBS[how]:,} jobs waiting",
        )
        for how, name in _OUR_NAMES.items()
    ]
    return ours + [_compare_peer(peer, drains, versions[peer.package]) for peer in PEERS]


def _describe(drains: Sequence[Drained]) -> str:
    """Return the rates, and the median of the processor time."""
    cpu_ms = statistics.median(one.cpu_ms for one in drains)
    return f"{_spread([one.rate for one in drains], ',.0f')}, {cpu_ms:.2f} ms of CPU a job"


def _compare_peer(peer: Peer, drains: Mapping[str, Sequence[Drained]], version: str) -> Finding:
    medians = {name: statistics.median(one.rate for one in found) for name, found in drains.items()}
    merged, ordinary = (medians[how] / medians[peer.name] for how in (MERGED, ORDINARY))
    target = TARGETS.get(peer.name)
    return Finding(
        what=f"no-op jobs per second: {peer.name} {version}",
        target=NO_TARGET if target is None else f"platform, merged ≥ {target:g}×",
        measured=f"{_describe(drains[peer.name])}; platform, merged {merged:.2f}×, ordinary {ordinary:.2f}×",
        is_met=target is None or merged >= target,
        beside=f"{peer.draining.settings}; stores {peer.keeps}; {peer.jobs:,} jobs waiting",
    )


def describe_floods(found: Mapping[str, Sequence[Flooded]], versions: Mapping[str, str]) -> list[Finding]:
    """Return a row for the platform and each peer; none has a target."""
    ours = (
        f"{_OUR_WORKER}; one queue for all tenants, equal weights, and no word on which tenant floods; the "
        f"flood's jobs in lists of at most {LIST_WORK_US / 1e6:g} s of predicted work, the quiet ones' merged"
    )
    rows = [(OURS, OURS, ours)]
    rows += [(peer.name, f"{peer.name} {versions[peer.package]}", peer.flooded.settings) for peer in PEERS]
    return [
        shown(
            f"quiet tenants' p99 start while one of {TENANTS} floods: {name}",
            f"{_spread([one.p99 for one in found[key]], ',.1f')} ms "
            f"(p50 {statistics.median(one.p50 for one in found[key]):,.1f}) with "
            f"{_spread([one.rate for one in found[key]], ',.0f')} jobs/s of all",
            settings,
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
    "its turn, with one PostgreSQL (synchronous_commit on) and one Valkey. A peer's message carries one job unless "
    "stated otherwise. CPU is that of workers, dispatcher, PostgreSQL and Valkey. `verify` finds nothing after each "
    "turn of the platform, and ordinary jobs are settled in one transaction each. Rates are measured over "
    f"{TURN_SECONDS:g} s, {SETTLE_SECONDS:g} s after the first job of a backlog that waits before the workers "
    f"start. In a flood {BULK_JOBS:,} jobs of {BULK_SECONDS * 1e3:.0f} ms wait for one tenant while the other "
    f"{TENANTS - 1} submit {QUICK_A_SECOND:g} no-op jobs per second together for {TURN_SECONDS:g} s, one "
    "at a time, at the same times for each system; a wait is from the call that submits to the start of the job. Two "
    "jobs run at a time. Each peer uses its usual remedy, for which the application has to mark the flood's jobs.",
    reproduce="make bench-peers",
)
