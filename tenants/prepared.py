"""Statements that run for every job: PostgreSQL keeps them parsed and planned, so that a run is only a run.

More than half of what a short statement costs is to parse it, to put the row security in and to plan it. Django's
own cursors write the values into the text, so that each text is a new one; here they travel beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper
from psycopg.abc import DumperKey
from psycopg.adapt import PyFormat
from psycopg.pq import TransactionStatus
from psycopg.types.array import BaseListDumper, ListBinaryDumper, ListDumper
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

# A plan is as good as the sizes of the tables were when it was made; to make all anew costs as much as a tick.
PLAN_SECONDS = 60.0
# The jobs of a full message. Longer lists are work beside which planning is little, and their length is what a good
# plan depends on.
MOST_VALUES = 1_000
# More than there are such statements; what is beyond is prepared anew.
_MOST_STATEMENTS = 300

# What such statements have the longest lists of.
_PLAIN = {UUID, int, type(None)}

_planned_at: WeakKeyDictionary[psycopg.Connection[Any], float] = WeakKeyDictionary()


# Entered around each statement, with its text without values.
type Watch = Callable[[str], AbstractContextManager[object]]
_watch: Watch | None = None


def watch_statements(watch: Watch | None) -> None:
    """Tell ``watch`` of statements, which whoever watches the driver's own cursors does not see; None: nobody."""
    global _watch  # noqa: PLW0603 - of this process
    _watch = watch


class _Cursor(psycopg.Cursor[Any]):
    """Keeps what runs for a few jobs, and has what runs for many planned for them."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Run a statement."""
        if _watch is None:
            return self._run(query, params, **options)
        with _watch(str(query)):
            return self._run(query, params, **options)

    def _run(self, query: Any, params: Any, **options: Any) -> Self:
        values = params.values() if isinstance(params, Mapping) else params or ()
        if any(isinstance(value, list) and len(value) > MOST_VALUES for value in values):
            # With its values in the text it is planned for them, also where plans for any values are asked for.
            text = psycopg.ClientCursor(self.connection).mogrify(query, params)
            return super().execute(text, prepare=False, **options)
        return super().execute(query, params, **options)


class _ListDumper(ListBinaryDumper):
    """Lists of ids and of whole numbers travel as PostgreSQL keeps them, a tenth of the work; all others as text."""

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:  # noqa: A002 - the driver's name
        """One for each type of list and way."""
        if _PLAIN.issuperset(map(type, obj)):
            return super().get_key(obj, format)
        return (ListDumper, ListDumper(self.cls, self._tx).get_key(obj, format))

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:  # noqa: A002 - the driver's name
        """The dumper for lists of this key."""
        if _PLAIN.issuperset(map(type, obj)):
            return super().upgrade(obj, format)
        return ListDumper(self.cls, self._tx).upgrade(obj, format)


@contextmanager
def prepared_cursor() -> Iterator[CursorWrapper]:
    """A cursor of the connection whose statements are prepared at their first run and kept.

    Whole numbers are sent as ``bigint``, or each size of number would make another statement. A pooler in transaction
    mode gives each transaction another session, so behind one nothing is kept.
    """
    with connection.cursor() as cursor:
        raw = connection.connection
        cursor.cursor.close()
        cursor.cursor = _Cursor(raw)
        adapters = cursor.cursor.adapters
        # The later one goes before where both would do.
        for dumper in (Int8BinaryDumper, Int8Dumper):
            adapters.register_dumper(int, dumper)
        adapters.register_dumper(list, _ListDumper)
        if connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
            yield cursor
            return
        # What is said on the driver's own connection is an error of Django's all the same.
        with connection.wrap_database_errors:
            _renew_plans(raw)
        # For this cursor alone: the texts of others, which never come twice, would be kept too.
        raw.prepare_threshold, raw.prepared_max = 0, _MOST_STATEMENTS
        try:
            yield cursor
        finally:
            raw.prepare_threshold = None


def _renew_plans(raw: psycopg.Connection[Any]) -> None:
    """Have plans made anew by the sizes of now, so often that none outlives them for long."""
    now = time.monotonic()
    is_old = now - _planned_at.setdefault(raw, now) >= PLAN_SECONDS
    if is_old and raw.info.transaction_status != TransactionStatus.INERROR:
        _planned_at[raw] = now
        raw.execute("DISCARD PLANS")
