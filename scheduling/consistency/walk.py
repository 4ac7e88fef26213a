"""Iteration over tables by key and over tenants by page; each range is checked in one short transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import OperationalError
from django.db.models import QuerySet
from psycopg.errors import QueryCanceled
from psycopg.rows import class_row

from scheduling.consistency.registry import (
    NOT_PROVED,
    CheckPage,
    CheckRange,
    ConsistencyFault,
    Cursor,
    FaultKind,
    StateCheck,
)
from tenants.context import all_tenants
from tenants.database.prepared import execute, fetch_all, fetch_one
from tenants.limits.recounts import StoredCounter
from tenants.tenancy.bases import TenantModel
from tenants.tenancy.queries import BEFORE_ALL, BEHIND_ALL, TenantPage, read_page
from tenants.translation import LocalizableText

# Few enough for a piece of a fraction of a second, many enough for few pieces in a million rows.
PIECE_ROWS = 5_000
_FIRST, _LAST = -(2**63), 2**63 - 1
# The rows of a piece are looked up one by one: any other plan would scan a whole table for each piece.
_PLANNING = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Table to check in the order of a key, whose columns are all ids or numbers."""

    name: str
    key: tuple[str, ...] = ("id",)

    def look(
        self, statement: str, piece: CheckRange, *, parameters: Mapping[str, Any] | None = None, rows: int = PIECE_ROWS
    ) -> CheckPage:
        """Return the faults that ``statement`` finds in a range of rows.

        The statement must include this table's SQL fragment for the range.
        """
        with all_tenants():
            if piece.until is None:
                piece = replace(piece, until=self._find_end(piece, rows))
            execute(_PLANNING, is_planned=True)
            values = {**(parameters or {}), **self.values_of(piece)}
            faults = fetch_all(statement, values, class_row(ConsistencyFault), is_planned=True)
        return CheckPage(piece, faults, piece.until or None)

    def values_of(self, piece: CheckRange) -> dict[str, Any]:
        """Return the SQL parameters of a range that has an end."""
        bounds = {**self._values("after", piece.after), **self._values("until", piece.until)}
        return {**bounds, "tenant_id": piece.tenant_id}

    def _find_end(self, piece: CheckRange, rows: int) -> Cursor:
        """Return the key of the last row of a range of ``rows`` rows, or an empty key if fewer rows are left."""
        key = ", ".join(self.key)
        marks = ", ".join(f"%(after_{column})s::{_type_of(column)}" for column in self.key)
        of_tenant = "" if piece.tenant_id is None else " AND tenant_id = %(tenant_id)s"
        statement = f"SELECT {key} FROM {self.name} WHERE ({key}) > ({marks}){of_tenant}"  # noqa: S608 - names
        values = {**self._values("after", piece.after), "tenant_id": piece.tenant_id, "before_last": rows - 1}
        row = fetch_one(f"{statement} ORDER BY {key} OFFSET %(before_last)s LIMIT 1", values, is_planned=True)
        return {} if row is None else {name: str(value) for name, value in zip(self.key, row, strict=True)}

    def _values(self, name: str, cursor: Cursor | None) -> dict[str, str]:
        """Return the SQL parameters of one bound.

        An empty key stands for before all rows, or for after all as ``until``.
        """
        ends = {"uuid": (str(BEFORE_ALL), str(BEHIND_ALL)), "bigint": (str(_FIRST), str(_LAST))}
        is_end = name == "until"
        return {f"{name}_{column}": (cursor or {}).get(column, ends[_type_of(column)][is_end]) for column in self.key}


def check_page(piece: CheckRange, find: Callable[[TenantPage], Iterable[ConsistencyFault]]) -> CheckPage:
    """Return the faults that ``find`` returns for a page of tenants.

    If its statement times out, the page has the single fault ``not_proved``, and the check continues with the next
    page.
    """
    page = _page_of(piece)
    try:
        faults = list(find(page))
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        faults = [_not_proved(page)]
    until = {"tenant": str(page.until)}
    is_last = page.is_last or piece.tenant_id is not None
    return CheckPage(replace(piece, until=until), faults, None if is_last else until, {"tenants": page.tenants})


def check_stored_counter(piece: CheckRange, counter: StoredCounter, kind: FaultKind, detail: str) -> CheckPage:
    """Compare a counter of each tenant with a recount; ``detail`` is the text of a difference, with placeholders."""

    def find(page: TenantPage) -> Iterable[ConsistencyFault]:
        for row in counter.verify_page(page):
            yield ConsistencyFault(kind.code, row.tenant_id, row.key, LocalizableText(detail, row.values()))

    return check_page(piece, find)


def read_rows[Row: TenantModel](rows: QuerySet[Row], piece: CheckRange, most: int) -> tuple[list[Row], CheckPage]:
    """Return the rows of a piece in the order of their ids, and its page of the check, without faults."""
    rows = rows.order_by("pk")
    if piece.tenant_id is not None:
        rows = rows.filter(tenant_id=piece.tenant_id)
    if after := piece.after.get("id"):
        rows = rows.filter(pk__gt=after)
    if until := (piece.until or {}).get("id"):
        rows = rows.filter(pk__lte=until)
    found = list(rows[:most])
    end = {"id": str(found[-1].pk)} if len(found) == most else {}
    return found, CheckPage(replace(piece, until=end), (), end or None)


def page_of_one(tenant_id: UUID) -> TenantPage:
    """Return a page that contains only this tenant."""
    return TenantPage(UUID(int=tenant_id.int - 1), tenant_id, 1)


def iterate_pages(
    check: StateCheck, *, tenant_id: UUID | None = None, options: Mapping[str, Any] | None = None
) -> Iterator[CheckPage]:
    """Yield the result of a check for every range, with confirmed faults only."""
    piece = CheckRange(tenant_id=tenant_id, options=options or {})
    look = check_twice(check, piece)
    yield look
    while look.next is not None:
        look = check_twice(check, replace(piece, after=look.next))
        yield look


def check_twice(check: StateCheck, piece: CheckRange) -> CheckPage:
    """Check a range, and check it again if it has faults; return only faults found twice, and timeouts."""
    look = check.look(piece)
    if all(fault.code == NOT_PROVED.code for fault in look.faults):
        return look
    again = {fault.key for fault in check.look(look.piece).faults}
    confirmed = [fault for fault in look.faults if fault.key in again or fault.code == NOT_PROVED.code]
    return replace(look, faults=confirmed)


def _page_of(piece: CheckRange) -> TenantPage:
    if piece.tenant_id is not None:
        return page_of_one(piece.tenant_id)
    after = UUID(str(piece.after.get("tenant", BEFORE_ALL)))
    if piece.until is not None:
        return TenantPage(after, UUID(str(piece.until["tenant"])), 0)
    return read_page(after=after)


def _not_proved(page: TenantPage) -> ConsistencyFault:
    span = {"after": page.after, "until": page.until}
    detail = LocalizableText("The tenants after %(after)s up to %(until)s were not compared: it took too long.", span)
    return ConsistencyFault(NOT_PROVED.code, None, f"{page.after}..{page.until}", detail)


def _type_of(column: str) -> str:
    return "bigint" if column in ("entity_id", "rank") else "uuid"
