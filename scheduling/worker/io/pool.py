"""The pool of a worker for asynchronous kinds: its parent sends messages to seats in processes of coroutines.

A message is acknowledged only after its executions are settled, when the process reports its seat as free. All methods
run on the main thread, with Celery's event loop, except `IoPool.adopted_children`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import UUID

from billiard.einfo import ExceptionInfo
from celery.concurrency.base import BasePool
from celery.exceptions import Reject
from kombu.asynchronous import Hub
from kombu.serialization import loads

from scheduling.celery.tasks import read_hint
from scheduling.conf import CANARY_TASK, EXECUTE_TASK
from scheduling.worker.control_block import ControlBlock
from scheduling.worker.io.process import END_SECONDS, IoProcess
from scheduling.worker.orphan_processes import children_of_parent

logger = logging.getLogger(__name__)

_ACCEPTED_TYPES = frozenset({"application/json"})
# When no process reads its messages, they are sent again after this time.
RETRY_SECONDS = 0.1


@dataclass(slots=True)
class Delivery:
    """A message of the pool, and the functions that acknowledge it and give it back to the broker."""

    execution_ids: Sequence[UUID]
    token: UUID
    acknowledge: Callable[[tuple[int, None, float]], None]
    fail: Callable[[ExceptionInfo], None]
    began: float = field(default_factory=time.monotonic)
    process: IoProcess | None = None

    def settle(self) -> None:
        """Acknowledge the message, because its executions need it no more."""
        try:
            self.acknowledge((0, None, time.monotonic() - self.began))
        except Exception:
            # The other messages of the process are still to be acknowledged; the broker keeps this one.
            logger.exception("message.not_acknowledged")


class IoPool(BasePool):
    """Celery's pool of a worker whose processes run many executions at once."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._block: ControlBlock
        self._processes: Sequence[IoProcess] = ()
        self._hub: Hub | None = None
        self._at_work: dict[int, Delivery] = {}
        self._waiting: deque[Delivery] = deque()
        self._free: deque[int] = deque()
        self._is_retry_due = False
        self._making = threading.Lock()
        # Processes that preloaded code may have started.
        self._before: Set[int] = frozenset()

    def use(self, block: ControlBlock, processes: Sequence[IoProcess]) -> None:
        """Set the processes of the pool and the worker's seats; called once, before the pool starts."""
        self._block, self._processes = block, processes
        self._free.extend(range(len(block)))

    def on_start(self) -> None:
        """Fork the processes."""
        self._before = children_of_parent()
        for process in self._processes:
            self._fork(process)

    def register_with_event_loop(self, hub: Hub) -> None:
        """Watch what the processes report; called at each connection to the broker, after the hub has lost all."""
        self._hub, self._is_retry_due = hub, False
        for process in self._processes:
            if process.socket is not None:
                hub.add_reader(process.socket, self._read, process)
        self._send()

    def on_apply(
        self,
        target: object,
        args: Sequence[Any],
        kwargs: object = None,
        *,
        callback: Callable[..., None],
        error_callback: Callable[..., None],
        accept_callback: Callable[[int | None, float], None] | None = None,
        **_: Any,
    ) -> None:
        """Send a message to a free seat, or let it wait for one; it raises nothing, which would drop the message."""
        name, _id, _request, body, content_type, encoding = args
        try:
            task_args, task_kwargs, _embed = loads(body, content_type, encoding, accept=_ACCEPTED_TYPES)
            arguments = tuple(task_args), task_kwargs
        except Exception:
            logger.warning("message.malformed", exc_info=True)
            arguments = (), {}
        hint = read_hint(*arguments) if name == EXECUTE_TASK else None
        execution_ids, token = hint or ([], UUID(int=0))
        delivery = Delivery(execution_ids, token, callback, error_callback)
        if accept_callback is not None:
            accept_callback(None, time.monotonic())
        if hint is None:
            self._answer(name, arguments[0])
            delivery.settle()
        elif self._block.is_stopping:
            _give_back(delivery)
        else:
            self._waiting.append(delivery)
            self._send()

    def maintain_pool(self, *args: Any, **kwargs: Any) -> None:
        """Replace the processes that have died, once their executions are settled."""
        for process in self._processes:
            if process.vacated is None:
                continue
            self._hang_up(process)
            for seat, delivery in [*self._at_work.items()]:
                if delivery.process is process:
                    self._vacate(seat, is_settled=seat in process.vacated)
            process.end()
            if not self._block.is_stopping:
                self._fork(process)
        self._send()

    def on_stop(self) -> None:
        """Acknowledge what is settled, and end the processes; the broker keeps what is not. It may be called again."""
        if self._block.is_stopping:
            self.maintain_pool()
        for process in self._processes:
            self._read(process)
            self._hang_up(process)
        for process in self._processes:
            process.end(within_seconds=END_SECONDS)

    on_terminate = on_stop

    def terminate_job(self, pid: int, signal: object = None) -> None:
        """Do nothing: the heartbeat thread has stopped the jobs."""

    def adopted_children(self) -> Set[int]:
        """Return the pids of the orphans that this process has adopted; may be called from any thread."""
        if not self._making.acquire(blocking=False):
            return frozenset()
        try:
            # The pool's own first: one that is reaped meanwhile is no child any more.
            own = {process.pid for process in self._processes}
            return children_of_parent() - own - self._before
        finally:
            self._making.release()

    def _fork(self, process: IoProcess) -> None:
        with self._making:
            process.start(other for other in self._processes if other is not process)
        if self._hub is not None:
            self._hub.add_reader(process.socket, self._read, process)

    def _answer(self, name: str, arguments: Sequence[Any]) -> None:
        """Answer a canary, and log any other message that names no executions."""
        match arguments:
            case (int(number),) if name == CANARY_TASK:
                self._block.answer_canary(number)
            case _:
                logger.error("message.not_served", extra={"task": name})

    def _send(self) -> None:
        """Send waiting messages to free seats, each to the process with the fewest."""
        while self._waiting and self._free and not self._block.is_stopping:
            delivery, seat = self._waiting[0], self._free[0]
            ready = sorted((each for each in self._processes if each.takes_messages), key=lambda each: each.load)
            if not ready or not ready[0].send(seat, delivery.token, delivery.execution_ids):
                self._send_later()
                return
            self._waiting.popleft()
            self._free.popleft()
            ready[0].load += 1
            delivery.process = ready[0]
            self._at_work[seat] = delivery

    def _send_later(self) -> None:
        if self._hub is not None and not self._is_retry_due:
            self._is_retry_due = True
            self._hub.call_later(RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._is_retry_due = False
        self._send()

    def _read(self, process: IoProcess) -> None:
        """Acknowledge the messages whose seats the process reports as free."""
        seats, is_open = process.read_settled()
        if not is_open:
            self._hang_up(process)
        for seat in seats:
            self._vacate(seat, is_settled=True)
        self._send()

    def _vacate(self, seat: int, *, is_settled: bool) -> None:
        """Acknowledge the message of a seat, or let it wait for another one because its process has not read it."""
        delivery = self._at_work.pop(seat, None)
        if delivery is None or delivery.process is None:
            return
        delivery.process.load -= 1
        self._free.append(seat)
        if is_settled:
            delivery.settle()
        else:
            self._waiting.appendleft(delivery)

    def _hang_up(self, process: IoProcess) -> None:
        if self._hub is not None and process.socket is not None:
            self._hub.remove(process.socket)
        process.hang_up()


def _give_back(delivery: Delivery) -> None:
    try:
        _reject()
    except Reject:
        delivery.fail(ExceptionInfo())


def _reject() -> NoReturn:
    raise Reject("the worker is stopping", requeue=True)
