"""When the parent ends a process of coroutines, which of its jobs is the culprit, and how all of them are settled."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from django.db import connection

from scheduling.execution.settlement import Settlement, settle
from scheduling.jobs.lifecycle import JobState
from scheduling.worker.busy_child import BusyChild
from scheduling.worker.canary import LONGEST_LOOK_SECONDS
from scheduling.worker.child_exit import (
    BLOCK_SECONDS,
    ExitCause,
    is_child_alive,
    settlements_for_exited_child,
    settlements_of_hold,
)
from scheduling.worker.child_watch import ProcessWatch
from scheduling.worker.io.process import IoProcess
from scheduling.worker.io.state import ProcessState
from scheduling.worker.local_worker import LocalWorker
from scheduling.worker.memory import read_resident_kib
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

# A coroutine is cancelled at its time limit; one that blocks its loop is ended this long after it.
GRACE_SECONDS = 1.0
# Executions of which one may have ended the process wait this long, because it may do so again.
UNBLAMED_DELAY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """The state of one process as its parent sees it at ``now_ns``; times are of CLOCK_MONOTONIC.

    ``running`` is the seat whose coroutine runs a step since ``running_since_ns`` and must have ended by ``ends_at_ns``
    (0: at any time). ``in_lanes`` are the seats with a database connection. ``ticked_ns`` is when the loop last ran.
    ``abandoned`` is what the process itself has found: an execution that should have ended, and has not.
    """

    now_ns: int
    ticked_ns: int
    is_alive: bool = True
    running: int | None = None
    running_since_ns: int = 0
    ends_at_ns: int = 0
    in_lanes: Sequence[int] = ()
    resident_kib: int = 0
    abandoned: Finding | None = None

    @property
    def culprit(self) -> int | None:
        """Return the seat whose code runs, if only one can; None if unknown."""
        if self.running is not None:
            return self.running
        return self.in_lanes[0] if len(self.in_lanes) == 1 else None


@dataclass(frozen=True, slots=True)
class Finding:
    """Why the parent ends a process, and the seat of the job that caused it, None if unknown.

    ``abandoned`` are the causes of all jobs that should have ended and have not, by seat.
    """

    cause: ExitCause
    culprit: int | None = None
    abandoned: Mapping[int, ExitCause] = field(default_factory=dict)

    def cause_for(self, seat: int) -> ExitCause:
        """Return why the execution in ``seat`` ends."""
        if self.cause is ExitCause.SHUT_DOWN or seat == self.culprit:
            return self.cause
        return self.abandoned.get(seat, ExitCause.RETURNED)


def find(facts: ProcessFacts, *, is_stopping: bool, limit_kib: int, stall_seconds: float) -> Finding | None:
    """Return why the parent must end the process now; None if it may continue."""
    if not facts.is_alive:
        return Finding(ExitCause.SHUT_DOWN) if is_stopping else Finding(ExitCause.CRASHED, facts.culprit)
    if facts.abandoned is not None:
        return facts.abandoned
    if facts.running is not None:
        if facts.now_ns - facts.running_since_ns > BLOCK_SECONDS * 1e9:
            return Finding(ExitCause.BLOCKED, facts.running)
        if 0 < facts.ends_at_ns < facts.now_ns - GRACE_SECONDS * 1e9:
            return Finding(ExitCause.TIMED_OUT, facts.running)
    elif facts.now_ns - facts.ticked_ns > stall_seconds * 1e9:
        return Finding(ExitCause.STALLED, facts.culprit)
    return Finding(ExitCause.PROCESS_OVER_MEMORY, facts.running) if facts.resident_kib > limit_kib else None


class IoWatch(ProcessWatch):
    """The watch over processes of coroutines: it ends one with all its executions, and blames at most one of them."""

    def __init__(
        self, worker: LocalWorker, processes: Sequence[IoProcess], turn: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(worker, turn)
        self.processes = processes
        self._findings: dict[int, Finding] = {}
        self._looked_at = self._quiet_until = 0.0

    def look(self) -> None:
        """End the processes that must end, and settle the executions of dead ones."""
        super().look()
        now = time.monotonic()
        if now - self._looked_at > LONGEST_LOOK_SECONDS:
            # This process stood still, and the others probably too: let them run first.
            self._quiet_until = now + LONGEST_LOOK_SECONDS
        self._looked_at = now
        for process in self.processes:
            self.turn()
            pid = process.pid
            if pid is None or process.vacated is not None:
                continue
            is_alive = is_child_alive(pid)
            # Kept, because the process will be found dead next time, and that must not count as a crash.
            finding = self._findings.get(pid) or self._find(process, pid, is_alive=is_alive)
            if finding is None or (is_alive and now < self._quiet_until):
                continue
            self._findings[pid] = finding
            if is_alive:
                self._kill(pid, finding)
            else:
                self._settle(process, pid, finding)

    def _find(self, process: IoProcess, pid: int, *, is_alive: bool) -> Finding | None:
        if self._take_back.is_set():
            return Finding(ExitCause.SHUT_DOWN)
        facts = self._facts(process.state, pid, is_alive=is_alive)
        process.resident_kib = facts.resident_kib
        return find(
            facts,
            is_stopping=self._block.is_stopping,
            limit_kib=self._worker.registration.memory_mib * 1_024,
            stall_seconds=platform_settings.WATCHDOG_SECONDS,
        )

    def _facts(self, state: ProcessState, pid: int, *, is_alive: bool) -> ProcessFacts:
        seat, since_ns = state.running_seat, state.running_since_ns
        running = seat - 1 if seat and seat == state.running_seat else None
        held = None if running is None else self._block.read_slot(running)
        abandoned = next(iter(state.abandoned.items()), None)
        return ProcessFacts(
            ticked_ns=state.ticked_ns,
            is_alive=is_alive,
            running=running,
            running_since_ns=since_ns,
            ends_at_ns=held.began_ns + held.timeout_ns if held is not None and held.timeout_ns else 0,
            in_lanes=sorted({seat - 1 for seat in state.lane_seats if seat}),
            resident_kib=read_resident_kib(pid) or 0,
            abandoned=None if abandoned is None else Finding(abandoned[1], abandoned[0]),
            # Last: what is read above is not of the future.
            now_ns=time.monotonic_ns(),
        )

    def _kill(self, pid: int, finding: Finding) -> None:
        logger.warning("execution.child_killed", extra={"finding": finding.cause.value, "child_pid": pid})
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _settle(self, process: IoProcess, pid: int, finding: Finding) -> None:
        """Settle the executions of a dead process in one statement, free their seats, and have it replaced."""
        held_slots = [held for held in self._block.held_slots() if held.pid == pid]
        finding = replace(_blame_only_one(finding, held_slots), abandoned=process.state.abandoned)
        if held_slots:
            named = [held for held in held_slots if finding.culprit in {None, held.index}]
            facts = {"finding": finding.cause.value, "executions": len(held_slots), "child_pid": pid}
            ids, kinds = [str(held.execution_id) for held in named], sorted({held.kind for held in named})
            logger.warning("io_process.ended", extra={**facts, "execution_ids": ids, "kinds": kinds})
        found = {held.index: self._settlements_of(held, finding) for held in held_slots}
        _settle_all([settlement for settlements in found.values() for settlement in settlements])
        for held in held_slots:
            self._block.vacate(held)
        del self._findings[pid]
        process.vacated = frozenset(seat for seat, settlements in found.items() if settlements)
        self._replace_children()

    def _settlements_of(self, held: BusyChild, finding: Finding) -> list[Settlement]:
        cause = finding.cause_for(held.index)
        if held.has_fences:
            settlements = settlements_for_exited_child(held, self._block.members_of(held), cause)
        else:
            settlements = settlements_of_hold(held, self._read_hold(held), cause)
        if finding.culprit is not None or cause is not ExitCause.RETURNED:
            return settlements
        return [replace(one, state=JobState.SCHEDULED, due_in_seconds=UNBLAMED_DELAY_SECONDS) for one in settlements]


def _settle_all(settlements: Sequence[Settlement]) -> None:
    """Settle in one statement; if that fails, one by one, and leave what cannot be settled to its lease."""
    try:
        settle(settlements)
    except Exception:
        if not connection.is_usable():
            # All of them are tried again at the next check.
            raise
        logger.exception(
            "io_process.not_settled", extra={"execution_ids": [str(one.execution_id) for one in settlements]}
        )
        if len(settlements) > 1:
            for one in settlements:
                _settle_all([one])


def _blame_only_one(finding: Finding, held_slots: Sequence[BusyChild]) -> Finding:
    """Return the finding with the only execution as its culprit, if none is known and it has begun."""
    is_blameless = finding.culprit is not None or finding.cause is ExitCause.SHUT_DOWN
    if is_blameless or len(held_slots) != 1 or not held_slots[0].has_begun:
        return finding
    cause = ExitCause.CRASHED if finding.cause is ExitCause.STALLED else finding.cause
    return Finding(cause, held_slots[0].index)
