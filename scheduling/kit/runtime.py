"""Kit types for the worker's side of a running job, and for how it stops; `base` exports them to processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import IO, Final, Literal, Protocol
from uuid import UUID

from scheduling.kit.children import Child, ChildJob
from scheduling.kit.dependencies import Dependency
from scheduling.kit.outcomes import Json

type Effects = Callable[[], object]
# The media type of bytes of which nothing is known.
BYTES: Final = "application/octet-stream"
type LogLevel = Literal["debug", "info", "warning", "error"]
# The tenant whose job runs, None outside of jobs.
running_tenant: ContextVar[UUID | None] = ContextVar("running_tenant", default=None)
# Whether the job that runs may call a host; None if it may call any.
host_check: ContextVar[Callable[[str], bool] | None] = ContextVar("host_check", default=None)


class Interrupted(BaseException):
    """The exception that the platform raises at a safe point (a call of the context) to stop the processor.

    It derives from ``BaseException``, so a processor's ``except Exception`` does not catch it. ``cause`` is one of
    ``cancel``, ``shutdown``, ``deadline``, ``fence_lost``, ``dependency``. A coroutine is also stopped at any other
    ``await``, by asyncio's ``CancelledError``.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class JobRuntime(Protocol):
    """The interface that the worker implements behind a `JobContext`: one method for each of the context's.

    Processors call the context's methods instead. Tests of a job kind pass a `RecordingRuntime`.
    """

    def checkpoint(self, state: Json, effects: Effects | None) -> None:
        """Store ``state``, a JSON object, and run ``effects`` in the same transaction; then pass a safe point.

        Raise Interrupted if a stop was requested or another worker runs the job, and PermanentError for a state that
        is not JSON or too large.
        """

    def in_settlement(self, effects: Effects) -> None:
        """Keep ``effects`` and run them in the transaction that records this execution as completed."""

    def report_progress(self, current: int, total: int, message: str) -> None:
        """Keep the progress, ``current`` of ``total`` in any unit, and write it at most once a second.

        Raise ValueError for numbers beyond 64 bits, and Interrupted if the job now belongs to another worker.
        """

    def should_yield(self) -> bool:
        """Return whether the time slice is used and another job waits for the slot.

        Raise Interrupted if a stop was requested.
        """

    def log(self, message: str, level: LogLevel, fields: Json) -> None:
        """Add a line to the job's log; raise nothing."""

    def stream(self, name: str, text: str, *, restart: bool) -> None:
        """Keep ``text`` for the output ``name`` of the job, and write it within a second; ``restart`` it before."""

    def attach(self, name: str, file: bytes | IO[bytes], content_type: str) -> None:
        """Store ``file`` as the job's artifact ``name``, if this execution still owns the job.

        Raise Interrupted if it does not, and PermanentError for a file that is refused.
        """

    def enter_dependency(self, dependency: Dependency) -> None:
        """Record that the job uses ``dependency`` from now on; raise Interrupted while its breaker is open."""

    def leave_dependency(self, dependency: Dependency, error: BaseException | None) -> None:
        """Record how the use of ``dependency`` ended; ``error`` is the exception that left it, or None."""

    def submit_child(self, child: Child) -> None:
        """Keep ``child`` for the transaction in which this execution ends well.

        Raise PermanentError beyond MAX_CHILDREN an execution.
        """

    def check_child(self, child: Child) -> None:
        """Raise PermanentError, with the code of the refusal, if the kind or the payload of ``child`` is refused."""

    def children(self) -> Sequence[ChildJob]:
        """Return the children that the job last waited for, in order of submission, with their results."""

    def emit(self, topic: str, message: Json, key: str) -> None:
        """Keep a message for the transaction of the next checkpoint, or of the settlement if the execution ends well.

        Raise PermanentError for a message that is refused.
        """


class AsyncJobRuntime(Protocol):
    """The interface that the worker implements behind an `AsyncJobContext`, beside a `JobRuntime`."""

    async def report_progress(self, current: int, total: int, message: str) -> None:
        """Keep the progress, and let it be written at most once a second."""

    async def should_yield(self) -> bool:
        """Return whether the time slice is used and another job waits for the slot; raise Interrupted on a stop."""

    async def yield_requested(self) -> None:
        """Wait until ``should_yield`` would return True."""

    async def attach(self, name: str, file: bytes | IO[bytes], content_type: str) -> None:
        """Store ``file`` as `JobRuntime.attach` does, and write its bytes without the database connection."""

    def database(self) -> AbstractAsyncContextManager[None]:
        """Return a block that has a database connection and a transaction with the job's tenant set."""

    async def run[T](self, function: Callable[[], T]) -> T:
        """Call ``function`` in the thread of the database connection, and return its result."""


def attempt_error(error: BaseException) -> BaseException:
    """Return the error that settles an attempt: of a group, such as that of a ``TaskGroup``, one of its errors.

    That is an Interrupted if it has one, else its first error, so that permanent and transient ones keep their meaning.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    interrupted, _others = error.split(Interrupted)
    return attempt_error((interrupted or error).exceptions[0])
