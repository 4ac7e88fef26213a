"""Which faults a soak test injects, and in which order. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from tests.chaos.row import Row


def shared_rows(rows: Mapping[str, type[Row]]) -> dict[str, type[Row]]:
    """Return the rows that can be run here and bear other rows, other clients and a witness beside them."""
    return {name: row for name, row in rows.items() if _is_shared(row) and not row.unfit()}


def _is_shared(row: type[Row]) -> bool:
    return row.is_shared and row.is_watched and not row.is_alone


def is_at_home(row: type[Row]) -> bool:
    """Whether a row needs no other processes than those that run anyway."""
    return row.shape.environment == {} and row.prepare is Row.prepare and _numbers(row) == _numbers(Row)


def _numbers(row: type[Row]) -> tuple[int, int, int]:
    return row.shape.workers, row.shape.slots, row.shape.dispatchers


class Draw:
    """All rows in one random order, then all in another: those with processes of their own, or those without."""

    def __init__(self, rows: Mapping[str, type[Row]], rng: random.Random) -> None:
        self._rng = rng
        self._foreign = self._endless([row for row in rows.values() if not is_at_home(row)])
        self._at_home = self._endless([row for row in rows.values() if is_at_home(row)])

    def next_row(self, *, at_home: bool) -> type[Row]:
        """Draw the next row; ``at_home``: for which no process is replaced, so that what grows is seen for longer."""
        return next(self._at_home if at_home else self._foreign)

    def _endless(self, rows: list[type[Row]]) -> Iterator[type[Row]]:
        while True:
            yield from self._rng.sample(rows, len(rows))
