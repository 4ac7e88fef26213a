"""The database's time, by which everything is decided, whatever this machine's clock says."""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def read_clock() -> datetime:
    """When the transaction of the moment began: the same for all that it does."""
    return _ask("SELECT now()")


def read_moment() -> datetime:
    """The time at this very moment, however long the transaction has lasted."""
    return _ask("SELECT clock_timestamp()")


def _ask(statement: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        moment: datetime = cursor.fetchone()[0]
    return moment
