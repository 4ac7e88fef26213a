"""The database connection of an execution whose processor is a coroutine: lent to one of its tasks at a time.

The connection is that of a thread that runs the event loop's blocking calls: in a pool's child the main thread, in a
process of coroutines a thread that executions share. A statement of a task that has not borrowed it, and a connection
in any other thread of the execution, are refused.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection as own_connection
from django.db.backends.base.base import BaseDatabaseWrapper

from scheduling.kit.base import PermanentError
from tenants.context import tenant_context
from tenants.database.conf import APP_ALIAS
from tenants.exceptions import NoTenantError

NOT_LENT: Final = "database_not_lent"
CURE: Final = (
    "The database was used outside of its block. Use `async with context.database():` and the ORM's asynchronous"
    " methods, or `await context.run(function)`."
)
NOT_IN_TASK: Final = "A task that was started in a block of `context.database()` cannot use the database by itself."


@dataclass(slots=True)
class Loan:
    """One use of the connection by a task; the tasks that it starts meanwhile may run statements in it."""

    outer: Loan | None
    task: asyncio.Task[Any] | None
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class Borrower:
    """The place of a task: the thread whose connection its execution has, and its last loan, None before the first."""

    thread_id: int
    last: Loan | None = None

    @property
    def loan(self) -> Loan | None:
        """Return the innermost open loan; a task may outlive the block in which it was started."""
        loan = self.last
        while loan is not None and not loan.is_open:
            loan = loan.outer
        return loan

    def may_use_connection(self) -> bool:
        """Return whether the calling thread may use its connection for the task."""
        return self.loan is not None and threading.get_ident() == self.thread_id


_borrower: ContextVar[Borrower | None] = ContextVar("database_borrower", default=None)


class Lane:
    """The use of one connection at a time by the tasks of one execution.

    ``borrow`` is the context in which the loop's blocking calls run in the connection's thread; it yields its id.
    """

    def __init__(self, tenant_id: UUID, borrow: Callable[[], AbstractAsyncContextManager[int]]) -> None:
        self._tenant_id = tenant_id
        self._borrow = borrow
        self._free = asyncio.Lock()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Loan]:
        """Wait for the connection, and lend it to the calling task; in a block of that task, do so at once.

        Raise PermanentError in a block of another task: savepoints end inside out, and tasks need not.
        """
        before = _borrower.get()
        outer = None if before is None else before.loan
        if outer is not None and outer.task is not asyncio.current_task():
            raise PermanentError(NOT_IN_TASK, code=NOT_LENT)
        loan = Loan(outer, asyncio.current_task())
        async with self._borrowed() if before is None or outer is None else nullcontext(before.thread_id) as thread_id:
            _borrower.set(Borrower(thread_id, loan))
            try:
                yield loan
            finally:
                loan.is_open = False
                _borrower.set(before)

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[int]:
        async with self._free, self._borrow() as thread_id:
            yield thread_id

    async def run[T](self, function: Callable[[], T]) -> T:
        """Call ``function`` in the connection's thread; a task that is cancelled meanwhile still waits for its end."""
        async with self.lent():
            return await to_its_end(sync_to_async(function)())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Lend the connection with a transaction of the tenant, which an error that leaves the block rolls back."""
        async with self.lent() as loan:
            entered = ExitStack()
            entered.callback(setattr, loan, "is_open", False)  # noqa: FBT003 - the attribute's value
            try:
                # A task that is cancelled meanwhile has entered it all the same.
                await to_its_end(sync_to_async(entered.enter_context)(tenant_context(self._tenant_id)))
                yield
            except BaseException as error:
                # The thread may still run a statement of a cancelled call: the rollback comes after it.
                await to_its_end(sync_to_async(entered.__exit__)(type(error), error, error.__traceback__))
                raise
            await to_its_end(sync_to_async(entered.close)())


async def to_its_end[T](work: Coroutine[Any, Any, T] | asyncio.Future[T]) -> T:
    """Await ``work`` until it has ended, and only then raise a cancellation of the calling task.

    A coroutine becomes a task, which may be cancelled as one that the processor has left; a future of a thread is not.
    """
    task = asyncio.current_task()
    assert task is not None
    # In the same context, so that variables that the work sets, such as the tenant, are set for the caller.
    working = work if isinstance(work, asyncio.Future) else asyncio.create_task(work, context=task.get_context())
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait({working})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None or working.cancelled():
        return working.result()
    # So that asyncio does not report an error of the function as never retrieved.
    working.exception()
    raise cancelled


@contextmanager
def lending(tenant_id: UUID) -> Iterator[Lane]:
    """Yield the lane of this thread's connection, and refuse statements of tasks that have not borrowed it."""
    previous, thread_id = _borrower.get(), threading.get_ident()
    _borrower.set(Borrower(thread_id))
    try:
        with own_connection.execute_wrapper(refuse_statement):
            yield Lane(tenant_id, lambda: nullcontext(thread_id))
    finally:
        _borrower.set(previous)


def lend_nothing() -> None:
    """Refuse the database to the calling task and to the tasks that it starts, except for what a lane lends them."""
    _borrower.set(Borrower(thread_id=0))


def refuse_statement(
    execute: Callable[..., Any],
    query: str,
    params: Any,
    many: bool,  # noqa: FBT001 - Django's signature
    context: dict[str, Any],
) -> Any:
    """Execute wrapper: raise PermanentError for a statement of a task that has not borrowed the connection."""
    borrower = _borrower.get()
    if borrower is not None and not borrower.may_use_connection():
        raise PermanentError(CURE, code=NOT_LENT)
    return execute(query, params, many, context)


def refuse_connection(sender: object, connection: BaseDatabaseWrapper, **_: object) -> None:
    """Close a new connection that a task of an execution has not borrowed (receiver of `connection_created`)."""
    borrower = _borrower.get()
    if borrower is not None and connection.alias == APP_ALIAS and not borrower.may_use_connection():
        connection.close()
        raise PermanentError(CURE, code=NOT_LENT)


def with_cure(error: BaseException) -> BaseException:
    """Return an error of the ORM outside of a block as one that tells what to do; any other error unchanged."""
    if not isinstance(error, NoTenantError | SynchronousOnlyOperation):
        return error
    cured = PermanentError(f"{CURE} ({error})", code=NOT_LENT)
    cured.__cause__ = error
    return cured
