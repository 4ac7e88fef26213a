"""The heartbeat thread of a worker's parent: it renews leases, passes requests to the children, and ends executions.

It has a database connection of its own, which children close unused. No child is forked in the middle of one of its
rounds, so that no lock is inherited locked.
"""

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

from django.db import connection

from scheduling.execution.holds import HOLD_READS, HeldExecution, read_hold
from scheduling.execution.leases import heartbeat
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import restore_worker_row
from scheduling.worker.busy_child import BusyChild
from scheduling.worker.child_exit import (
    ExitCause,
    find_exit_cause,
    is_child_alive,
    settlements_for_exited_child,
    settlements_of_hold,
    settlements_of_overdue,
)
from scheduling.worker.consumer import ConsumerQueues
from scheduling.worker.control_block import Cause
from scheduling.worker.local_worker import LocalWorker
from scheduling.worker.memory import read_resident_kib
from scheduling.worker.orphan_processes import OrphanSweep, children_of_parent, send
from scheduling.worker.process_state import CONNECTION_ERRORS
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

# The interval of slot checks: a dead child is settled and a timeout enforced within it.
WATCH_SECONDS = 0.1
# A child of a stopping worker that was idle for this long will not work again.
IDLE_SECONDS = 2.0

type Holder = tuple[int, int]


class HeartbeatThread(threading.Thread):
    """A thread that checks a worker's children ten times a second and sends a heartbeat every HEARTBEAT_SECONDS."""

    def __init__(self, worker: LocalWorker, turn: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._turn = turn
        self._worker = worker
        self.block = worker.block
        self._stopped = threading.Event()
        self._hurry = threading.Event()
        self._take_back = threading.Event()
        self._round = threading.Lock()
        self._next_beat = 0.0
        self._asked_at_ns: dict[Holder, dict[Cause, int]] = defaultdict(dict)
        self._findings: dict[Holder, ExitCause] = {}
        self._resident_kib: dict[Holder, int | None] = {}
        self._settled: set[Holder] = set()
        self._overdue: set[UUID] = set()
        self._idle_since: float | None = None
        self._socket: int | None = None
        self._replace_children: Callable[[], None] = lambda: None
        self._adopted_children: Callable[[], Set[int]] = frozenset
        self._orphans = OrphanSweep()
        self._follower: ConsumerQueues | None = None

    # Called from the main thread -------------------------------------------------------------------

    def fork_between_rounds(self) -> None:
        """Delay every fork of this process until the current round is over; children close their copy of the socket."""
        os.register_at_fork(
            before=self._round.acquire,
            after_in_parent=self._round.release,
            after_in_child=self._drop_socket,
        )

    def replace_children_with(self, replace: Callable[[], None]) -> None:
        """Set the function that the thread calls when a child has died, because the pool may notice seconds later."""
        self._replace_children = replace

    def end_orphans_among(self, adopted_children: Callable[[], Set[int]]) -> None:
        """Let the thread end processes that dead children left to this one; ``adopted_children`` returns their pids."""
        self._adopted_children = adopted_children

    def sync_queues_with(self, follower: ConsumerQueues) -> None:
        """Let the thread pass the pool's queues, and whether the worker drains, to ``follower`` at each heartbeat."""
        self._follower = follower

    def begin_stopping(self) -> None:
        """Request running jobs to stop, and send a heartbeat at once that this worker accepts no more jobs."""
        self.block.stop()
        self._next_beat = 0.0
        self._hurry.set()

    def take_back_unfinished(self) -> None:
        """Let the thread kill the children with running jobs, and settle these so that they are available again."""
        self._take_back.set()
        self._hurry.set()

    def stop(self, *, timeout_seconds: float) -> None:
        """End the thread after its current round; wait at most ``timeout_seconds`` for its end."""
        self._stopped.set()
        self._hurry.set()
        self.join(timeout_seconds)

    # In the child ----------------------------------------------------------------------------------

    def _drop_socket(self) -> None:
        # Closing the connection object would end the parent's session at the server; the child only closes its copy of
        # the descriptor.
        if self._socket is not None:
            with suppress(OSError):
                os.close(self._socket)
            self._socket = None
        self._round.release()

    # In the thread ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Run rounds until stopped; an unavailable database delays a round, but never ends the thread."""
        while not self._stopped.is_set():
            self._turn()
            with self._round:
                try:
                    self._watch()
                    if time.monotonic() >= self._next_beat:
                        self._beat()
                except CONNECTION_ERRORS:
                    logger.warning("heartbeat.database_away", exc_info=True)
                    connection.close()
                    self._next_beat = time.monotonic() + WATCH_SECONDS
                except Exception:
                    # The end of this thread would cost every lease of the worker; the error is in the log.
                    logger.exception("heartbeat.round_failed")
                self._socket = _socket_of_connection()
            self._hurry.wait(WATCH_SECONDS)
            self._hurry.clear()
        connection.close()

    def _beat(self) -> None:
        held_slots = [held for held in self.block.held_slots() if is_child_alive(held.pid)]
        beat = heartbeat(
            worker_id=self._worker.registration.worker_id,
            is_stopping=self.block.is_stopping,
            execution_ids=[execution_id for held in held_slots for execution_id in self.block.ids_of(held)],
            canary_age_seconds=self.block.canary_age_seconds,
            queues=None if self._follower is None else self._follower.queue_names,
        )
        self._next_beat = time.monotonic() + platform_settings.HEARTBEAT_SECONDS
        if not beat.is_worker_known:
            restore_worker_row(registration=self._worker.registration)
        if self._follower is not None and beat.is_worker_known:
            is_idle = not any(self.block.held_slots())
            self._follower.sync(is_draining=beat.is_draining, is_idle=is_idle, queue_names=beat.queue_names)
        for held in held_slots:
            # Executions before or after their turn get no requests: their settlement decides.
            if not held.has_begun:
                continue
            lease = beat.leases.get(held.execution_id)
            if lease is None:
                self._ask(held, Cause.FENCE_LOST)
            elif lease.is_cancel_requested:
                self._ask(held, Cause.CANCEL)
            elif lease.is_deadline_passed:
                self._ask(held, Cause.DEADLINE)
            else:
                self.block.request_yield(held, is_requested=lease.is_yield_requested)

    def _ask(self, held: BusyChild, cause: Cause) -> None:
        self._asked_at_ns[_holder(held)].setdefault(cause, time.monotonic_ns())
        self.block.ask(held, cause)

    def _watch(self) -> None:
        if orphans := self._adopted_children():
            self._orphans.sweep(orphans)
        self._worker.permits.reclaim_from_dead(is_child_alive)
        self._worker.permits.reconcile()
        held_slots = list(self.block.held_slots())
        self._forget_all_but({_holder(held) for held in held_slots})
        self._overdue &= {held.hold_id for held in held_slots}
        for held in held_slots:
            self._turn()
            is_alive = is_child_alive(held.pid)
            if not is_alive:
                # It may have gone on in its list since.
                last = self.block.read_slot(held.index)
                if last is None or last.pid != held.pid:
                    continue
                held = last  # noqa: PLW2901 - the same child, as it died
            finding = self._findings.get(_holder(held)) or self._find(held, is_alive=is_alive)
            if finding is not None:
                # Kept, because the child will be found dead next time, and that must not count as a crash.
                self._findings[_holder(held)] = finding
                self._end(held, finding, is_alive=is_alive)
            elif held.is_overdue(time.monotonic_ns()):
                self._return_waiting(held)
        if self.block.is_stopping:
            self._end_idle_children()

    def _end_idle_children(self) -> None:
        """End the children once none has worked on anything for IDLE_SECONDS; the pool waits for them.

        SIGTERM may come while the main thread writes a message to a child. The child then waits for the rest, which is
        never written; the broker still has the message.
        """
        now = time.monotonic()
        self.block.forget_task_of(is_child_alive)
        is_any_busy = not self.block.has_free_child(at_once=1)
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
            is_stopping=self.block.is_stopping,
            asked_at_ns=self._asked_at_ns.get(_holder(held), {}),
            resident_kib=resident_kib,
        )

    def _end(self, held: BusyChild, finding: ExitCause, *, is_alive: bool) -> None:
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
            self.block.vacate(held)
            self._replace_children()

    def _settle(self, held: BusyChild, finding: ExitCause) -> None:
        resident_kib = self._resident_kib.get(_holder(held))
        if held.has_fences:
            members = self.block.members_of(held)
            settle(settlements_for_exited_child(held, members, finding, resident_kib=resident_kib))
            return
        for _ in range(HOLD_READS):
            executions = self._read_hold(held)
            if not executions:
                return
            settle(settlements_of_hold(held, executions, finding, resident_kib=resident_kib))

    def _return_waiting(self, held: BusyChild) -> None:
        """Return what waits in an overdue list, once."""
        if held.hold_id not in self._overdue:
            settle(settlements_of_overdue(self._read_hold(held)))
            self._overdue.add(held.hold_id)

    def _read_hold(self, held: BusyChild) -> list[HeldExecution]:
        return read_hold(hold_id=held.hold_id, worker_id=self._worker.registration.worker_id)

    def _forget_all_but(self, holders: set[Holder]) -> None:
        for holder in (self._asked_at_ns.keys() | self._findings.keys() | self._resident_kib.keys()) - holders:
            self._resident_kib.pop(holder, None)
            self._asked_at_ns.pop(holder, None)
            self._findings.pop(holder, None)
            self._settled.discard(holder)


def _holder(held: BusyChild) -> Holder:
    return held.index, held.generation


def _ids(held: BusyChild) -> dict[str, object]:
    return {"execution_id": str(held.execution_id), "kind": held.kind, "child_pid": held.pid}


def _socket_of_connection() -> int | None:
    raw = connection.connection
    return None if raw is None or raw.closed else raw.fileno()
