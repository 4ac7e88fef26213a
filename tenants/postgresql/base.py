"""The backend of DATABASES: Django takes the class of this name from the module of this name."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from typing import Any, override

import psycopg
from django.db import DatabaseError
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorWrapper, debug_transaction
from django.utils.asyncio import async_unsafe
from psycopg import generators, sql
from psycopg.pq import ExecStatus, TransactionStatus

from tenants.postgresql.errors import ErrorWrapper


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own; what it does differently: it asks the system whether the server has hung up, not the server, and
    a transaction begins together with its settings, when something is asked in it."""

    # The settings of the transaction that is open for Django, and begins with the first statement.
    announced: Mapping[str, str] | None = None
    # Runs a statement that was left for the next way to the server, with the COMMIT if called so (`commits`).
    behind: Callable[..., None] | None = None

    def begin(self) -> None:
        """Begin what was announced, with its settings in one round trip; the driver would begin it in one more."""
        self.catch_up()
        settings = self.take_announced()
        if settings is None:
            return
        raw: psycopg.Connection[Any] = self.connection
        with self.wrap_database_errors:
            raw.pgconn.send_query(_beginning(tuple(settings.items())))
            for result in raw.wait(generators.execute(raw.pgconn)):
                if result.status != ExecStatus.COMMAND_OK:
                    raise psycopg.errors.error_from_result(result, encoding=raw.info.encoding)

    def take_announced(self) -> Mapping[str, str] | None:
        """The settings for whoever begins the transaction with them; None where it has begun, or there is none."""
        settings, self.announced = self.announced, None
        return settings

    def catch_up(self) -> None:
        """Run what was left behind, before something else is asked."""
        behind, self.behind = self.behind, None
        if behind is not None:
            with self.wrap_database_errors:
                behind(commits=False)

    @async_unsafe
    def cursor_of(self, make: Callable[[psycopg.Connection[Any]], Any]) -> CursorWrapper:
        """Django's cursor around another than the driver's own, made for the open connection; it begins nothing."""
        self.close_if_health_check_failed()
        self.ensure_connection()
        cursor: CursorWrapper = self._prepare_cursor(make(self.connection))  # type: ignore[attr-defined]
        return cursor

    @cached_property
    def wrap_database_errors(self) -> ErrorWrapper:
        """The context that raises the driver's errors as Django's."""
        return ErrorWrapper(self)

    @override
    def connect(self) -> None:
        """Open a connection, which is in no transaction."""
        self.announced = self.behind = None
        super().connect()

    @override
    def validate_no_broken_transaction(self) -> None:
        """Asked before each statement, also of a cursor that was opened long before."""
        super().validate_no_broken_transaction()
        self.catch_up()

    @override
    def create_cursor(self, name: str | None = None) -> Any:
        """Django's own cursor, of which nobody knows what it asks: what was announced begins now."""
        self.begin()
        return super().create_cursor(name)

    def _set_autocommit(self, autocommit: bool) -> None:  # noqa: FBT001 - Django's signature
        # The driver's setter locks, and looks whether a transaction is open, twice a request.
        raw = self.connection
        if raw is not None and raw.pgconn.transaction_status == TransactionStatus.IDLE:
            raw._autocommit = autocommit  # noqa: SLF001 - as its setter does in the end
        else:
            super()._set_autocommit(autocommit)  # type: ignore[misc]

    def _commit(self) -> None:
        behind, self.behind = self.behind, None
        if behind is None:
            super()._commit()  # type: ignore[misc]
            return
        try:
            with debug_transaction(self, "COMMIT"), self.wrap_database_errors:
                behind(commits=True)
        except DatabaseError:
            raise
        except BaseException:
            # Of a value that could not be sent, or an interruption: Django takes back only what the database refused.
            try:
                self.rollback()
            except DatabaseError:
                self.close()
            raise

    def _rollback(self) -> None:
        self.behind = None
        super()._rollback()  # type: ignore[misc]

    @override
    def is_usable(self) -> bool:
        """Whether the connection still lives, as every request that finds one open asks first.

        A server that ends a session says so, and closes the socket: there is something to read, where there never is
        on a connection that rests. Only then it is asked, and after an error. One that has vanished without a word
        would have kept the question waiting as long as it will keep the first statement.
        """
        if self.connection is None or self.connection.closed:
            return False
        if self.errors_occurred or self.connection.info.transaction_status != TransactionStatus.IDLE:
            return super().is_usable()
        watched = select.poll()
        watched.register(self.connection.fileno(), select.POLLIN)
        return super().is_usable() if watched.poll(0) else True


@lru_cache(maxsize=1_000)
def _beginning(settings: tuple[tuple[str, str], ...]) -> bytes:
    """Text without parameters: several statements are one message only so."""
    texts = [
        sql.SQL("SET LOCAL {} TO {}").format(sql.Identifier(*name.split(".")), sql.Literal(value))
        for name, value in settings
    ]
    return sql.SQL("; ").join([sql.SQL("BEGIN"), *texts]).as_bytes()
