"""What the heartbeat thread does about its worker's processes: it ends those that must end, and settles their jobs."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Set
from contextlib import suppress
from uuid import UUID

from scheduling.execution.costs import read_cpu_us
from scheduling.execution.holds import HOLD_READS, HeldExecution, read_hold
from scheduling.execution.settlement import Settlement, settle
from scheduling.worker.busy_child import BusyChild
from scheduling.worker.child_exit import (
    ExitCause,
    find_exit_cause,
    is_child_alive,
    settlements_for_exited_child,
    settlements_of_hold,
    settlements_of_overdue,
)
from scheduling.worker.control_block import Cause
from scheduling.worker.local_worker import LocalWorker
from scheduling.worker.memory import read_resident_kib
from scheduling.worker.orphan_processes import OrphanSweep, children_of_parent, send

logger = logging.getLogger(__name__)

# A child of a stopping worker that was idle for this long will not work again.
IDLE_SECONDS = 2.0

type Holder = tuple[int, int]


class ProcessWatch:
    """The part that does not depend on what the processes run; ``turn`` is called while a check takes long."""

    def __init__(self, worker: LocalWorker, turn: Callable[[], None] = lambda: None) -> None:
        self.turn = turn
        self._worker = worker
        self._block = worker.block
        self._take_back = threading.Event()
        self._replace_children: Callable[[], None] = lambda: None
        self._adopted_children: Callable[[], Set[int]] = frozenset
        self._orphans = OrphanSweep()

    # Called from the main thread -------------------------------------------------------------------

    def replace_children_with(self, replace: Callable[[], None]) -> None:
        """Set the function that is called when a child has died, because the pool may notice seconds later."""
        self._replace_children = replace

    def end_orphans_among(self, adopted_children: Callable[[], Set[int]]) -> None:
        """End processes that dead children left to this one from now on; ``adopted_children`` returns their pids."""
        self._adopted_children = adopted_children

    def take_back_unfinished(self) -> None:
        """Kill the children with running jobs at the next check, and settle these so that they are available again."""
        self._take_back.set()

    # In the heartbeat thread -----------------------------------------------------------------------

    def look(self) -> None:
        """Check all processes; called ten times a second."""
        if orphans := self._adopted_children():
            self._orphans.sweep(orphans)

    def ask(self, held: BusyChild, cause: Cause) -> None:
        """Request an execution to stop at its next safe point."""
        self._block.ask(held, cause)

    def _read_hold(self, held: BusyChild) -> list[HeldExecution]:
        return read_hold(hold_id=held.hold_id, worker_id=self._worker.registration.worker_id)


class ChildWatch(ProcessWatch):
    """The watch over children that run one execution at a time."""

    def __init__(self, worker: LocalWorker, turn: Callable[[], None] = lambda: None) -> None:
        super().__init__(worker, turn)
        self._asked_at_ns: dict[Holder, dict[Cause, int]] = defaultdict(dict)
        self._findings: dict[Holder, ExitCause] = {}
        self._resident_kib: dict[Holder, int | None] = {}
        self._settled: set[Holder] = set()
        self._overdue: set[UUID] = set()
        self._idle_since: float | None = None

    def ask(self, held: BusyChild, cause: Cause) -> None:
        """Request an execution to stop at its next safe point, and remember since when."""
        self._asked_at_ns[_holder(held)].setdefault(cause, time.monotonic_ns())
        super().ask(held, cause)

    def look(self) -> None:
        """Settle the executions of dead children, and end the children that must end."""
        super().look()
        self._worker.permits.reclaim_from_dead(is_child_alive)
        self._worker.permits.reconcile()
        held_slots = list(self._block.held_slots())
        self._forget_all_but({_holder(held) for held in held_slots})
        self._overdue &= {held.hold_id for held in held_slots}
        for held in held_slots:
            self.turn()
            is_alive = is_child_alive(held.pid)
            if not is_alive:
                # It may have gone on in its list since.
                last = self._block.read_slot(held.index)
                if last is None or last.pid != held.pid:
                    continue
                held = last  # noqa: PLW2901 - the same child, as it died
            finding = self._findings.get(_holder(held)) or self._find(held, is_alive=is_alive)
            if finding is not None:
                # Kept, because the child will be found dead next time, and that must not count as a crash.
                self._findings[_holder(held)] = finding
                self.end(held, finding, is_alive=is_alive)
            elif held.is_overdue(time.monotonic_ns()):
                self._return_waiting(held)
        if self._block.is_stopping:
            self._end_idle_children()

    def end(self, held: BusyChild, finding: ExitCause, *, is_alive: bool) -> None:
        """Kill a child, settle its executions, and free its slot once it is dead."""
        if is_alive:
            logger.warning("execution.child_killed", extra={"finding": finding.value, **_ids(held)})
            with suppress(ProcessLookupError):
                os.kill(held.pid, signal.SIGKILL)
        if _holder(held) not in self._settled:
            self._settle(held, finding)
            self._settled.add(_holder(held))
        # The child started in its place is waiting for the slot by now, and not for the next round.
        self._worker.permits.reclaim_from_dead(is_child_alive)
        if not is_alive:
            self._block.vacate(held)
            self._replace_children()

    def _end_idle_children(self) -> None:
        """End the children once none has worked on anything for IDLE_SECONDS; the pool waits for them.

        SIGTERM may come while the main thread writes a message to a child. The child then waits for the rest, which is
        never written; the broker still has the message.
        """
        now = time.monotonic()
        self._block.forget_task_of(is_child_alive)
        is_any_busy = not self._block.has_free_child(at_once=1)
        if is_any_busy:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= IDLE_SECONDS:
            for pid in children_of_parent():
                send(pid, signal.SIGKILL)

    def _find(self, held: BusyChild, *, is_alive: bool) -> ExitCause | None:
        if self._take_back.is_set():
            return ExitCause.SHUT_DOWN
        resident_kib = read_resident_kib(held.pid) if held.memory_limit_kib else None
        self._resident_kib[_holder(held)] = resident_kib
        return find_exit_cause(
            held,
            now_ns=time.monotonic_ns(),
            is_alive=is_alive,
            is_stopping=self._block.is_stopping,
            asked_at_ns=self._asked_at_ns.get(_holder(held), {}),
            resident_kib=resident_kib,
        )

    def _settle(self, held: BusyChild, finding: ExitCause) -> None:
        resident_kib = self._resident_kib.get(_holder(held))
        if held.has_fences:
            members = self._block.members_of(held)
            ended = settlements_for_exited_child(held, members, finding, resident_kib=resident_kib)
            settle(_with_processor_time(held, ended))
            return
        for _ in range(HOLD_READS):
            executions = self._read_hold(held)
            if not executions:
                return
            ended = settlements_of_hold(held, executions, finding, resident_kib=resident_kib)
            settle(_with_processor_time(held, ended))

    def _return_waiting(self, held: BusyChild) -> None:
        """Return what waits in an overdue list, once."""
        if held.hold_id not in self._overdue:
            settle(settlements_of_overdue(self._read_hold(held)))
            self._overdue.add(held.hold_id)

    def _forget_all_but(self, holders: set[Holder]) -> None:
        for holder in (self._asked_at_ns.keys() | self._findings.keys() | self._resident_kib.keys()) - holders:
            self._resident_kib.pop(holder, None)
            self._asked_at_ns.pop(holder, None)
            self._findings.pop(holder, None)
            self._settled.discard(holder)


def _with_processor_time(held: BusyChild, settlements: list[Settlement]) -> list[Settlement]:
    """Set the processor time of the current execution, unless it is unknown because the child was reaped."""
    cpu_us = read_cpu_us(held.pid) if held.has_begun else None
    for settlement in settlements:
        if cpu_us is not None and settlement.execution_id == held.execution_id:
            settlement.cpu_us = max(0, cpu_us - held.cpu_began_us)
    return settlements


def _holder(held: BusyChild) -> Holder:
    return held.index, held.generation


def _ids(held: BusyChild) -> dict[str, object]:
    return {"execution_id": str(held.execution_id), "kind": held.kind, "child_pid": held.pid}
