"""The slots of one process: each runs one message's execution at a time as a coroutine of the process's event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self
from uuid import UUID

from scheduling.controls.runs import checked_run
from scheduling.execution.costs import UNKNOWN
from scheduling.execution.lending import Lane, lend_nothing
from scheduling.execution.message import execution_context
from scheduling.execution.processing import PendingSettlement
from scheduling.execution.start import StartRequest
from scheduling.kit.base import Interrupted
from scheduling.worker.control_block import Cause, Seat
from scheduling.worker.io.database import DatabaseThread
from scheduling.worker.io.execution import CoroutineExecution
from scheduling.worker.io.lanes import CLOSE_SECONDS, LanePool
from scheduling.worker.io.state import ProcessState
from scheduling.worker.io.stepping import task_factory
from scheduling.worker.local_worker import LocalWorker

logger = logging.getLogger(__name__)

# The interval at which the process looks for requests to stop or to yield in its seats.
LOOK_SECONDS = 0.1

type OnSettled = Callable[[Iterable[int]], None]


@dataclass(slots=True)
class Slot:
    """A seat in use: the message's task, and the execution that runs now, None before its start."""

    seat: Seat
    task: asyncio.Task[None] | None = None
    execution: CoroutineExecution | None = None


class Slots:
    """The executions that run in this process; every method is called on its event loop.

    It is an asynchronous context manager: entered, it starts the database thread and the look at the seats ten times a
    second, and the tasks of the loop are stepped; left, it ends the executions that still run, and closes its
    connections. ``on_settled`` is called on the loop with seats that are free again: their executions are settled, or
    this process has not started them. Executions may go on for ``patience_seconds`` after the worker was stopped.
    """

    def __init__(
        self,
        worker: LocalWorker,
        state: ProcessState,
        *,
        lanes: int,
        on_settled: OnSettled,
        patience_seconds: float = 0.0,
    ) -> None:
        self._worker = worker
        self._state = state
        self._lane_count = lanes
        self._on_settled = on_settled
        self._patience_seconds = patience_seconds
        self._slots: dict[int, Slot] = {}
        self._freed: list[int] = []
        self._is_stopping = False
        self._is_left = False
        self._stops_at: float | None = None
        self._emptied = asyncio.Event()
        self._lanes: LanePool
        self._database: DatabaseThread
        self._looking: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(task_factory(self._state))
        self._state.pid = os.getpid()
        self._lanes = LanePool(self._lane_count, self._state)
        self._database = DatabaseThread(self._worker.registration.worker_id, self._running)
        self._database.start()
        self._looking = loop.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._is_left = not await self.drain(CLOSE_SECONDS)
        self._looking.cancel()
        self._database.close()
        await asyncio.to_thread(self._database.join, CLOSE_SECONDS)
        await self._lanes.close()
        asyncio.get_running_loop().set_task_factory(None)

    def __len__(self) -> int:
        """Return the number of seats in use."""
        return len(self._slots)

    def take(self, seat: int, token: UUID, ids: list[UUID]) -> None:
        """Run the executions of a message in the seat, which is free; `on_settled` reports its end."""
        slot = self._slots[seat] = Slot(self._worker.block.take_seat(seat, ids))
        slot.task = asyncio.get_running_loop().create_task(self._run(seat, slot, token, ids))

    def interrupt(self, seat: int, cause: Cause) -> None:
        """Cancel the execution that runs in the seat for ``cause``, if there is one and it was not cancelled before.

        The requests in the control block are found without it.
        """
        slot = self._slots.get(seat)
        if slot is not None and slot.execution is not None:
            slot.execution.stop(Interrupted(cause.value))

    def stop(self) -> None:
        """Cancel all executions, which are then settled as returned; messages that are taken later are not started."""
        self._is_stopping = True
        for seat in self._slots:
            self.interrupt(seat, Cause.SHUTDOWN)

    async def drain(self, timeout_seconds: float | None = None) -> bool:
        """Wait until no seat is in use; return False if ``timeout_seconds`` are over before."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._slots or self._freed:
                    self._emptied.clear()
                    await self._emptied.wait()
        except TimeoutError:
            return False
        return True

    async def _run(self, index: int, slot: Slot, token: UUID, ids: list[UUID]) -> None:
        try:
            for execution_id in ids:
                if self._is_stopping:
                    break
                if len(ids) > 1:
                    slot.seat.take_turn(execution_id)
                await self._execute(index, slot, StartRequest(execution_id, token, slot.seat.hold_id))
        except Exception:
            logger.exception("io.message_failed", extra={"executions": [str(one) for one in ids]})
        # While the process is being ended, the parent must still find the seat held: it settles what is left.
        if not self._is_left:
            slot.seat.release()
            del self._slots[index]
            self._report(index)

    async def _execute(self, index: int, slot: Slot, request: StartRequest) -> None:
        started = await self._database.start_execution(request)
        if started is None:
            logger.info("execution.not_started", extra={"executions": 1})
            return
        slot.seat.note_started({started.execution_id: started.fence})
        began = time.monotonic()
        lane = Lane(started.tenant_id, partial(self._lanes.borrow, index))
        execution = slot.execution = CoroutineExecution(
            started,
            slot.seat,
            index,
            lane,
            lent=partial(self._lanes.lent_to, index),
            note_block=self._database.blocks.append,
            state=self._state,
        )
        lend_nothing()
        if self._is_stopping:
            self.interrupt(index, Cause.SHUTDOWN)
        with execution_context(started) as span, checked_run(started) as check:
            pending = await execution.run()
            if check.failed or check.ends:
                await lane.run(partial(check.finish, pending.settlement))
            if pending.settlement is not None:
                # Other jobs run in the process at the same time.
                pending.settlement.bill(UNKNOWN, began_us=0, measured_us=int((time.monotonic() - began) * 1e6))
                if pending.settlement.error_type:
                    span.fail(pending.settlement.error_type)
            await self._settle(execution, pending)
        slot.seat.note_settled([started.execution_id])
        slot.execution = None

    async def _settle(self, execution: CoroutineExecution, pending: PendingSettlement) -> None:
        if pending.effects is None and pending.settlement is not None:
            await self._database.settle(pending.settlement, execution.log)
            return
        # The effects are the processor's code, and take any time up to its limit.
        await self._database.settle(None, execution.log)
        await execution.settle_with_effects(pending)
        await self._database.settle(None, execution.log)

    def _running(self) -> list[CoroutineExecution]:
        """Return the executions that run; called in the database thread."""
        return [execution for slot in list(self._slots.values()) if (execution := slot.execution) is not None]

    def _report(self, index: int) -> None:
        """Report seats that come free in one turn of the loop together."""
        if not self._freed:
            asyncio.get_running_loop().call_soon(self._report_freed)
        self._freed.append(index)

    def _report_freed(self) -> None:
        freed, self._freed = self._freed, []
        self._on_settled(freed)
        if not self._slots:
            self._emptied.set()

    async def _look(self) -> None:
        while True:
            self._state.ticked_ns = time.monotonic_ns()
            for slot in self._slots.values():
                if slot.execution is None:
                    continue
                cause = slot.seat.interruption()
                if cause is not None and not (cause is Cause.SHUTDOWN and self._is_patient()):
                    slot.execution.stop(Interrupted(cause.value))
                if slot.seat.is_yield_requested:
                    slot.execution.yielding.set()
            self._lanes.close_unused()
            await asyncio.sleep(LOOK_SECONDS)

    def _is_patient(self) -> bool:
        if self._stops_at is None:
            self._stops_at = time.monotonic() + self._patience_seconds
        return time.monotonic() < self._stops_at
