"""Statements that run for every job: PostgreSQL keeps them parsed and planned, so that a run is only a run.

More than half of what a short statement costs is to parse it, to put the row security in and to plan it. Django's
own cursors write the values into the text, so that each text is a new one; here they travel beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from django.db import transaction
from django.db.backends.utils import CursorWrapper
from psycopg.abc import DumperKey, Loader
from psycopg.adapt import PyFormat
from psycopg.pq import Format, TransactionStatus
from psycopg.types.array import BaseListDumper, ListBinaryDumper, ListDumper
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from tenants.postgresql.base import DatabaseWrapper
from tenants.postgresql.pipelines import at_once

# A plan is as good as the sizes of the tables were when it was made; to make all anew costs as much as a tick.
PLAN_SECONDS = 60.0
# The jobs of a full message. Longer lists are work beside which planning is little, and their length is what a good
# plan depends on.
MOST_VALUES = 1_000
# More than there are such statements; what is beyond is prepared anew.
_MOST_STATEMENTS = 300

# What such statements have the longest lists of.
_PLAIN = {UUID, int, type(None)}

# Entered around each statement, with its text without values.
type Watch = Callable[[str], AbstractContextManager[object]]
_watch: Watch | None = None


def watch_statements(watch: Watch | None) -> None:
    """Tell ``watch`` of statements, which whoever watches the driver's own cursors does not see; None: nobody."""
    global _watch  # noqa: PLW0603 - of this process
    _watch = watch


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


class _Kept:
    """What a connection keeps: a cursor for each statement, which knows the types of its values and columns by now."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw
        self._planned_at = time.monotonic()
        # By their texts, those first that were used longest ago; one in use is not among them.
        self._idle: dict[str, psycopg.Cursor[Any]] = {}

    def take(self, query: str) -> psycopg.Cursor[Any]:
        """The cursor of a statement; another where it is in use, as for a statement within its own rows."""
        return self._idle.pop(query, None) or self._new_cursor()

    def put_back(self, query: str, cursor: psycopg.Cursor[Any]) -> None:
        """Keep the cursor, and nothing of what it read."""
        cursor._reset()  # noqa: SLF001 - as the driver does before each statement
        cursor._tx.set_pgresult(None)  # noqa: SLF001 - likewise
        self._idle[query] = cursor
        if len(self._idle) > _MOST_STATEMENTS:
            del self._idle[next(iter(self._idle))]

    def renew_plans(self) -> None:
        """Have plans made anew by the sizes of now, so often that none outlives them for long."""
        now = time.monotonic()
        if now - self._planned_at >= PLAN_SECONDS and self.raw.info.transaction_status != TransactionStatus.INERROR:
            self._planned_at = now
            self.raw.execute("DISCARD PLANS")

    def _new_cursor(self) -> psycopg.Cursor[Any]:
        cursor = psycopg.Cursor(self.raw)
        # The later one goes before where both would do.
        for dumper in (Int8BinaryDumper, Int8Dumper):
            cursor.adapters.register_dumper(int, dumper)
        cursor.adapters.register_dumper(list, _ListDumper)
        cursor.adapters.register_loader("timestamptz", _moment_loader())
        return cursor


@cache
def _moment_loader() -> type[Loader]:
    """The driver's own, which is compiled; Django puts one in Python before it. Both say UTC."""
    loader = psycopg.adapters.get_loader(psycopg.adapters.types["timestamptz"].oid, Format.TEXT)
    assert loader is not None  # of a type that PostgreSQL has
    return loader


# Not by the driver's connections: their cursors know them, so that none would ever go.
_kept: WeakKeyDictionary[DatabaseWrapper, _Kept] = WeakKeyDictionary()


def set_config(settings: Mapping[str, str]) -> tuple[str, list[str]]:
    """The statement that makes these settings hold until the transaction ends, and its values.

    As a function `SET LOCAL` takes values, and all of them go in one round trip, the role too.
    """
    text = "SELECT " + ", ".join(["set_config(%s, %s, true)"] * len(settings))
    return text, [part for name_and_value in settings.items() for part in name_and_value]


class _Statements:
    """Stands where Django's cursor has the driver's: runs each statement on the cursor that is kept for it."""

    def __init__(self, wrapper: DatabaseWrapper, raw: psycopg.Connection[Any]) -> None:
        kept = _kept.get(wrapper)
        if kept is None or kept.raw is not raw:
            kept = _kept[wrapper] = _Kept(raw)
        self.kept = kept
        self._wrapper = wrapper
        self._text = ""
        self._cursor: psycopg.Cursor[Any] | None = None

    def execute(self, query: str, params: Any = None) -> None:
        """Run a statement, and begin the transaction that was announced for it, in one round trip."""
        self.run(query, params, self._wrapper.take_announced())

    def run(self, query: str, params: Any, settings: Mapping[str, str] | None, *, commits: bool = False) -> None:
        """Run a statement; after the transaction's beginning with these settings, and with its end if told so."""
        with nullcontext() if _watch is None else _watch(query):
            self.close()
            cursor = self.kept.take(query)
            if settings is None and not commits:
                self._run(cursor, query, params)
            else:
                self._run_at_once(cursor, query, params, settings, commits=commits)
            # One that failed is not kept.
            self._text, self._cursor = query, cursor

    def _run_at_once(
        self,
        cursor: psycopg.Cursor[Any],
        query: str,
        params: Any,
        settings: Mapping[str, str] | None,
        *,
        commits: bool,
    ) -> None:
        text, values = set_config(settings) if settings else ("", [])
        beginning = self.kept.take(text) if text else None
        is_idle = self.kept.raw.info.transaction_status == TransactionStatus.IDLE
        with at_once(self.kept.raw, begins=is_idle, commits=commits):
            if beginning is not None:
                self._run(beginning, text, values)
            self._run(cursor, query, params)
        if beginning is not None:
            self.kept.put_back(text, beginning)

    def _run(self, cursor: psycopg.Cursor[Any], query: str, params: Any) -> None:
        """Keep what runs for a few jobs, and have what runs for many planned for them."""
        values = params.values() if isinstance(params, Mapping) else params or ()
        if any(isinstance(value, list) and len(value) > MOST_VALUES for value in values):
            # With its values in the text it is planned for them, also where plans for any values are asked for.
            text = psycopg.ClientCursor(self.kept.raw).mogrify(query, params)
            cursor.execute(text, prepare=False)
            # Not to be kept with the cursor.
            cursor._last_query = None  # noqa: SLF001 - as of one that is new
        else:
            cursor.execute(query, params)

    def close(self) -> None:
        """Give the cursor back."""
        if self._cursor is not None:
            self.kept.put_back(self._text, self._cursor)
            self._cursor = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def __iter__(self) -> Iterator[Any]:
        assert self._cursor is not None
        return iter(self._cursor)


@contextmanager
def prepared_cursor() -> Iterator[CursorWrapper]:
    """A cursor of the connection whose statements are prepared at their first run and kept.

    Whole numbers are sent as ``bigint``, or each size of number would make another statement. A pooler in transaction
    mode gives each transaction another session, so behind one nothing is kept.
    """
    wrapper = transaction.get_connection()
    assert isinstance(wrapper, DatabaseWrapper)
    with wrapper.cursor_of(partial(_Statements, wrapper)) as cursor:
        if wrapper.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
            yield cursor
            return
        kept: _Kept = cursor.cursor.kept
        # What is said on the driver's own connection is an error of Django's all the same.
        with wrapper.wrap_database_errors:
            kept.renew_plans()
        # For these cursors alone: the texts of others, which never come twice, would be kept too.
        before, kept.raw.prepare_threshold = kept.raw.prepare_threshold, 0
        kept.raw.prepared_max = _MOST_STATEMENTS
        try:
            yield cursor
        finally:
            kept.raw.prepare_threshold = before


def run_behind(query: str, params: Mapping[str, Any]) -> None:
    """Run a statement that reads nothing with the transaction's COMMIT, or before whatever is asked until then.

    That saves a way to the server and back. Its errors are raised there, too.
    """
    wrapper = transaction.get_connection()
    assert isinstance(wrapper, DatabaseWrapper)
    if not wrapper.in_atomic_block or wrapper.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]:
        with prepared_cursor() as cursor:
            cursor.execute(query, params)
        return
    wrapper.validate_no_broken_transaction()
    settings = wrapper.take_announced()

    def run(*, commits: bool) -> None:
        with prepared_cursor() as cursor:
            cursor.cursor.run(query, params, settings, commits=commits)

    wrapper.behind = run
