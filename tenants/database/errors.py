"""Detection of errors by which a session with PostgreSQL has ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import Error, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import errors

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
    """The session of the platform's connection ended, or none could be opened.

    Raised where the error occurs, since Django opens another connection before the caller could look at it. An error of
    a statement, such as a lock timeout, leaves the session open and is Django's own. So is an error of another alias.
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
        # Of a standby, or while a failover lasts: as temporary as the other operational errors. Django's own class
        # for it means a defect.
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
