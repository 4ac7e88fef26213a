"""Errors of the driver that mean that a session has ended."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg
import pytest
from django.db import Error, IntegrityError, InternalError, OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg import errors

from tenants.transactions import ConnectionLostError, is_lost, is_session_timeout, session_errors, statement_errors

OPEN, CLOSED = SimpleNamespace(closed=False), SimpleNamespace(closed=True)


@pytest.mark.parametrize(
    "sqlstate", ["08000", "08003", "08006", "08P01", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04"]
)
def test_session_is_lost_by_sqlstate_although_the_connection_is_open(sqlstate: str) -> None:
    assert is_lost(errors.lookup(sqlstate)(), OPEN)  # type: ignore[arg-type]


@pytest.mark.parametrize("sqlstate", ["55P03", "57014", "40001", "40P01", "25P02", "25006", "53100", "23505", "57P04"])
def test_session_is_not_lost_by_an_error_of_a_statement(sqlstate: str) -> None:
    assert not is_lost(errors.lookup(sqlstate)(), OPEN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("connection", "error", "expected"),
    [
        (CLOSED, psycopg.OperationalError("consuming input failed"), True),
        (CLOSED, psycopg.InterfaceError("the connection is closed"), True),
        (None, psycopg.OperationalError("connection refused"), True),
        (OPEN, psycopg.OperationalError("the number of parameters is too large"), False),
        (OPEN, psycopg.InterfaceError("the cursor is closed"), False),
        (CLOSED, psycopg.ProgrammingError("can't adapt"), False),
    ],
)
def test_error_of_the_driver_is_classified_by_its_connection(
    connection: object, error: psycopg.Error, expected: bool
) -> None:
    assert is_lost(error, connection) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.AdminShutdown(), ConnectionLostError),
        (errors.IdleInTransactionSessionTimeout(), ConnectionLostError),
        (errors.LockNotAvailable(), OperationalError),
        (errors.ReadOnlySqlTransaction(), OperationalError),
        (errors.InFailedSqlTransaction(), InternalError),
        (errors.UniqueViolation(), IntegrityError),
    ],
)
def test_statement_raises_connection_lost_error_or_the_error_of_django(
    error: psycopg.Error, expected: type[Exception]
) -> None:
    backend = DatabaseWrapper({"NAME": "x"})
    with pytest.raises(expected) as raised, statement_errors(backend), backend.wrap_database_errors:
        raise error
    assert type(raised.value) is expected
    assert raised.value.__cause__ is error
    assert backend.errors_occurred is (expected is not IntegrityError)
    assert is_session_timeout(raised.value) is isinstance(error, errors.IdleInTransactionSessionTimeout)


def raised_in_block(error: psycopg.Error, before: object, after: object) -> Error:
    """Return what a block raises after an error of the driver, with the driver's connection before and after it."""
    connection = SimpleNamespace(connection=before)
    with (
        pytest.raises(Error) as raised,
        session_errors(connection),  # type: ignore[arg-type]
        DatabaseWrapper({"NAME": "x"}).wrap_database_errors,
    ):
        connection.connection = after
        raise error
    assert raised.value.__cause__ is error
    return raised.value


REFUSED = psycopg.OperationalError("connection refused")


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (errors.AdminShutdown(), CLOSED, CLOSED),
        (errors.IdleInTransactionSessionTimeout(), CLOSED, OPEN),
        (REFUSED, None, None),
        (REFUSED, CLOSED, None),
        (errors.CannotConnectNow(), None, None),
    ],
)
def test_block_raises_connection_lost_error_for_its_lost_session(
    error: psycopg.Error, before: object, after: object
) -> None:
    assert type(raised_in_block(error, before, after)) is ConnectionLostError


@pytest.mark.parametrize(
    ("error", "before", "after", "expected"),
    [
        (errors.AdminShutdown(), OPEN, OPEN, OperationalError),
        (errors.AdminShutdown(), None, OPEN, OperationalError),
        (REFUSED, OPEN, OPEN, OperationalError),
        (errors.IdleInTransactionSessionTimeout(), OPEN, OPEN, InternalError),
        (errors.LockNotAvailable(), CLOSED, CLOSED, OperationalError),
    ],
)
def test_block_leaves_an_error_of_an_open_session_unchanged(
    error: psycopg.Error, before: object, after: object, expected: type[Exception]
) -> None:
    assert type(raised_in_block(error, before, after)) is expected


def test_block_leaves_an_error_replaced_by_a_statement_unchanged() -> None:
    lost = ConnectionLostError("away")
    with pytest.raises(ConnectionLostError) as raised, session_errors(SimpleNamespace(connection=CLOSED)):  # type: ignore[arg-type]
        raise lost from errors.AdminShutdown()
    assert raised.value is lost
