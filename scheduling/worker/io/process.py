"""A process of coroutines: its parent's end, which sends messages to its seats, and the event loop that runs them.

Both talk over a pair of sockets that keep the borders of packets: ``[seat, token, ids]`` to the process, and lists of
seats that are free again to the parent. The process ends when its parent closes its end, or dies.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from uuid import UUID

from celery.signals import worker_process_init, worker_process_shutdown
from django.conf import settings

from scheduling.worker.io.running import Slots
from scheduling.worker.io.state import ProcessState, shared_states
from scheduling.worker.local_worker import LocalWorker

# More than the largest packet: a message with the most executions.
_PACKET_BYTES = 1 << 17
# The parent's handlers of these mean its own stop; a process stops when the control block says so.
_IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
# Threads for look-ups of names and other blocking calls of libraries.
_EXECUTOR_THREADS = 64
# Descriptors of a process beside those of its executions, of which each may have two.
_SPARE_DESCRIPTORS = 256
# The longest time from the end of the connection to that of the process.
END_SECONDS = 2
_RETRY_SECONDS = 0.1
_BLOCKED_NS = 1_000_000_000
# The share of its memory above which a process with messages gets no more.
_MOST_MEMORY = 0.8
# The most database connections of a worker: one of the parent, and of each process that of its slots and its lanes.
MOST_CONNECTIONS = 8
MOST_PROCESSES = 3


def lanes_of(processes: int) -> int:
    """Return how many connections each of so many processes lends to its coroutines."""
    return (MOST_CONNECTIONS - 1) // processes - 1


class IoProcess:
    """One process as its parent sees it, and after its end the next one in its place.

    ``vacated`` are the seats whose executions the watch has settled after the process died, None until then; the
    messages of its other seats are still to be run. ``resident_kib`` is its memory as the watch has read it last.
    """

    def __init__(self, worker: LocalWorker, state: ProcessState, *, lanes: int) -> None:
        self.state = state
        self.vacated: frozenset[int] | None = None
        self.load = self.resident_kib = 0
        self._worker = worker
        self._lanes = lanes
        self._process: BaseProcess | None = None
        self.socket: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Return its process id; None before its start."""
        return None if self._process is None else self._process.pid

    @property
    def takes_messages(self) -> bool:
        """Return whether it gets messages; none while a step blocks it, or its executions need most of its memory."""
        state = self.state
        is_blocked = state.running_seat and time.monotonic_ns() - state.running_since_ns > _BLOCKED_NS
        is_full = self.load and self.resident_kib > _MOST_MEMORY * self._worker.registration.memory_mib * 1_024
        return self.socket is not None and not (is_blocked or is_full)

    def start(self, others: Iterable[IoProcess]) -> None:
        """Fork the process, which closes the parent's ends of its own connection and of those to ``others``."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parents_ends = [ours, *(other.socket for other in others if other.socket is not None)]
        self.state.clear()
        self.state.ticked_ns = time.monotonic_ns()
        process = get_context("fork").Process(
            target=_run, args=(self._worker, self.state, theirs, parents_ends, self._lanes), daemon=True
        )
        # The parent's handler of SIGTERM must not run in the child before that ignores it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED_SIGNALS)
        theirs.close()
        ours.settimeout(0.0)
        self.socket, self.load, self.resident_kib, self.vacated = ours, 0, 0, None
        self._process = process

    def send(self, seat: int, token: UUID, ids: Sequence[UUID]) -> bool:
        """Send a message for a free seat; return False if the process has ended, or has not read earlier ones."""
        if self.socket is None:
            return False
        try:
            self.socket.send(json.dumps([seat, str(token), [str(id_) for id_ in ids]]).encode())
        except OSError:
            return False
        return True

    def read_settled(self) -> tuple[list[int], bool]:
        """Return the seats that are free again, and whether the process can still report any."""
        seats: list[int] = []
        while self.socket is not None:
            try:
                packet = self.socket.recv(_PACKET_BYTES)
            except BlockingIOError:
                return seats, True
            except OSError:
                break
            if not packet:
                break
            seats += json.loads(packet)
        return seats, False

    def hang_up(self) -> None:
        """Close the connection, so that the process ends."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def end(self, *, within_seconds: float = 0.0) -> None:
        """Reap the process; kill it if it has not ended in time."""
        self.hang_up()
        if self._process is not None:
            self._process.join(within_seconds)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process = None


def make_processes(worker: LocalWorker, number: int) -> list[IoProcess]:
    """Return so many processes of a worker, which are not started yet."""
    return [IoProcess(worker, state, lanes=lanes_of(number)) for state in shared_states(number)]


def _run(
    worker: LocalWorker,
    state: ProcessState,
    connection: socket.socket,
    parents_ends: Sequence[socket.socket],
    lanes: int,
) -> None:
    """Run the event loop of a new process until the parent closes the connection."""
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED_SIGNALS)
    for end in parents_ends:
        end.close()
    _allow_descriptors(2 * len(worker.block) + _SPARE_DESCRIPTORS)
    worker_process_init.send(sender=None)
    gc.freeze()
    try:
        asyncio.run(_serve(worker, state, Connection(connection), lanes))
    finally:
        worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)


async def _serve(worker: LocalWorker, state: ProcessState, connection: Connection, lanes: int) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_EXECUTOR_THREADS))
    # Short calls may end while the worker stops.
    patience_seconds = settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT / 2
    slots = Slots(worker, state, lanes=lanes, on_settled=connection.report, patience_seconds=patience_seconds)
    async with slots:

        def take_all() -> None:
            for seat, token, ids in connection.receive():
                # A stopping worker leaves its messages to the broker.
                if not worker.block.is_stopping:
                    slots.take(seat, UUID(token), [UUID(id_) for id_ in ids])

        loop.add_reader(connection.socket, take_all)
        await connection.closed.wait()
        # Its default action ends the process, whatever holds the interpreter.
        signal.alarm(END_SECONDS)
        slots.stop()
        await slots.drain(END_SECONDS)


def _allow_descriptors(number: int) -> None:
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number if hard_limit == resource.RLIM_INFINITY else min(number, hard_limit)
    if soft_limit != resource.RLIM_INFINITY and soft_limit < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard_limit))


class Connection:
    """The process's end of its connection to the parent, used on the event loop."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(0.0)
        self.socket = end
        self.closed = asyncio.Event()
        self._unsent: list[int] = []

    def receive(self) -> Iterator[tuple[int, str, list[str]]]:
        """Yield the messages that have arrived."""
        while True:
            try:
                packet = self.socket.recv(_PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                asyncio.get_running_loop().remove_reader(self.socket)
                self.closed.set()
                return
            yield json.loads(packet)

    def report(self, seats: Iterable[int]) -> None:
        """Report to the parent that the seats are free again; while it does not read, try again later."""
        self._unsent += seats
        if not self._unsent:
            return
        try:
            self.socket.send(json.dumps(self._unsent).encode())
        except BlockingIOError:
            asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.report, ())
        except OSError:
            # The parent has closed its end.
            self._unsent = []
        else:
            self._unsent = []
