"""The database's clock, which decides all times, whatever the machine's clock shows."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def read_clock() -> datetime:
    """Return when the current transaction began; it is constant within the transaction."""
    return _ask("SELECT now()")


def read_moment() -> datetime:
    """Return the current time, which advances within a transaction."""
    return _ask("SELECT clock_timestamp()")


def _ask(statement: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        moment: datetime = cursor.fetchone()[0]
    return moment
