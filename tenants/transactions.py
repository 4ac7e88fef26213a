"""Transactions of scopes, and the errors by which their session with PostgreSQL has ended.

A transaction begins with its first statement, and with its settings in the same message.

Until then the session has no role and no tenant, so a statement that bypassed the wrapper `run_in_scope` would find no
row of any tenant.
"""

from __future__ import annotations

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
    """The session of the platform's connection ended, or none could be opened.

    Raised where the error occurs, because Django opens another connection before the caller could inspect it. An error
    of a statement, such as a lock timeout, leaves the session open and stays Django's own. So does an error of another
    alias.
    """


@contextmanager
def statement_errors(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Raise `ConnectionLostError` if a statement in the block lost the session.

    The block runs statements of this connection and nothing else.
    """
    raw = connection.connection
    try:
        yield
    except Error as error:
        _raise_replacement(error, raw)
        raise


@contextmanager
def session_errors(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Raise `ConnectionLostError` if the block failed to connect, or lost the session at a COMMIT or a FETCH.

    The block may use other connections: their errors leave the session of this one open, and are raised unchanged.
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
    """Return whether PostgreSQL ended the session because this side kept its transaction open for too long."""
    return isinstance(error, ConnectionLostError) and isinstance(error.__cause__, _TIMED_OUT)


def is_lost(error: psycopg.Error, connection: psycopg.Connection[Any] | None) -> bool:
    """Return whether the error ended the session of the connection that raised it.

    An error without a SQLSTATE is the driver's own: the session is lost if the connection is closed or was never open.
    """
    if error.sqlstate is not None:
        return error.sqlstate in _ENDED or error.sqlstate.startswith(_CONNECTION_CLASS)
    is_of_session = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return is_of_session and (connection is None or connection.closed)


@dataclass(slots=True, eq=False)
class ScopeTransaction:
    """The transaction in which a scope is entered, on the driver's connection ``raw`` and no other.

    ``scope`` is the one whose settings are active, None before and after. ``is_own``: an outermost scope opened it.
    Then it begins with the message ``beginning``, which is None once sent, and may defer statements to the COMMIT.
    """

    raw: psycopg.Connection[Any]
    is_own: bool = False
    beginning: bytes | None = None
    scope: Scope | None = None
    behind: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def begin(self, connection: BaseDatabaseWrapper) -> None:
        """Begin the transaction with its settings, unless it has begun."""
        if self.beginning is not None:
            with connection.wrap_database_errors:
                psycopg.Cursor(self.raw).execute(self.beginning, prepare=False)
            self.beginning = None

    def flush_deferred(self) -> None:
        """Run the deferred statements."""
        behind, self.behind = self.behind, []
        for query, params in behind:
            with prepared_cursor() as cursor:
                cursor.execute(query, params)

    def commit_with_deferred(self, connection: BaseDatabaseWrapper) -> None:
        """Send the deferred statements together with the COMMIT, after which Django finds nothing to commit."""
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
        """Discard all state; the connection is in no scope."""
        self.scope, self.is_own, self.beginning, self.behind = None, False, None, []


# A later transaction replaces an earlier one; a scope that is left late ends its own and no other.
_transactions: WeakKeyDictionary[BaseDatabaseWrapper, ScopeTransaction] = WeakKeyDictionary()


def transaction_of(connection: BaseDatabaseWrapper) -> ScopeTransaction | None:
    """Return the transaction of the connection's scopes; None if Django has opened another connection since."""
    found = _transactions.get(connection)
    return found if found is not None and found.raw is connection.connection else None


def is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether Django is in a transaction; if it is not, the connection is open and healthy afterwards."""
    if connection.in_atomic_block:
        return True
    connection.close_if_health_check_failed()
    return not connection.get_autocommit()


def open_transaction(connection: BaseDatabaseWrapper, settings: Mapping[str, str]) -> ScopeTransaction:
    """Return the transaction of an outermost scope, just inside of its `atomic`; it has not begun."""
    wrap_statements(None, connection)
    raw = connection.connection
    with connection.wrap_database_errors:
        # Keeps the driver from sending a BEGIN of its own. Django's own flag, by which it commits, stays unchanged.
        raw.autocommit = True
    opened = ScopeTransaction(raw, is_own=True, beginning=_beginning(tuple(settings.items())))
    _transactions[connection] = opened
    return opened


def join_transaction(connection: BaseDatabaseWrapper) -> ScopeTransaction:
    """Return the transaction of a scope inside a transaction that has no scope yet."""
    joined = _transactions[connection] = ScopeTransaction(connection.connection)
    return joined


def wrap_statements(sender: object, connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Add `run_in_scope` to the statements of the platform's connection (receiver of `connection_created`)."""
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
    """Begin the scope's transaction and run deferred statements before a statement; raise `ConnectionLostError`."""
    connection: BaseDatabaseWrapper = context["connection"]
    with statement_errors(connection):
        found = transaction_of(connection)
        if found is not None:
            found.begin(connection)
            found.flush_deferred()
        return execute(query, params, many, context)


def execute_with_commit(query: str, params: Mapping[str, Any]) -> None:
    """Run a statement without a result with the COMMIT of the scope's transaction, or before its next statement.

    This saves a round trip; its errors are raised there. It runs at once outside of a scope's own transaction, and
    behind a pooler.
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
    """Send the statements of the block without waiting for each, and raise the first error of them.

    Statements after an error do not run. Without a BEGIN they are one transaction. A connection whose wait is
    interrupted is closed.
    """
    raw: psycopg.Connection[Any] = connection.connection
    try:
        with connection.wrap_database_errors, raw.pipeline():
            yield
    except OperationalError as error:
        # The driver replaces an interruption by the error that results were not collected.
        interruption = error.__cause__ and error.__cause__.__context__
        if _is_in_pipeline(raw) and interruption is not None and not isinstance(interruption, Exception):
            raise interruption from None
        raise
    finally:
        if _is_in_pipeline(raw):
            connection.close()


def _is_in_pipeline(raw: psycopg.Connection[Any]) -> bool:
    return raw.info.pipeline_status != PipelineStatus.OFF


@lru_cache(maxsize=1_000)
def _beginning(settings: tuple[tuple[str, str], ...]) -> bytes:
    """Return a text without parameters: only then can several statements be one message."""
    texts = [
        sql.SQL("SET LOCAL {} TO {}").format(sql.Identifier(*name.split(".")), sql.Literal(value))
        for name, value in settings
    ]
    return sql.SQL("; ").join([sql.SQL("BEGIN"), *texts]).as_bytes()
