"""The heartbeat thread of a worker's parent: it renews leases, passes requests to the children, and ends executions.

It has a database connection of its own, which children close unused. No child is forked in the middle of one of its
rounds, so that no lock is inherited locked.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from django.db import connection

from scheduling.alerts.incidents import flush_incidents
from scheduling.execution.leases import WorkerLoad, heartbeat
from scheduling.fleet.workers import restore_worker_row
from scheduling.worker.child_exit import is_child_alive
from scheduling.worker.child_watch import ProcessWatch
from scheduling.worker.consumer import ConsumerQueues
from scheduling.worker.control_block import Cause
from scheduling.worker.local_worker import LocalWorker
from scheduling.worker.memory import read_resident_kib
from scheduling.worker.orphan_processes import children_of_parent
from scheduling.worker.process_state import CONNECTION_ERRORS
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

# The interval of slot checks: a dead child is settled and a timeout enforced within it.
WATCH_SECONDS = 0.1


class HeartbeatThread(threading.Thread):
    """A thread that checks a worker's children ten times a second and sends a heartbeat every HEARTBEAT_SECONDS."""

    def __init__(self, worker: LocalWorker, watch: ProcessWatch) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self.watch = watch
        self._worker = worker
        self.block = worker.block
        self._stopped = threading.Event()
        self._hurry = threading.Event()
        self._round = threading.Lock()
        self._next_beat = 0.0
        self._socket: int | None = None
        self._follower: ConsumerQueues | None = None
        # Executions that were begun up to the last heartbeat.
        self._begun = 0

    # Called from the main thread -------------------------------------------------------------------

    def fork_between_rounds(self) -> None:
        """Delay every fork of this process until the current round is over; children close their copy of the socket."""
        os.register_at_fork(
            before=self._round.acquire,
            after_in_parent=self._round.release,
            after_in_child=self._drop_socket,
        )

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
        self.watch.take_back_unfinished()
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
            self.watch.turn()
            with self._round:
                self._attempt(self.watch.look)
                if time.monotonic() >= self._next_beat:
                    self._attempt(self._beat)
                self._socket = _socket_of_connection()
            self._hurry.wait(WATCH_SECONDS)
            self._hurry.clear()
        connection.close()

    def _attempt(self, step: Callable[[], None]) -> None:
        """Do a step of a round; an error is logged, because the end of this thread would cost all leases."""
        try:
            step()
        except CONNECTION_ERRORS:
            logger.warning("heartbeat.database_away", exc_info=True)
            connection.close()
        except Exception:
            logger.exception("heartbeat.round_failed")

    def _beat(self) -> None:
        held_slots = list(self.block.held_slots())
        dead = {pid for pid in {held.pid for held in held_slots} if not is_child_alive(pid)}
        held_slots = [held for held in held_slots if held.pid not in dead]
        begun, pids = self.block.begun_executions, (os.getpid(), *children_of_parent())
        beat = heartbeat(
            worker_id=self._worker.registration.worker_id,
            is_stopping=self.block.is_stopping,
            execution_ids=[execution_id for held in held_slots for execution_id in self.block.ids_of(held)],
            canary_age_seconds=self.block.canary_age_seconds,
            queues=None if self._follower is None else self._follower.queue_names,
            load=WorkerLoad(
                busy=sum(held.has_begun for held in held_slots),
                memory_kib=sum(read_resident_kib(pid) or 0 for pid in pids),
                begun=begun - self._begun,
            ),
        )
        self._begun = begun
        self._next_beat = time.monotonic() + platform_settings.HEARTBEAT_SECONDS
        flush_incidents()
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
                self.watch.ask(held, Cause.FENCE_LOST)
            elif lease.is_cancel_requested:
                self.watch.ask(held, Cause.CANCEL)
            elif lease.is_deadline_passed:
                self.watch.ask(held, Cause.DEADLINE)
            else:
                self.block.request_yield(held, is_requested=lease.is_yield_requested)


def _socket_of_connection() -> int | None:
    raw = connection.connection
    return None if raw is None or raw.closed else raw.fileno()
