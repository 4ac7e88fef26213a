"""Executions that the parent ends with their child process: when it does so, and how they are settled."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from scheduling.execution import settlement_builders
from scheduling.execution.holds import HeldExecution
from scheduling.execution.settlement import Settlement
from scheduling.execution.settlement_builders import Failure
from scheduling.kit.retry import RetryPolicy
from scheduling.worker.busy_child import BusyChild, PendingMember
from scheduling.worker.control_block import Cause

# A child that ignores a stop request for this long is killed.
STOP_GRACE_SECONDS = 30.0
_DEAD_STATES = {"Z", "X"}


class ExitCause(StrEnum):
    """The reason why the parent ends an execution."""

    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    OVER_MEMORY = "over_memory"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SHUT_DOWN = "shut_down"
    SUPERSEDED = "superseded"
    # Of processes that run many executions at once.
    BLOCKED = "blocked"
    STALLED = "stalled"
    TASKS_LEFT = "tasks_left"
    PROCESS_OVER_MEMORY = "process_over_memory"
    RETURNED = "returned"


AFTER_GRACE = {
    Cause.CANCEL: ExitCause.CANCELLED,
    Cause.DEADLINE: ExitCause.EXPIRED,
    Cause.FENCE_LOST: ExitCause.SUPERSEDED,
    Cause.SHUTDOWN: ExitCause.SHUT_DOWN,
}


def find_exit_cause(
    held: BusyChild,
    *,
    now_ns: int,
    is_alive: bool,
    is_stopping: bool,
    asked_at_ns: Mapping[Cause, int],
    resident_kib: int | None = None,
) -> ExitCause | None:
    """Return why the parent must end this execution now; None if it may continue.

    ``asked_at_ns`` has the time since which its child has been requested to stop, by cause. ``resident_kib`` is the
    child's memory, None if unknown.
    """
    if not is_alive:
        # While the worker stops, Celery ends children that are still busy, which is not their jobs' fault.
        return ExitCause.SHUT_DOWN if is_stopping else ExitCause.CRASHED
    if held.timeout_ns and now_ns - held.began_ns > held.timeout_ns:
        return ExitCause.TIMED_OUT
    if held.memory_limit_kib and (resident_kib or 0) > held.memory_limit_kib:
        return ExitCause.OVER_MEMORY
    for cause, since_ns in asked_at_ns.items():
        if now_ns - since_ns > STOP_GRACE_SECONDS * 1_000_000_000:
            return AFTER_GRACE[cause]
    return None


def is_child_alive(pid: int) -> bool:
    """Return whether ``pid`` is a living child of this process; a zombie is dead, though its pid still exists."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # pid (command, which may contain spaces and brackets) state parent …
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state not in _DEAD_STATES and int(parent) == os.getpid()


DIED = "The worker's process died while it ran the job."
DIED_MERGED = "The worker's process died while it ran a message of several jobs."
ENDED_BEFORE = "the process ended before the job started"
ENDED = "another job of the message caused its process to be ended"
ENDED_TOGETHER = "the process that ran it with other jobs ended"
OVERDUE = "another job of the list takes longer than predicted"
# A step of a coroutine that takes this long ends its process.
BLOCK_SECONDS = 10.0
_BLOCKED = Failure(
    "loop_blocked",
    f"The job blocked the event loop that it shares with other jobs for {BLOCK_SECONDS:g} s or more."
    " Call functions that block with `await context.run(function)`.",
    "",
)
_FAILURES = {
    ExitCause.BLOCKED: _BLOCKED,
    # A function that `context.run` has called holds the interpreter.
    ExitCause.STALLED: _BLOCKED,
    ExitCause.TASKS_LEFT: Failure(
        "tasks_left", "The job ended, but a task or a function in `context.run` that it had started did not.", ""
    ),
    ExitCause.PROCESS_OVER_MEMORY: Failure(
        "memory_limit_exceeded", "The job's process used more memory than its pool allows.", "", is_permanent=True
    ),
}
_UNBLAMED = {
    ExitCause.CANCELLED: settlement_builders.cancelled,
    ExitCause.EXPIRED: settlement_builders.expired,
    ExitCause.SHUT_DOWN: settlement_builders.shut_down,
}


def settlements_for_exited_child(
    held: BusyChild, members: Sequence[PendingMember], finding: ExitCause, *, resident_kib: int | None = None
) -> list[Settlement]:
    """Return the settlements of a child's executions that are ended for this cause.

    ``members`` are the unsettled executions of its message. The list is empty if another process settles them.
    """
    if not held.is_merged and not held.has_begun:
        # It was started and waited for its slot.
        return [_of_waiting(member, finding) for member in members]
    if not held.is_merged:
        return _of_current(held, finding, resident_kib)
    has_company = len(members) > 1
    return [
        replace(settlement, began_us=member.began_us, measured_us=member.measured_us)
        for member in members
        if (settlement := _of_member(member, held, finding, resident_kib, has_company=has_company)) is not None
    ]


def settlements_of_hold(
    held: BusyChild, executions: Sequence[HeldExecution], finding: ExitCause, *, resident_kib: int | None = None
) -> list[Settlement]:
    """Return the settlements of what the database has of a child's hold, which is ended for this cause.

    All but the current execution are returned: they have not run, even if they have begun.
    """
    current_id = held.execution_id if held.has_begun else None
    others = [
        settlement_builders.returned(one.execution_id, one.fence, cause=ENDED_BEFORE)
        for one in executions
        if one.execution_id != current_id
    ]
    return others if len(others) == len(executions) else [*others, *_of_current(held, finding, resident_kib)]


def settlements_of_overdue(executions: Sequence[HeldExecution]) -> list[Settlement]:
    """Return the settlements that return what still waits in an overdue list."""
    return [
        settlement_builders.returned(one.execution_id, one.fence, cause=OVERDUE)
        for one in executions
        if not one.has_begun
    ]


def _of_waiting(member: PendingMember, finding: ExitCause) -> Settlement:
    if finding is ExitCause.SHUT_DOWN:
        return replace(settlement_builders.shut_down(member.execution_id, member.fence), measured_us=0)
    return settlement_builders.returned(member.execution_id, member.fence, cause=ENDED_BEFORE)


def _of_member(
    member: PendingMember, held: BusyChild, finding: ExitCause, resident_kib: int | None, *, has_company: bool
) -> Settlement | None:
    is_running = held.has_begun and member.execution_id == held.execution_id
    if is_running and not (has_company and finding is ExitCause.CRASHED):
        return _of_running(held, finding, resident_kib)
    if finding is ExitCause.SHUT_DOWN:
        return settlement_builders.shut_down(member.execution_id, member.fence)
    if finding is ExitCause.CRASHED:
        # The culprit among them is unknown; in a message of its own, it would crash again.
        return settlement_builders.crashed(
            member.execution_id,
            member.fence,
            crash_count=0,
            was_alone=False,
            cause=DIED_MERGED,
            is_lost=False,
            was_merged=True,
        )
    # Finished work that is not settled yet is lost with the process.
    return settlement_builders.returned(member.execution_id, member.fence, cause=ENDED)


def _of_current(held: BusyChild, finding: ExitCause, resident_kib: int | None) -> list[Settlement]:
    settlement = _of_running(held, finding, resident_kib)
    if settlement is None:
        return []
    used_us = (time.monotonic_ns() - held.began_ns) // 1_000
    return [replace(settlement, began_us=held.waited_us, measured_us=used_us)]


def _of_running(held: BusyChild, finding: ExitCause, resident_kib: int | None) -> Settlement | None:
    if finding in _UNBLAMED:
        return _UNBLAMED[finding](held.execution_id, held.fence)
    if finding in _FAILURES:
        return _failed(held, _FAILURES[finding])
    match finding:
        case ExitCause.CRASHED:
            return settlement_builders.crashed(
                held.execution_id,
                held.fence,
                crash_count=held.crash_count,
                was_alone=True,
                cause=DIED,
                is_lost=False,
            )
        case ExitCause.TIMED_OUT:
            return _timed_out(held)
        case ExitCause.OVER_MEMORY:
            return _over_memory(held, resident_kib or 0)
        case ExitCause.RETURNED:
            return settlement_builders.returned(held.execution_id, held.fence, cause=ENDED_TOGETHER)
    return None


def _failed(held: BusyChild, failure: Failure, outcome: str = settlement_builders.Outcome.FAILED) -> Settlement:
    return settlement_builders.failed(
        held.execution_id,
        held.fence,
        failure,
        failed_attempts=held.attempt,
        policy=RetryPolicy(max_retries=held.max_retries, delays_seconds=(held.retry_delay_seconds,)),
        outcome=outcome,
    )


def _timed_out(held: BusyChild) -> Settlement:
    message = f"The job exceeded its kind's time limit of {held.timeout_ns / 1e9:g} s."
    return _failed(held, Failure("timed_out", message, ""), settlement_builders.Outcome.TIMED_OUT)


def _over_memory(held: BusyChild, resident_kib: int) -> Settlement:
    message = (
        f"The job used {resident_kib // 1_024:,} MiB of memory; the tenant's limit is"
        f" {held.memory_limit_kib // 1_024:,} MiB a job (peak_memory_mib)."
    )
    failure = Failure("memory_limit_exceeded", message, "", is_permanent=True)
    return replace(_failed(held, failure), peak_memory_kib=resident_kib)
