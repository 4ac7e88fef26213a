"""Batches of the database thread: how many requests go into a statement, and what an error concerns."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

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
        self.error: Exception = ValueError("odd")

    def start_each(self, requests: Sequence[StartRequest], *, worker_id: UUID) -> list[Any]:
        self.is_entered.set()
        assert self.gate.wait(10)
        self.starts.append(len(requests))
        if any(one.execution_id == self.poison for one in requests):
            raise self.error
        return [SimpleNamespace(execution_id=one.execution_id) for one in requests if one.token.int]

    def settle_with_logs(self, settlements: Sequence[Settlement], logs: Sequence[object]) -> None:
        assert self.gate.wait(10)
        self.settlements.append(len(settlements))


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[Statements]:
    statements = Statements()
    monkeypatch.setattr(database, "start_each", statements.start_each)
    monkeypatch.setattr(database, "settle_with_logs", statements.settle_with_logs)
    monkeypatch.setattr(database, "START_PATIENCE_SECONDS", 0.0)
    return statements


def with_thread(work: Work) -> object:
    async def main() -> object:
        thread = DatabaseThread(uuid4(), list)
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
