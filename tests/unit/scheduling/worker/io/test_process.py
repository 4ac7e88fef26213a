"""A process of coroutines, and its connection to the worker's parent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from scheduling.worker.child_exit import is_child_alive
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.io import process
from scheduling.worker.io.process import Connection, IoProcess, lanes_of
from scheduling.worker.io.state import shared_states
from tests.acceptance.processes import eventually


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_worker_has_at_most_eight_connections() -> None:
    for processes in (1, 2, 3):
        assert 1 + processes * (1 + lanes_of(processes)) <= 8
        assert lanes_of(processes) >= 1


def test_seats_that_the_parent_does_not_read_are_reported_later(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    token = str(uuid4())

    async def report_all() -> list[int]:
        connection = Connection(theirs)
        for seat in range(2_000):
            connection.report([seat])
        seen: list[int] = []
        while len(seen) < 2_000:
            seen += json.loads(await asyncio.to_thread(ours.recv, 1 << 16))
        ours.send(f'[1, "{token}", []]'.encode())
        ours.close()
        assert [*connection.receive()] == [[1, token, []]]
        assert connection.closed.is_set()
        return seen

    assert asyncio.run(report_all()) == list(range(2_000))


class EchoSlots:
    """Slots whose executions have ended as soon as they are taken."""

    def __init__(self, worker: object, state: object, *, on_settled: Callable[[list[int]], None], **_: object) -> None:
        self._on_settled = on_settled

    async def __aenter__(self) -> EchoSlots:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def take(self, seat: int, token: UUID, ids: list[UUID]) -> None:
        self._on_settled([seat])

    def stop(self) -> None:
        pass

    async def drain(self, timeout_seconds: float) -> bool:
        return True


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[IoProcess]]:
    """Return two running processes of one worker."""
    monkeypatch.setattr(process, "Slots", EchoSlots)
    worker: Any = SimpleNamespace(block=ControlBlock(2), registration=SimpleNamespace(memory_mib=100))
    both = [IoProcess(worker, state, lanes=1) for state in shared_states(2)]
    for one in both:
        one.start(other for other in both if other is not one)
    yield both
    for one in both:
        one.end()


def echo(one: IoProcess, seat: int) -> None:
    assert one.send(seat, uuid4(), [uuid4()])
    eventually(lambda: seat in one.read_settled()[0], within=20, what="the process has reported the seat")


@pytest.mark.process
def test_process_answers_until_its_parent_hangs_up(pair: list[IoProcess]) -> None:
    first, second = pair
    pid = first.pid
    assert pid is not None
    echo(first, 0)
    os.kill(pid, signal.SIGTERM)
    echo(first, 1)
    first.hang_up()
    # The second one holds no copy of the connection.
    eventually(lambda: not is_child_alive(pid), within=20, what="the process has ended")
    assert not first.send(0, uuid4(), [])
    echo(second, 0)


@pytest.mark.process
def test_process_with_messages_gets_no_more_above_four_fifths_of_its_memory(pair: list[IoProcess]) -> None:
    first, _ = pair
    first.resident_kib = 81 * 1_024
    # One that has none may always try.
    takes = [first.takes_messages]
    first.load = 1
    takes.append(first.takes_messages)
    first.resident_kib = 79 * 1_024
    assert [*takes, first.takes_messages] == [True, False, True]


@pytest.mark.process
def test_next_process_takes_the_place_of_a_dead_one(pair: list[IoProcess]) -> None:
    first, second = pair
    pid = first.pid
    assert pid is not None
    echo(first, 0)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: first.read_settled() == ([], False), within=20, what="the connection has ended")
    first.end()
    assert first.pid is None
    first.start([second])
    echo(first, 0)
    assert first.pid not in {None, pid}
