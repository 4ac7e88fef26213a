"""The clock of the database server, which is used for all stored times, because machines' clocks differ."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def read_clock() -> datetime:
    """Return the time at which the current transaction began; it stays the same within the transaction."""
    return _ask("SELECT now()")


def read_moment() -> datetime:
    """Return the current time by the database's clock; it advances within a transaction."""
    return _ask("SELECT clock_timestamp()")


def _ask(statement: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        moment: datetime = cursor.fetchone()[0]
    return moment
