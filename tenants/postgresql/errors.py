"""Detection of errors by which a session with PostgreSQL has ended."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, override

import psycopg
from django.db.utils import DatabaseErrorWrapper, OperationalError
from psycopg import errors

if TYPE_CHECKING:
    from tenants.postgresql.base import DatabaseWrapper

# PostgreSQL ends a session that stands still in a transaction, or whose transaction takes too long.
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
    """The session of an alias with this backend ended, or none could be opened.

    Raised by the error itself, since Django opens another connection before the caller could look at it. An error of
    a statement, such as a lock timeout, leaves the session open and is Django's own. So is an error of a database
    that a processor has connected to by itself.
    """


class ErrorWrapper(DatabaseErrorWrapper):
    """Raises the driver's errors as Django's, and a lost session as `ConnectionLostError`."""

    wrapper: DatabaseWrapper

    @override
    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is None:
            return
        if isinstance(error, psycopg.Error) and is_lost(error, self.wrapper.connection):
            self.wrapper.errors_occurred = True
            raise ConnectionLostError(*error.args).with_traceback(traceback) from error
        if isinstance(error, errors.ReadOnlySqlTransaction):
            # Of a standby, or while a failover lasts: as temporary as the other operational errors. Django's own
            # class for it means a defect.
            self.wrapper.errors_occurred = True
            raise OperationalError(*error.args).with_traceback(traceback) from error
        super().__exit__(exc_type, error, traceback)


def is_session_timeout(error: BaseException) -> bool:
    """Return whether PostgreSQL ended the session because this side kept its transaction open for too long."""
    return isinstance(error, ConnectionLostError) and isinstance(error.__cause__, _TIMED_OUT)


def is_lost(error: psycopg.Error, connection: psycopg.Connection[object] | None) -> bool:
    """Return whether the error ended the session of the connection that raised it.

    An error without a SQLSTATE is the driver's own: the session is lost if the connection is closed or was never open.
    """
    if error.sqlstate is not None:
        return error.sqlstate in _ENDED or error.sqlstate.startswith(_CONNECTION_CLASS)
    is_of_session = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    return is_of_session and (connection is None or connection.closed)
