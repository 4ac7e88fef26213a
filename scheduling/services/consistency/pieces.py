"""Walking through tables: a piece of rows in the order of a key, and through tenants: a page of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.services.consistency.registry import Cursor, Fault, Look, Piece
from tenants.context import all_tenants
from tenants.selectors.tenant_pages import BEFORE_ALL, BEHIND_ALL, TenantPage, read_page

# Few enough that a piece is a fraction of a second, many enough that pieces of a million rows are few.
PIECE_ROWS = 5_000
_FIRST, _LAST = -(2**63), 2**63 - 1
# The rows of a piece are looked up elsewhere one by one: another plan would read the whole of a table for each piece.
_PLANNING = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off
"""
# A tenant that is being erased loses one table after the other.
_OF_NONE_ERASED = "tenant_id NOT IN (SELECT subject_id FROM tenants_tenanterasure WHERE status = 'running')"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the key by which it is walked through, all its columns ids or numbers."""

    name: str
    key: tuple[str, ...] = ("id",)

    def look(
        self, statement: str, piece: Piece, *, parameters: Mapping[str, Any] | None = None, rows: int = PIECE_ROWS
    ) -> Look:
        """The faults that ``statement`` tells of a piece: it answers (code, tenant, subject) of rows of ``<piece>``."""
        values = {**(parameters or {}), **self._values("after", piece.after)}
        with all_tenants(), connection.cursor() as cursor:
            if piece.until is None:
                piece = replace(piece, until=self._find_end(piece, rows))
            cursor.execute(_PLANNING)
            values |= {**self._values("until", piece.until), "tenant_id": piece.tenant_id}
            cursor.execute(statement.replace("<piece>", self._condition(piece)), values)
            faults = [Fault(*row) for row in cursor.fetchall()]
        return Look(piece, faults, piece.until or None)

    def rows_of(self, piece: Piece) -> tuple[str, dict[str, Any]]:
        """The condition of a piece that has an end, and its values: by these a repair finds its rows again."""
        values = {**self._values("after", piece.after), **self._values("until", piece.until)}
        return self._condition(piece), {**values, "tenant_id": piece.tenant_id}

    def _find_end(self, piece: Piece, rows: int) -> Cursor:
        """The key of the last row of a full piece; none where the rest of the table is less."""
        key = ", ".join(self.key)
        statement = f"SELECT {key} FROM {self.name} WHERE {self._behind('after', '>')}{self._of_tenant(piece)}"  # noqa: S608 - names
        values = {**self._values("after", piece.after), "tenant_id": piece.tenant_id, "before_last": rows - 1}
        with connection.cursor() as cursor:
            cursor.execute(f"{statement} ORDER BY {key} OFFSET %(before_last)s LIMIT 1", values)
            row = cursor.fetchone()
        return {} if row is None else {name: str(value) for name, value in zip(self.key, row, strict=True)}

    def _condition(self, piece: Piece) -> str:
        bounds = f"{self._behind('after', '>')} AND {self._behind('until', '<=')}"
        return f"{bounds}{self._of_tenant(piece)} AND {_OF_NONE_ERASED}"

    def _behind(self, name: str, operator: str) -> str:
        marks = ", ".join(f"%({name}_{column})s::{_type_of(column)}" for column in self.key)
        return f"({', '.join(self.key)}) {operator} ({marks})"

    def _of_tenant(self, piece: Piece) -> str:
        return "" if piece.tenant_id is None else " AND tenant_id = %(tenant_id)s"

    def _values(self, name: str, cursor: Cursor | None) -> dict[str, str]:
        """The bounds; an end that is empty lies behind all rows, a beginning that is empty before them."""
        ends = {"uuid": (str(BEFORE_ALL), str(BEHIND_ALL)), "bigint": (str(_FIRST), str(_LAST))}
        is_end = name == "until"
        return {f"{name}_{column}": (cursor or {}).get(column, ends[_type_of(column)][is_end]) for column in self.key}


def look_at_page(piece: Piece, find: Callable[[TenantPage], Iterable[Fault]]) -> Look:
    """The faults that ``find`` tells of the page of tenants that the piece is."""
    page = _page_of(piece)
    faults = list(find(page))
    until = {"tenant": str(page.until)}
    is_last = page.is_last or piece.tenant_id is not None
    return Look(replace(piece, until=until), faults, None if is_last else until)


def page_of_one(tenant_id: UUID) -> TenantPage:
    """The page that holds one tenant alone."""
    return TenantPage(UUID(int=tenant_id.int - 1), tenant_id, 1)


def _page_of(piece: Piece) -> TenantPage:
    if piece.tenant_id is not None:
        return page_of_one(piece.tenant_id)
    after = UUID(str(piece.after.get("tenant", BEFORE_ALL)))
    if piece.until is not None:
        return TenantPage(after, UUID(str(piece.until["tenant"])), 0)
    return read_page(after=after)


def _type_of(column: str) -> str:
    return "bigint" if column in ("entity_id", "rank") else "uuid"


def group[K](faults: Sequence[Fault], key: Callable[[Fault], K]) -> dict[K, list[Fault]]:
    """The faults by what they have in common, in the order in which they were found."""
    groups: dict[K, list[Fault]] = {}
    for fault in faults:
        groups.setdefault(key(fault), []).append(fault)
    return groups
