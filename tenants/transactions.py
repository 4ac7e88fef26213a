"""The transactions of tenant scopes, and the errors by which a session with PostgreSQL ends.

The transaction of a scope begins with its first statement; BEGIN and the settings of the scope are sent as one message.
Before that the session has no role and no tenant, so a statement that bypassed the wrapper `run_in_scope` would find no
row of any tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import Error, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors, sql
from psycopg.pq import PipelineStatus

from tenants.database.conf import APP_ALIAS
from tenants.database.prepared import prepared_cursor
from tenants.exceptions import ContextElsewhereError

if TYPE_CHECKING:
    from tenants.context import Scope

# PostgreSQL ends a session that is idle in a transaction, or whose transaction takes too long.
_TIMED_OUT = (errors.IdleInTransactionSessionTimeout, errors.TransactionTimeout)
_ENDED = frozenset(
    {
        errors.AdminShutdown.sqlstate,
        errors.CrashShutdown.sqlstate,
        errors.CannotConnectNow.sqlstate,
        errors.IdleSessionTimeout.sqlstate,
        *(error.sqlstate for error in _TIMED_OUT),
    }
)
_CONNECTION_CLASS = "08"


class ConnectionLostError(OperationalError):
    """Raised if the session of the platform's connection has ended, or none could be opened.

    It is raised where the error occurs, because Django would open another connection before the caller could check.
    Errors that leave the session open, such as a lock timeout, stay Django's own, as do errors of other database
    aliases.
    """


@contextmanager
def statement_errors(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Raise `ConnectionLostError` if a statement in the block loses the session.

    The block must use no other connection.
    """
    raw = connection.connection
    try:
        yield
    except Error as error:
        _raise_replacement(error, raw)
        raise


@contextmanager
def session_errors(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Raise `ConnectionLostError` if the block cannot connect, or loses the session at a COMMIT or a FETCH.

    The block may use other connections: their errors leave this session open and are raised unchanged.
    """
    before = connection.connection
    try:
        yield
    except Error as error:
        # The driver closes a connection whose session has ended. Django may have opened another one since.
        raw = before or connection.connection
        if raw is None or raw.closed:
            _raise_replacement(error, raw)
        raise


def _raise_replacement(error: Error, raw: psycopg.Connection[Any] | None) -> None:
    cause = error.__cause__
    if isinstance(error, ConnectionLostError) or not isinstance(cause, psycopg.Error):
        return
    if is_lost(cause, raw):
        raise ConnectionLostError(*error.args) from cause
    if isinstance(cause, errors.ReadOnlySqlTransaction):
        # From a standby, or during a failover: temporary, like other operational errors. Django's own class for it
        # means a defect.
        raise OperationalError(*error.args) from cause


def is_session_timeout(error: BaseException) -> bool:
    """Return whether PostgreSQL ended the session because the application kept its transaction open for too long."""
    return isinstance(error, ConnectionLostError) and isinstance(error.__cause__, _TIMED_OUT)


def is_lost(error: psycopg.Error, connection: psycopg.Connection[Any] | None) -> bool:
    """Return whether the driver's error means that the session of the connection has ended.

    An error without a SQLSTATE comes from the driver itself: then the session is lost if the connection is closed or
    was never open.
    """
    if error.sqlstate is not None:
        return error.sqlstate in _ENDED or error.sqlstate.startswith(_CONNECTION_CLASS)
    is_of_session = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return is_of_session and (connection is None or connection.closed)


@dataclass(slots=True, eq=False)
class ScopeTransaction:
    """The transaction of a tenant scope on one driver connection, ``raw``.

    ``scope`` is the scope whose settings are active, None before and after. If ``is_own``, a scope has opened the
    transaction: it begins when the message ``beginning`` is sent (None afterwards), and statements may be deferred to
    its COMMIT. Otherwise the scope was entered inside a transaction that other code had opened.
    """

    raw: psycopg.Connection[Any]
    is_own: bool = False
    beginning: bytes | None = None
    scope: Scope | None = None
    behind: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def begin(self, connection: BaseDatabaseWrapper) -> None:
        """Send BEGIN and the settings of the scope, unless they have been sent."""
        if self.beginning is not None:
            with connection.wrap_database_errors:
                psycopg.Cursor(self.raw).execute(self.beginning, prepare=False)
            self.beginning = None

    def flush_deferred(self) -> None:
        """Run the deferred statements now."""
        behind, self.behind = self.behind, []
        for query, params in behind:
            with prepared_cursor() as cursor:
                cursor.execute(query, params)

    def commit_with_deferred(self, connection: BaseDatabaseWrapper) -> None:
        """Send the deferred statements together with the COMMIT, so that Django has nothing left to commit."""
        behind, self.behind = self.behind, []
        if not behind:
            return
        if transaction_of(connection) is not self:
            raise ContextElsewhereError
        with statement_errors(connection), prepared_cursor() as cursor:
            self.begin(connection)
            with sent_together(connection):
                for query, params in behind:
                    cursor.execute(query, params)
                psycopg.Cursor(self.raw).execute("COMMIT")

    def end(self) -> None:
        """Reset all state, so that the connection has no scope any more."""
        self.scope, self.is_own, self.beginning, self.behind = None, False, None, []


# A later transaction replaces an earlier one; a scope that is left late ends its own and no other.
_transactions: WeakKeyDictionary[BaseDatabaseWrapper, ScopeTransaction] = WeakKeyDictionary()


def transaction_of(connection: BaseDatabaseWrapper) -> ScopeTransaction | None:
    """Return the connection's transaction with its scope; None if it has none on the current driver connection."""
    found = _transactions.get(connection)
    return found if found is not None and found.raw is connection.connection else None


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the connection is in a transaction. If it is not, it is open and healthy afterwards."""
    if connection.in_atomic_block:
        return True
    connection.close_if_health_check_failed()
    return not connection.get_autocommit()


def open_transaction(connection: BaseDatabaseWrapper, settings: Mapping[str, str]) -> ScopeTransaction:
    """Return the transaction of an outermost scope. Call it inside of `atomic`; BEGIN is not sent yet."""
    wrap_statements(None, connection)
    raw = connection.connection
    with connection.wrap_database_errors:
        # Keeps the driver from sending a BEGIN of its own. Django's own flag, by which it commits, stays unchanged.
        raw.autocommit = True
    opened = ScopeTransaction(raw, is_own=True, beginning=_beginning(tuple(settings.items())))
    _transactions[connection] = opened
    return opened


def join_transaction(connection: BaseDatabaseWrapper) -> ScopeTransaction:
    """Return an object for a scope that is entered inside a transaction which other code has opened."""
    joined = _transactions[connection] = ScopeTransaction(connection.connection)
    return joined


def wrap_statements(sender: object, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Add `run_in_scope` to the execute wrappers of the platform's connection (receiver of `connection_created`)."""
    if connection.alias == APP_ALIAS and run_in_scope not in connection.execute_wrappers:
        # The outermost. Not the last one: Django's `execute_wrapper` removes the last one.
        connection.execute_wrappers.insert(0, run_in_scope)


def run_in_scope(
    execute: Callable[[str, Any, bool, dict[str, Any]], Any],
    query: str,
    params: Any,
    many: bool,  # noqa: FBT001 - Django's signature
    context: dict[str, Any],
) -> Any:
    """Execute wrapper: before a statement, begin the scope's transaction and run the deferred statements.

    Raise `ConnectionLostError` if the session is lost.
    """
    connection: BaseDatabaseWrapper = context["connection"]
    with statement_errors(connection):
        found = transaction_of(connection)
        if found is not None:
            found.begin(connection)
            found.flush_deferred()
        return execute(query, params, many, context)


def execute_with_commit(query: str, params: Mapping[str, Any]) -> None:
    """Run a statement without a result together with the COMMIT of the scope's transaction, which saves a round trip.

    If another statement follows in the transaction, it runs before that one. Its errors are raised there. Outside of a
    transaction that a scope has opened, and behind a pooler, it runs at once.
    """
    connection = transaction.get_connection()
    found = transaction_of(connection)
    if found is None or not found.is_own or connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
        with prepared_cursor() as cursor:
            cursor.execute(query, params)
        return
    connection.validate_no_broken_transaction()
    found.behind.append((query, params))


@contextmanager
def sent_together(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Send the statements of the block to PostgreSQL without waiting for each, and raise the first error at the end.

    Statements after an error do not run. Without a BEGIN they are one transaction; an error of its commit, such as that
    of a deferred constraint, becomes an OperationalError, because the driver loses it. After that, or if waiting for
    the results is interrupted, the connection is closed.
    """
    raw: psycopg.Connection[Any] = connection.connection
    is_sent = False
    try:
        with connection.wrap_database_errors, raw.pipeline():
            yield
            is_sent = True
    except OperationalError as error:
        # The driver replaces an interruption by the error that results were not collected.
        interruption = error.__cause__ and error.__cause__.__context__
        if _is_in_pipeline(raw) and interruption is not None and not isinstance(interruption, Exception):
            raise interruption from None
        raise
    except IndexError as error:
        if not is_sent:
            raise
        # The driver has the answers of all statements, and expects no further one.
        connection.close()
        raise OperationalError("The transaction was not committed.") from error
    finally:
        if _is_in_pipeline(raw):
            connection.close()


def _is_in_pipeline(raw: psycopg.Connection[Any]) -> bool:
    return raw.info.pipeline_status != PipelineStatus.OFF


@lru_cache(maxsize=1_000)
def _beginning(settings: tuple[tuple[str, str], ...]) -> bytes:
    """Return the BEGIN and the settings as one text without parameters, so that they can be sent as one message."""
    texts = [
        sql.SQL("SET LOCAL {} TO {}").format(sql.Identifier(*name.split(".")), sql.Literal(value))
        for name, value in settings
    ]
    return sql.SQL("; ").join([sql.SQL("BEGIN"), *texts]).as_bytes()


def is_on_event_loop() -> bool:
    """Return whether a coroutine of this thread's event loop calls."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
