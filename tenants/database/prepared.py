"""Cursors for statements that run for every job: PostgreSQL keeps these statements parsed and planned.

Parsing, adding row-level security and planning are more than half of the cost of a short statement. Django's own
cursors put the values into the text, so that each text is new; these cursors send the values as parameters.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, Self, override
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg.abc import AdaptContext, DumperKey, Loader
from psycopg.adapt import AdaptersMap, PyFormat
from psycopg.pq import Format, TransactionStatus
from psycopg.rows import RowFactory, namedtuple_row, tuple_row
from psycopg.types.array import BaseListDumper, ListBinaryDumper, ListDumper
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

# A plan is as good as the table sizes it was made for; renewing all plans costs as much as a tick.
PLAN_SECONDS = 60.0
# The jobs of a full message. With longer lists planning is a small part of the work, and a good plan depends on their
# length.
MOST_VALUES = 1_000
# More than there are such statements; statements beyond it are prepared again.
_MOST_STATEMENTS = 300

_PLACEHOLDER = re.compile(r"%(?:[%s]|\((\w+)\)s)")

# The item types of the longest lists.
_PLAIN = {UUID, int, type(None)}

# Entered around each statement, with its text without values.
type Watch = Callable[[str], AbstractContextManager[object]]
_watch: Watch | None = None


def watch_statements(watch: Watch | None) -> None:
    """Enter ``watch(text)`` around each statement of a prepared cursor from now on; None stops that.

    It is for tracing, because instrumentation of the driver does not see these statements.
    """
    global _watch  # noqa: PLW0603 - of this process
    _watch = watch


class _ListDumper(ListBinaryDumper):
    """A dumper of lists of ids and integers in binary form, a tenth of the work, and of other lists as text."""

    def __init__(self, cls: type, context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self._context = context

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:  # noqa: A002 - the driver's name
        """Return a key for each item type and format."""
        if _PLAIN.issuperset(map(type, obj)):
            return super().get_key(obj, format)
        return (ListDumper, ListDumper(self.cls, self._context).get_key(obj, format))

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:  # noqa: A002 - the driver's name
        """Return the dumper for lists of this key."""
        if _PLAIN.issuperset(map(type, obj)):
            return super().upgrade(obj, format)
        return ListDumper(self.cls, self._context).upgrade(obj, format)


@dataclass(slots=True)
class _Kept:
    """The adapters and the age of the plans of a driver connection."""

    adapters: AdaptersMap
    planned_at: float


_kept: WeakKeyDictionary[psycopg.Connection[Any], _Kept] = WeakKeyDictionary()


def _kept_of(raw: psycopg.Connection[Any]) -> _Kept:
    kept = _kept.get(raw)
    if kept is None:
        raw.prepared_max = _MOST_STATEMENTS
        kept = _kept[raw] = _Kept(_make_adapters(raw), time.monotonic())
    return kept


def _make_adapters(raw: psycopg.Connection[Any]) -> AdaptersMap:
    adapters = AdaptersMap(raw.adapters)
    # Where both fit, the later one takes precedence.
    for dumper in (Int8BinaryDumper, Int8Dumper):
        adapters.register_dumper(int, dumper)
    adapters.register_dumper(list, _ListDumper)
    adapters.register_loader("timestamptz", _moment_loader())
    return adapters


@cache
def _moment_loader() -> type[Loader]:
    """Return the driver's own loader, which is compiled; Django replaces it by one in Python. Both return UTC."""
    loader = psycopg.adapters.get_loader(psycopg.adapters.types["timestamptz"].oid, Format.TEXT)
    assert loader is not None  # of a type that PostgreSQL has
    return loader


def set_config(settings: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a statement, and its parameters, that sets PostgreSQL settings until the transaction ends.

    Unlike `SET LOCAL` the function `set_config` takes parameters and sets all of them, even the role, in one round
    trip.
    """
    text = "SELECT " + ", ".join(["set_config(%s, %s, true)"] * len(settings))
    return text, [part for name_and_value in settings.items() for part in name_and_value]


@cache
def _numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a statement with PostgreSQL's own placeholders, and the names of its parameters in their order.

    The driver would parse a long text at each run. The statements are those of the code, so all of them are kept.
    """
    positions: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        return f"${positions.setdefault(match[1] or f'%{len(positions)}', len(positions) + 1)}"

    numbered = _PLACEHOLDER.sub(number, text)
    return numbered, tuple(positions)


class PreparedCursor(psycopg.RawCursor[Any]):
    """A psycopg cursor that prepares each statement at its first run; behind a connection pooler it prepares none.

    Statements have the driver's usual placeholders.
    """

    def __init__(
        self,
        raw: psycopg.Connection[Any],
        adapters: AdaptersMap,
        *,
        is_pooled: bool,
        row_factory: RowFactory[Any] = tuple_row,
    ) -> None:
        super().__init__(raw, row_factory=row_factory)
        self._shared_adapters = adapters
        self._is_pooled = is_pooled

    @property
    @override
    def adapters(self) -> AdaptersMap:
        """Return the adapters that all such cursors of the connection share.

        To fill a map for each cursor would cost more than a short statement.
        """
        return self._shared_adapters

    @override
    def execute(
        self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        """Run a statement and return the cursor.

        The statement is prepared, unless a parameter is a list of more than MOST_VALUES items: then it is planned
        for these values.
        """
        with nullcontext() if _watch is None else _watch(query):
            if _has_long_list(params):
                # With its values in the text it is planned for them, even if plan_cache_mode forces generic plans.
                text = psycopg.ClientCursor(self.connection).mogrify(query, params)
                super().execute(text, prepare=False, binary=binary)
                return self
            if params is not None:
                query, names = _numbered(query)
                params = [params[name] for name in names] if isinstance(params, Mapping) else params
            if self._is_pooled:
                super().execute(query, params, prepare=False, binary=binary)
            else:
                self._execute_prepared(query, params, binary=binary)
        return self

    def _execute_prepared(self, query: Any, params: Any, *, binary: bool | None) -> None:
        # For this statement only: the texts of other cursors, which never repeat, would be counted too.
        raw = self.connection
        before, raw.prepare_threshold = raw.prepare_threshold, 0
        try:
            super().execute(query, params, prepare=True, binary=binary)
        finally:
            raw.prepare_threshold = before


def _has_long_list(params: Any) -> bool:
    values = params.values() if isinstance(params, Mapping) else params or ()
    return any(isinstance(value, list) and len(value) > MOST_VALUES for value in values)


@contextmanager
def prepared_cursor(row_factory: RowFactory[Any] = tuple_row) -> Iterator[CursorWrapper]:
    """Yield a cursor of the default connection whose statements are prepared at their first run and kept.

    ``row_factory`` builds the rows, such as psycopg's ``namedtuple_row`` and ``class_row(…)``. Integers are sent as
    ``bigint``, because each size of integer would be another statement. Behind a pooler in transaction mode nothing is
    kept, because each transaction may run in another session.
    """
    connection = transaction.get_connection()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_thread_sharing()
    raw: psycopg.Connection[Any] = connection.connection
    is_pooled: bool = connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]
    kept = _kept_of(raw)
    if not is_pooled:
        with connection.wrap_database_errors:
            _renew_plans(raw, kept)
    wrap: Any = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    with wrap(PreparedCursor(raw, kept.adapters, is_pooled=is_pooled, row_factory=row_factory)) as cursor:
        yield cursor


@contextmanager
def planned_cursor(
    row_factory: RowFactory[Any] = tuple_row, *, connection: BaseDatabaseWrapper | None = None
) -> Iterator[CursorWrapper]:
    """Yield a Django cursor whose statements PostgreSQL plans each time, for the values given.

    ``row_factory`` builds the rows, as for `prepared_cursor`. Without ``connection`` the default connection is used.
    """
    with (connection or transaction.get_connection()).cursor() as cursor:
        cursor.cursor.row_factory = row_factory
        yield cursor


def fetch_all(
    statement: str, values: Any = None, row_factory: RowFactory[Any] = namedtuple_row, *, is_planned: bool = False
) -> list[Any]:
    """Run one statement and return its rows: prepared, or, with ``is_planned``, planned for its values."""
    with _cursor(row_factory, is_planned=is_planned) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def fetch_one(
    statement: str, values: Any = None, row_factory: RowFactory[Any] = namedtuple_row, *, is_planned: bool = False
) -> Any:
    """Run one statement like `fetch_all` and return its first row; None if there is none."""
    with _cursor(row_factory, is_planned=is_planned) as cursor:
        cursor.execute(statement, values)
        return cursor.fetchone()


def execute(statement: str, values: Any = None, *, is_planned: bool = False) -> int:
    """Run one statement like `fetch_all` and return the number of its rows."""
    with _cursor(tuple_row, is_planned=is_planned) as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def _cursor(row_factory: RowFactory[Any], *, is_planned: bool) -> AbstractContextManager[CursorWrapper]:
    return planned_cursor(row_factory) if is_planned else prepared_cursor(row_factory)


def _renew_plans(raw: psycopg.Connection[Any], kept: _Kept) -> None:
    """Discard plans after PLAN_SECONDS, so that they are made for the current table sizes."""
    now = time.monotonic()
    if now - kept.planned_at >= PLAN_SECONDS and raw.info.transaction_status != TransactionStatus.INERROR:
        kept.planned_at = now
        raw.execute("DISCARD PLANS")
