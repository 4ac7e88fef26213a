"""The names of running steps on an event loop, and the report of those that block it."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from scheduling.worker.io import stepping
from scheduling.worker.io.state import ProcessState, shared_states
from scheduling.worker.io.stepping import ProcessExitError, occupant, task_factory


class Occupant:
    def __init__(self, index: int) -> None:
        self.index = index
        self.tasks: set[asyncio.Task[Any]] = set()
        self.blocks: list[float] = []
        self.is_over = False

    def note_block(self, seconds: float) -> None:
        self.blocks.append(seconds)


@pytest.fixture
def state() -> ProcessState:
    (state,) = shared_states(1)
    return state


def run(state: ProcessState, *works: tuple[Occupant, Callable[[], Coroutine[Any, Any, object]]]) -> list[object]:
    """Run a coroutine of each occupant at once; return their results or errors."""

    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(task_factory(state))
        tasks = []
        for owner, work in works:
            occupant.set(owner)
            tasks.append(loop.create_task(work()))
            occupant.set(None)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(main())


def test_running_step_is_named_and_cleared_after_it(state: ProcessState) -> None:
    seen: list[tuple[int, int]] = []

    async def look() -> None:
        for _ in range(3):
            seen.append((state.running_seat, int(time.monotonic_ns() - state.running_since_ns < 10**9)))
            await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(look())

    run(state, (Occupant(0), look), (Occupant(6), main))
    assert sorted(seen) == [(1, 1)] * 3 + [(7, 1)] * 3
    assert state.running_seat == 0


def test_blocking_step_of_a_child_task_is_reported_to_its_occupant(
    state: ProcessState, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns = 0
    monkeypatch.setattr(stepping, "time", SimpleNamespace(monotonic_ns=lambda: now_ns))
    guilty, other = Occupant(3), Occupant(4)

    async def block() -> None:
        with anyio.move_on_after(5):
            await asyncio.gather(asyncio.sleep(0), spin())

    async def spin() -> None:
        nonlocal now_ns
        now_ns += stepping.BLOCK_NS

    run(state, (guilty, block), (other, lambda: asyncio.sleep(0.001)))
    assert len(guilty.blocks) == state.blocks == 1
    assert guilty.blocks == [stepping.BLOCK_SECONDS]
    assert state.longest_block_ns == stepping.BLOCK_NS
    assert other.blocks == []


def test_tasks_of_an_occupant_are_its_own_until_they_end(state: ProcessState) -> None:
    owner = Occupant(0)

    async def work() -> int:
        left = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        count = len(owner.tasks)
        left.cancel()
        return count

    assert run(state, (owner, work)) == [2]
    assert owner.tasks == set()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_coroutine_cannot_end_the_process(state: ProcessState, error: BaseException) -> None:
    async def leave() -> None:
        raise error

    async def stay() -> str:
        await asyncio.sleep(0.001)
        return "stayed"

    left, stayed = run(state, (Occupant(0), leave), (Occupant(1), stay))
    assert isinstance(left, ProcessExitError)
    assert stayed == "stayed"


def test_cancelled_step_sees_the_cancellation(state: ProcessState) -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return inspect.getcoroutinestate(asyncio.current_task().get_coro())  # type: ignore[union-attr, arg-type]
        return ""

    assert run(state, (Occupant(0), work)) == [inspect.CORO_RUNNING]


def test_execution_that_is_over_gets_no_task(state: ProcessState) -> None:
    owner = Occupant(0)
    refused: list[Exception] = []
    coroutine = asyncio.sleep(0)

    def begin_late() -> None:
        with pytest.raises(RuntimeError) as raised:
            asyncio.get_running_loop().create_task(coroutine)
        refused.append(raised.value)

    async def work() -> None:
        asyncio.get_running_loop().call_later(0.001, begin_late)

    async def wait() -> None:
        owner.is_over = True
        async with asyncio.timeout(10):
            while not refused:  # noqa: ASYNC110 - what is awaited may raise
                await asyncio.sleep(0.001)

    run(state, (owner, work), (Occupant(1), wait))
    assert len(refused) == 1
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
