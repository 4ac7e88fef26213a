"""The context of one execution whose processor is a coroutine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import partial
from typing import IO, Any, Self
from uuid import UUID

from scheduling.kit.children import ChildJob
from scheduling.kit.context import JobContext
from scheduling.kit.dependencies import Dependency
from scheduling.kit.outcomes import Json
from scheduling.kit.runtime import BYTES, AsyncJobRuntime, Effects, LogLevel, attempt_error


@dataclass(frozen=True, slots=True)
class AsyncJobContext:
    """One execution of one job, as a processor whose ``process`` is a coroutine sees it.

    It has the fields of `JobContext`, and its methods: those that may wait are awaited, and those that only use memory
    are called. ``blocking`` is the `JobContext` of the same execution, for functions that `run` calls.
    """

    tenant_id: UUID
    job_id: UUID
    execution_id: UUID
    kind: str
    payload: Json
    attempt: int
    state: Json
    fencing_token: int
    idempotency_key: str
    deadline_at: datetime | None
    blocking: JobContext = field(repr=False, compare=False)
    runtime: AsyncJobRuntime = field(repr=False, compare=False)
    settings: Json = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, blocking: JobContext, runtime: AsyncJobRuntime) -> Self:
        """Return the context of the execution that ``blocking`` is the context of."""
        facts = {each.name: getattr(blocking, each.name) for each in fields(blocking)}
        return cls(**facts | {"blocking": blocking, "runtime": runtime})

    async def checkpoint(self, state: Json, effects: Effects | None = None) -> None:
        """Store ``state``, and run ``effects``, a plain function, in the same transaction, as `JobContext.checkpoint`.

        In a block of ``database`` it is stored when the block commits.
        """
        await self.run(self.blocking.checkpoint, state, effects)

    def in_settlement(self, effects: Effects) -> None:
        """Register ``effects`` to run in the transaction that settles this execution; they run only if it completes."""
        self.blocking.in_settlement(effects)

    async def report_progress(self, current: int, total: int, message: str = "") -> None:
        """Report progress: ``current`` of ``total`` in any unit; cheap to call often, written at most once a second.

        Raise ValueError for numbers beyond 64 bits.
        """
        await self.runtime.report_progress(current, total, message)

    async def should_yield(self) -> bool:
        """Return True if the processor should now return ``Yielded``; cheap to call often: it only reads memory.

        Raise Interrupted if the job was cancelled or its worker shuts down.
        """
        return await self.runtime.should_yield()

    async def yield_requested(self) -> None:
        """Wait until ``should_yield`` returns True, so that a processor that awaits something else need not poll it."""
        await self.runtime.yield_requested()

    def log(self, message: str, *, level: LogLevel = "info", **fields: Any) -> None:
        """Add a line to the job's log; it never waits, so it is not awaited. See `JobContext.log`."""
        self.blocking.log(message, level=level, **fields)

    def stream(self, name: str, text: str, *, restart: bool = False) -> None:
        """Add text to the output ``name`` of the job; it never waits, so it is not awaited. See `JobContext.stream`."""
        self.blocking.stream(name, text, restart=restart)

    async def attach(self, name: str, file: bytes | IO[bytes], content_type: str = BYTES) -> None:
        """Store a file as the job's artifact ``name``, as `JobContext.attach` does.

        Its bytes are written without the database connection, so that other tasks and jobs can use it.
        """
        await self.runtime.attach(name, file, content_type)

    @asynccontextmanager
    async def dependency(self, dependency: Dependency | str) -> AsyncIterator[None]:
        """Wrap the use of an external dependency: ``async with context.dependency(host): ...``.

        See `JobContext.dependency`.
        """
        named = Dependency(dependency) if isinstance(dependency, str) else dependency
        await self.run(self.blocking.runtime.enter_dependency, named)
        try:
            yield
        except Exception as error:
            # An interruption or a cancellation reports nothing, and does not wait for the connection.
            await self.run(self.blocking.runtime.leave_dependency, named, attempt_error(error))
            raise
        await self.run(self.blocking.runtime.leave_dependency, named, None)

    def submit_child(self, kind: str, payload: Json | None = None, **options: Any) -> None:
        """Submit a job of the same tenant when this execution ends well, as `JobContext.submit_child` does."""
        self.blocking.submit_child(kind, payload, **options)

    async def check_child(self, kind: str, payload: Json | None = None, **options: Any) -> None:
        """Raise PermanentError if `submit_child` would be refused, as `JobContext.check_child` does."""
        await self.run(self.blocking.check_child, kind, payload, **options)

    def emit(self, topic: str, message: Json, *, key: str = "") -> None:
        """Send ``message`` to the tenant's outbox routes that match ``topic``, as `JobContext.emit` does."""
        self.blocking.emit(topic, message, key=key)

    async def children(self) -> Sequence[ChildJob]:
        """Return the ended children that the job last waited for, with their results, in order of submission."""
        return await self.run(self.blocking.children)

    def setting(self, key: str) -> Any:
        """Return the tenant's value of a setting that the kind lists in ``settings``, or its default.

        Raise LookupError for a setting that the kind does not list.
        """
        return self.blocking.setting(key)

    def database(self) -> AbstractAsyncContextManager[None]:
        """Open a transaction on a lent connection: ``async with context.database(): ...``.

        Only in the block may the ORM be used: its asynchronous methods, or functions called by ``run``. It sees only
        rows of the job's tenant. An error that leaves the block rolls back; a block in a block is a savepoint. The
        tasks of a job take the connection in turn, so await nothing else in the block. Raise PermanentError with the
        code ``database_not_lent`` in a task that was started in a block of another.
        """
        return self.runtime.database()

    async def run[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that may block, in the thread of the database connection, and return its result.

        It delays the other tasks of the job that use the database, and cannot be interrupted. Outside a block of
        ``database`` it has no transaction.
        """
        return await self.runtime.run(partial(function, *args, **kwargs))
