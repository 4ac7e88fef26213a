"""Messages of a pool of coroutines: each has a seat until its process reports that it is settled."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from celery.exceptions import Reject

from scheduling.conf import CANARY_TASK, EXECUTE_TASK
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.io.pool import IoPool
from scheduling.worker.io.state import ProcessState

SEATS = 3
TOKEN = uuid4()


class FakeProcess:
    """A process that notes what it gets, and reports what a test says."""

    def __init__(self) -> None:
        self.state = ProcessState()
        self.vacated: frozenset[int] | None = None
        self.load = 0
        self.pid = 1
        self.socket: object | None = None
        self.is_full = False
        self.is_ready = True
        self.is_open = True
        self.sent: list[tuple[int, UUID, Sequence[UUID]]] = []
        self.settled: list[int] = []

    @property
    def takes_messages(self) -> bool:
        return self.socket is not None and self.is_ready

    def start(self, others: object) -> None:
        self.socket, self.vacated, self.load, self.is_open = object(), None, 0, True

    def send(self, seat: int, token: UUID, ids: Sequence[UUID]) -> bool:
        if not self.is_full and self.is_open:
            self.sent.append((seat, token, ids))
        return not self.is_full and self.is_open

    def read_settled(self) -> tuple[list[int], bool]:
        settled, self.settled = self.settled, []
        return settled, self.is_open

    def hang_up(self) -> None:
        self.socket = None

    def end(self, *, within_seconds: float = 0.0) -> None:
        self.hang_up()

    @property
    def seats(self) -> list[int]:
        return [seat for seat, _, _ in self.sent]


class FakeHub:
    """An event loop that runs what a test runs."""

    def __init__(self) -> None:
        self.readers: dict[object, Callable[[], None]] = {}
        self.later: list[Callable[[], None]] = []

    def add_reader(self, end: object, callback: Callable[..., None], *args: object) -> None:
        self.readers[end] = lambda: callback(*args)

    def remove(self, end: object) -> None:
        self.readers.pop(end, None)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.later.append(callback)

    def read(self, process: FakeProcess, *settled: int) -> None:
        process.settled = [*settled]
        self.readers[process.socket]()

    def wait(self) -> None:
        later, self.later = self.later, []
        for callback in later:
            callback()


class Message:
    """A message as Celery's request passes it to the pool; it notes its end."""

    def __init__(self, pool: IoPool, *, name: str = EXECUTE_TASK, args: Any = None, body: str = "") -> None:
        self.ids = [uuid4()]
        self.ends: list[object] = []
        named = [[str(id_) for id_ in self.ids], str(TOKEN)] if args is None else args
        arguments = (name, "id", {}, body or json.dumps([named, {}, {}]), "application/json", "utf-8")
        pool.apply_async(
            None,
            args=arguments,
            callback=lambda result: self.ends.append(result[0]),
            error_callback=lambda info: self.ends.append(info.exception.exc),
            accept_callback=lambda pid, at: None,
        )


@pytest.fixture
def block() -> ControlBlock:
    return ControlBlock(SEATS)


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture
def processes() -> list[FakeProcess]:
    return [FakeProcess(), FakeProcess()]


@pytest.fixture
def pool(block: ControlBlock, hub: FakeHub, processes: Any) -> IoPool:
    made = IoPool(SEATS)
    made.use(block, processes)
    made.start()
    made.register_with_event_loop(hub)
    return made


def test_message_is_acknowledged_once_its_seat_is_reported(
    pool: IoPool, hub: FakeHub, processes: list[FakeProcess]
) -> None:
    message = Message(pool)
    assert processes[0].sent == [(0, TOKEN, message.ids)]
    assert not message.ends
    hub.read(processes[0], 0)
    hub.read(processes[0], 0)
    assert message.ends == [0]


def test_messages_go_to_the_process_with_the_fewest(pool: IoPool, hub: FakeHub, processes: list[FakeProcess]) -> None:
    for _ in range(SEATS):
        Message(pool)
    assert [len(process.sent) for process in processes] == [2, 1]


def test_message_without_a_free_seat_waits_for_one(pool: IoPool, hub: FakeHub, processes: list[FakeProcess]) -> None:
    for _ in range(SEATS):
        Message(pool)
    late = Message(pool)
    hub.read(processes[1], 1)
    assert processes[1].sent[-1] == (1, TOKEN, late.ids)
    assert not late.ends


def test_message_for_processes_that_do_not_read_is_sent_later(
    pool: IoPool, hub: FakeHub, processes: list[FakeProcess]
) -> None:
    for process in processes:
        process.is_full = True
    Message(pool)
    Message(pool)
    assert len(hub.later) == 1
    hub.wait()
    assert len(hub.later) == 1
    for process in processes:
        process.is_full = False
    hub.wait()
    assert [process.seats for process in processes] == [[0], [1]]


def test_messages_of_a_dead_process_are_acknowledged_or_sent_to_the_next_one(
    pool: IoPool, hub: FakeHub, processes: list[FakeProcess]
) -> None:
    first, second = processes
    second.is_ready = False
    settled, ended, unread = [Message(pool) for _ in range(SEATS)]
    first.is_open = False
    dead_end = first.socket
    hub.read(first, 0)
    assert settled.ends == [0]
    assert dead_end not in hub.readers
    assert not unread.ends
    first.vacated = frozenset({1})
    first.sent.clear()
    pool.maintain_pool()
    assert ended.ends == [0]
    assert [ids for _, _, ids in first.sent] == [unread.ids]
    hub.read(first, first.seats[0])
    assert unread.ends == [0]
    assert first.load == 0


def test_message_for_a_worker_that_stops_is_given_back(pool: IoPool, block: ControlBlock) -> None:
    block.stop()
    (end,) = Message(pool).ends
    assert isinstance(end, Reject)
    assert end.requeue


def test_worker_that_stops_acknowledges_what_is_settled_and_keeps_the_rest(
    pool: IoPool, block: ControlBlock, processes: list[FakeProcess]
) -> None:
    done, ended, other = Message(pool), Message(pool), Message(pool)
    block.stop()
    processes[0].settled = [0]
    processes[1].vacated = frozenset({1})
    pool.stop()
    pool.terminate()
    assert (done.ends, ended.ends, other.ends) == ([0], [0], [])
    assert [process.socket for process in processes] == [None, None]


def test_canary_is_answered_by_the_parent(pool: IoPool, block: ControlBlock) -> None:
    number = block.send_canary()
    assert Message(pool, name=CANARY_TASK, args=[number]).ends == [0]
    assert block.canary_answered == number


@pytest.mark.parametrize(
    "message",
    [
        SimpleNamespace(args=["no", "hint"], body=""),
        SimpleNamespace(args=None, body="[1, 2"),
        SimpleNamespace(args=None, body="null"),
    ],
)
def test_malformed_message_is_dropped(pool: IoPool, processes: list[FakeProcess], message: Any) -> None:
    assert Message(pool, args=message.args, body=message.body).ends == [0]
    assert not processes[0].sent


def test_message_of_another_task_is_refused(pool: IoPool, caplog: pytest.LogCaptureFixture) -> None:
    assert Message(pool, name="scheduling.run_upkeep", args=["x"]).ends == [0]
    assert "message.not_served" in caplog.messages


def test_broken_connection_to_the_broker_costs_no_other_acknowledgement(
    pool: IoPool, hub: FakeHub, processes: list[FakeProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes[1].is_ready = False
    broken, sound = Message(pool), Message(pool)
    monkeypatch.setattr(broken, "ends", None)
    hub.read(processes[0], 0, 1)
    assert sound.ends == [0]
