"""The slots of one process: each runs one message's execution at a time as a coroutine of the process's event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self
from uuid import UUID

from scheduling.worker.control_block import Cause
from scheduling.worker.io.state import ProcessState
from scheduling.worker.local_worker import LocalWorker

type OnSettled = Callable[[Iterable[int]], None]


class Slots:
    """The executions that run in this process; every method is called on its event loop.

    It is an asynchronous context manager: entered, it starts the database thread and the look at the seats ten times a
    second, and the tasks of the loop are stepped; left, it ends the executions that still run, and closes its
    connections. ``on_settled`` is called on the loop with seats that are free again: their executions are settled, or
    this process has not started them.
    """

    def __init__(self, worker: LocalWorker, state: ProcessState, *, lanes: int, on_settled: OnSettled) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of seats in use."""
        raise NotImplementedError

    def take(self, seat: int, token: UUID, ids: list[UUID]) -> None:
        """Run the executions of a message in the seat, which is free; `on_settled` reports its end."""
        raise NotImplementedError

    def interrupt(self, seat: int, cause: Cause) -> None:
        """Cancel the execution that runs in the seat for ``cause``, if there is one and it was not cancelled before.

        The requests in the control block are found without it.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Cancel all executions, which are then settled as returned; messages that are taken later are not started."""
        raise NotImplementedError

    async def drain(self, timeout_seconds: float | None = None) -> bool:
        """Wait until no seat is in use; return False if ``timeout_seconds`` are over before."""
        raise NotImplementedError
