"""Run of all seeds of one row on one stack: load → fault → heal → drain → judge."""

from __future__ import annotations

import random
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress

from benchmarks.harness.outcome import describe_machine
from tests.chaos.alerts import LATEST_SECONDS, NOTIFIED_SECONDS, Receiver, Summary, words_of
from tests.chaos.checks import judge
from tests.chaos.client import Client
from tests.chaos.history import History, Probe
from tests.chaos.load import Load
from tests.chaos.results import HISTORY, Results, Run, write_history
from tests.chaos.row import Field, Row, bound_factor
from tests.chaos.service_checks import check_processes
from tests.chaos.stack import NotInTimeError, Stack
from tests.checks import faults_of

# Jobs that end before a fault: the stack's workers and its predictor are warm.
WARM_JOBS = 6
WARM_SECONDS = 120.0
# Within this the dispatcher has folded all events into the counters.
FOLD_SECONDS = 15.0
# Within this every process has reported, and health shows it.
HEALTH_SECONDS = 30.0
_ENDED = "SELECT count(*) FROM scheduling_jobevent WHERE name = 'execution.completed'"


def run_row(row: Row, seeds: Sequence[int], stack: Stack) -> Results:
    """Run a row with each seed; on a violation store the input of the checks beside the result."""
    results = Results()
    reported: set[str] = set()
    try:
        stack.start_servers()
        row.prepare(stack)
        stack.start_processes()
        results.machine = describe_machine()
        for seed in seeds:
            run = _run_seed(row, seed, stack, is_first=not results.runs)
            # The history contains all seeds so far: each fault is reported with the seed after which it first appeared.
            run.violations, reported = (
                [fault for fault in run.violations if fault not in reported],
                reported | {*run.violations},
            )
            results.runs.append(run)
            sys.stdout.write(f"{row.id} seed {seed}: {describe(run)}\n")
            sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - reported as the row's result, with its traceback
        traceback.print_exc()
        seed = seeds[min(len(results.runs), len(seeds) - 1)]
        results.runs.append(Run(seed, violations=[f"not run to its end: {describe_error(error)}"]))
    finally:
        stack.stop()
        row.tear_down()
    return results


def describe(run: Run) -> str:
    """Return a summary of a run in one line."""
    notified = "" if run.notified is None else f"; {words_of(run.notified)}"
    worst = f"recovered in {max(run.recoveries):.2f} s" if run.recoveries else "no recovery measured"
    faults = f"; {len(run.violations)} violations" if run.violations else ""
    return f"{worst}, {run.jobs} jobs, {run.seconds:.0f} s{notified}{faults}"


def _run_seed(row: Row, seed: int, stack: Stack, *, is_first: bool) -> Run:
    began, began_at = time.monotonic(), time.time()
    rng = random.Random(f"{row.id}:{seed}")
    ground = Field(stack, rng, row.bound_seconds)
    run = Run(seed)
    load = _begin_load(row, ground)
    witness, injected_at = stack.witness if row.is_watched else None, time.time()
    try:
        if witness is not None:
            witness.start()
        injected_at = time.time()
        run.recoveries = row.inject(ground)
    except Exception as error:  # noqa: BLE001 - a fault of this seed; its remains are checked all the same
        traceback.print_exc()
        run.violations.append(f"recovery: {describe_error(error)}")
    finally:
        if load is not None:
            load.stop()
        if witness is not None:
            witness.stop_submitting()
    run.violations += ground.violations
    run.violations += [
        f"recovery took {seconds:.2f} s, {row.bound_seconds * bound_factor():.0f} s at most"
        for seconds in run.recoveries
        if seconds > row.bound_seconds * bound_factor()
    ]
    ended_at = time.time()
    run.violations += _heal_and_check(row, stack, ground.client)
    if is_first:
        run.notified = _await_notice(row, stack.receiver, began_at, ground.fault_at or injected_at, ended_at)
    if witness is not None:
        witness.stop()
    run.jobs = len(ground.client.requests)
    run.seconds = time.monotonic() - began
    return run


def _await_notice(row: Row, receiver: Receiver, since: float, fault_at: float, ended_at: float) -> Summary:
    """Return the notifications of the fault; wait for as long as the first message may take."""
    until = fault_at + LATEST_SECONDS.get(row.id, NOTIFIED_SECONDS) + 5.0
    while True:
        found = receiver.summary(since=since, began_at=fault_at, ended_at=ended_at)
        if found.seconds is not None or time.time() >= until:
            return found
        time.sleep(0.5)


def _begin_load(row: Row, ground: Field) -> Load | None:
    """Start clients if the row needs any; return once their first jobs have ended."""
    if row.traffic is None:
        return None
    load = Load(ground.client, ground.tenants, row.traffic, ground.rng)
    before = int(ground.view.number(_ENDED))
    load.start()
    ground.stack.until(
        lambda: int(ground.view.number(_ENDED)) >= before + WARM_JOBS, within=WARM_SECONDS, what="the first jobs end"
    )
    return load


def _heal_and_check(row: Row, stack: Stack, client: Client) -> list[str]:
    """Return the violations that remain after everything is healed and drained."""
    stack.heal()
    faults, within = [], row.drain_seconds * max(1.0, bound_factor())
    try:
        stack.until(lambda: client.repeat_unanswered() == 0, within=within, what="every request is answered")
        stack.until(lambda: stack.view.count_unended() == 0, within=within, what="every job has ended")
    except NotInTimeError as error:
        faults.append(f"drain: {describe_error(error)}")
    try:
        stack.until(
            lambda: not faults_of("counters", "ready"), within=FOLD_SECONDS, what="the counters equal their recount"
        )
    except NotInTimeError:
        faults += [f"I10 counters: {fault.example}" for fault in faults_of("counters", "ready")[:5]]
    faults += [f"I14 ledger: {fault.example}" for fault in faults_of("ledger")]
    faults += _health_faults(row, stack, HEALTH_SECONDS * max(1.0, bound_factor()))
    probes = [
        Probe(reply.at, path, reply.status, has_retry_after=reply.has_retry_after) for path, reply in client.others
    ]
    probes += stack.witness.probes if stack.witness else []
    history = stack.view.history(client.requests, probes=probes, processes=stack.processes())
    faults += judge(history, row.terms(stack))
    if faults:
        write_history(history, stack.folder / HISTORY)
    return faults


def _health_faults(row: Row, stack: Stack, within: float) -> list[str]:
    """Return the faults that health still reports after all processes have reported, or after ``within``."""
    with suppress(NotInTimeError):
        stack.until(lambda: not check_processes(_of(stack), row.terms(stack)), within=within, what="all have reported")
    witness = stack.witness if row.is_watched else None
    if witness is None:
        return []
    try:
        stack.until(lambda: witness.is_satisfied, within=within, what="all pages respond")
    except NotInTimeError:
        return [f"health: everything is whole, and the pages are {witness.last()}"]
    return []


def _of(stack: Stack) -> History:
    return History((), (), (), processes=stack.processes())


def describe_error(error: BaseException) -> str:
    """Return the first line of an error."""
    return (str(error).splitlines() or [type(error).__name__])[0][:500]
