"""Batches of the database thread: how many requests go into a statement, and what an error concerns."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import OperationalError

from scheduling.execution.logs.job_log import JobLogWriter
from scheduling.execution.settlement import Settlement
from scheduling.execution.start import StartRequest
from scheduling.worker.io import database
from scheduling.worker.io.database import MOST_IN_BATCH, DatabaseThread

type Work = Callable[[DatabaseThread], Awaitable[object]]


class Statements:
    """The statements that the thread runs: their sizes, a gate that holds the first, and what fails."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.settlements: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_entered = threading.Event()
        self.poison: UUID | None = None
        self.error: BaseException = ValueError("odd")
        self.answer: object = None

    def start_each(self, requests: Sequence[StartRequest], *, worker_id: UUID) -> list[Any]:
        self.is_entered.set()
        assert self.gate.wait(10)
        self.starts.append(len(requests))
        if any(one.execution_id == self.poison for one in requests):
            raise self.error
        return (
            [self.answer]
            if self.answer
            else [SimpleNamespace(execution_id=one.execution_id) for one in requests if one.token.int]
        )

    def settle_with_logs(self, settlements: Sequence[Settlement], logs: Sequence[object]) -> None:
        assert self.gate.wait(10)
        self.settlements.append(len(settlements))


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    statements = Statements()
    monkeypatch.setattr(database, "start_each", statements.start_each)
    monkeypatch.setattr(database, "settle_with_logs", statements.settle_with_logs)
    monkeypatch.setattr(database, "START_PATIENCE_SECONDS", 0.0)
    return statements


def with_thread(work: Work, running: Callable[[], Any] = list) -> object:
    async def main() -> object:
        thread = DatabaseThread(uuid4(), running)
        thread.start()
        try:
            return await work(thread)
        finally:
            thread.close()
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()

    return asyncio.run(main())


def request(execution_id: UUID | None = None, *, is_stale: bool = False) -> StartRequest:
    return StartRequest(execution_id or uuid4(), UUID(int=0) if is_stale else uuid4(), uuid4())


async def behind_gate(statements: Statements, thread: DatabaseThread, requests: Sequence[StartRequest]) -> list[Any]:
    """Make the requests while the thread processes another one; return their answers or errors."""
    statements.gate.clear()
    first = asyncio.ensure_future(thread.start_execution(request()))
    await asyncio.to_thread(statements.is_entered.wait, 10)
    rest = [asyncio.ensure_future(thread.start_execution(one)) for one in requests]
    await asyncio.sleep(0)
    statements.gate.set()
    await first
    return await asyncio.gather(*rest, return_exceptions=True)


def test_lone_request_is_processed_at_once(statements: Statements, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LINGER_SECONDS", 60.0)

    async def work(thread: DatabaseThread) -> None:
        for _ in range(3):
            assert await asyncio.wait_for(thread.start_execution(request()), 5) is not None

    with_thread(work)
    assert statements.starts == [1, 1, 1]


def test_requests_during_a_statement_share_the_next_ones(statements: Statements) -> None:
    requests = [request() for _ in range(2 * MOST_IN_BATCH + 7)]
    answers = with_thread(lambda thread: behind_gate(statements, thread, requests))
    assert statements.starts == [1, MOST_IN_BATCH, MOST_IN_BATCH, 7]
    assert [one.execution_id for one in answers] == [one.execution_id for one in requests]  # type: ignore[attr-defined]


def test_thread_waits_for_more_after_a_batch_of_several(
    statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LINGER_SECONDS", 60.0)

    async def work(thread: DatabaseThread) -> None:
        await behind_gate(statements, thread, [request() for _ in range(MOST_IN_BATCH)])
        began = time.monotonic()
        rest = [asyncio.ensure_future(thread.start_execution(request())) for _ in range(MOST_IN_BATCH)]
        await asyncio.gather(*rest)
        assert time.monotonic() - began < 30

    with_thread(work)
    assert statements.starts == [1, MOST_IN_BATCH, MOST_IN_BATCH]


def test_stale_and_repeated_requests_are_answered_with_none(statements: Statements) -> None:
    twice = uuid4()
    requests = [request(twice), request(is_stale=True), request(twice)]
    answers = with_thread(lambda thread: behind_gate(statements, thread, requests))
    assert [one is not None for one in answers] == [True, False, False]  # type: ignore[attr-defined]


def test_error_of_one_start_concerns_only_that_one(statements: Statements) -> None:
    requests = [request() for _ in range(4)]
    statements.poison = requests[2].execution_id
    answers = with_thread(lambda thread: behind_gate(statements, thread, requests))
    assert [isinstance(one, ValueError) for one in answers] == [False, False, True, False]  # type: ignore[attr-defined]
    assert statements.starts == [1, 4, 1, 1, 1, 1]


def test_unavailable_database_fails_the_batch_without_a_split(statements: Statements) -> None:
    requests = [request() for _ in range(3)]
    statements.poison, statements.error = requests[0].execution_id, OperationalError("away")
    answers = with_thread(lambda thread: behind_gate(statements, thread, requests))
    assert [isinstance(one, OperationalError) for one in answers] == [True] * 3  # type: ignore[attr-defined]
    assert statements.starts == [1, 3]


def test_settlements_share_a_statement(statements: Statements) -> None:
    async def work(thread: DatabaseThread) -> None:
        statements.gate.clear()
        first = asyncio.ensure_future(thread.start_execution(request()))
        await asyncio.to_thread(statements.is_entered.wait, 10)
        log = JobLogWriter(tenant_id=uuid4(), job_id=uuid4(), execution_id=uuid4(), attempt=1)
        ends = [Settlement.completed(uuid4(), 1, None) for _ in range(5)]
        rest = [asyncio.ensure_future(thread.settle(one, log)) for one in ends]
        await asyncio.sleep(0)
        statements.gate.set()
        await asyncio.gather(first, *rest)

    with_thread(work)
    assert statements.settlements == [5]


class Output:
    """An execution in a seat whose output waits, and what a write of it does."""

    def __init__(self, index: int, written: list[int], write: Callable[[], object]) -> None:
        self.index, self.written, self.write = index, written, write
        self.log = SimpleNamespace(buffer=None)
        self.runtime = self
        self.has_output = True
        self.unsaved_progress = None

    def write_output(self) -> None:
        self.written.append(self.index)
        self.write()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reports be due at once."""
    monkeypatch.setattr(database, "PROGRESS_SECONDS", 0.001)


async def until(is_true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not is_true():  # noqa: ASYNC110 - another thread makes it true
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("often", "statements")
def test_output_is_written_in_turns_of_limited_length() -> None:
    written: list[int] = []
    outputs = [Output(index, written, lambda: time.sleep(0.02)) for index in range(12)]
    # What was written when each round began.
    rounds: list[int] = []

    def running() -> list[Output]:
        rounds.append(len(written))
        return outputs

    async def work(thread: DatabaseThread) -> None:
        await until(lambda: len(written) > 12)

    with_thread(work, running)
    assert written[:13] == [*range(12), 0]
    assert 0 < rounds[1] <= 5


@pytest.mark.usefixtures("often")
def test_requests_wait_for_one_write_of_output_only(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    written_before: list[int] = []

    def start_each(requests: object, *, worker_id: UUID) -> list[Any]:
        written_before.extend(written)
        return []

    monkeypatch.setattr(database, "start_each", start_each)
    is_writing, is_asked = threading.Event(), threading.Event()

    def write() -> None:
        is_writing.set()
        assert is_asked.wait(10)

    running: list[Any] = [Output(index, written, write) for index in range(12)]

    async def work(thread: DatabaseThread) -> None:
        await asyncio.to_thread(is_writing.wait, 10)
        asked = asyncio.ensure_future(thread.start_execution(request()))
        await asyncio.sleep(0)
        is_asked.set()
        assert await asked is None

    with_thread(work, lambda: running)
    assert written_before == [0]


@pytest.mark.usefixtures("often", "statements")
@pytest.mark.parametrize(
    ("cause", "is_closed"), [(psycopg.errors.LockNotAvailable(), False), (psycopg.errors.AdminShutdown(), True)]
)
def test_locked_row_of_output_costs_no_connection(
    monkeypatch: pytest.MonkeyPatch, cause: Exception, *, is_closed: bool
) -> None:
    closed, written = threading.Event(), list[int]()
    monkeypatch.setattr(database, "connection", SimpleNamespace(close=closed.set))

    def write() -> None:
        raise OperationalError from cause

    async def work(thread: DatabaseThread) -> None:
        await until(lambda: len(written) > 1)
        assert closed.is_set() == is_closed

    with_thread(work, lambda: [Output(0, written, write)])


@pytest.mark.usefixtures("often")
def test_thread_survives_errors_of_reports_and_of_answers(statements: Statements) -> None:
    has_failed = threading.Event()

    def fail() -> Any:
        has_failed.set()
        raise ValueError("odd")

    async def work(thread: DatabaseThread) -> None:
        await asyncio.to_thread(has_failed.wait, 10)
        assert await thread.start_execution(request()) is not None
        statements.answer = object()
        with pytest.raises(AttributeError):
            await thread.start_execution(request())

    with_thread(work, fail)


@pytest.mark.process
def test_end_of_the_thread_ends_the_process(statements: Statements) -> None:
    last = request()
    statements.poison, statements.error = last.execution_id, SystemExit()
    child = get_context("fork").Process(target=with_thread, args=(lambda thread: thread.start_execution(last),))
    child.start()
    child.join(20)
    assert child.exitcode == -signal.SIGKILL
