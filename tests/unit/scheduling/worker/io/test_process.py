"""The connection between a worker's parent and a process of coroutines."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest

from scheduling.worker.io.process import Connection, lanes_of


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
