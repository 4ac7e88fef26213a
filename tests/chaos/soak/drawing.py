"""Selection and order of the faults of a soak test. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from tests.chaos.row import Row


def shared_rows(rows: Mapping[str, type[Row]]) -> dict[str, type[Row]]:
    """Return the rows that can run here beside other rows, other clients and a witness."""
    return {name: row for name, row in rows.items() if _is_shared(row) and not row.unfit()}


def _is_shared(row: type[Row]) -> bool:
    return row.is_shared and row.is_watched and not row.is_alone


def is_at_home(row: type[Row]) -> bool:
    """Return whether a row needs only the standard processes."""
    return row.shape.environment == {} and row.prepare is Row.prepare and _numbers(row) == _numbers(Row)


def _numbers(row: type[Row]) -> tuple[int, int, int]:
    return row.shape.workers, row.shape.slots, row.shape.dispatchers


class Draw:
    """Endless random sequences of the rows with processes of their own, and of the rows without."""

    def __init__(self, rows: Mapping[str, type[Row]], rng: random.Random) -> None:
        self._rng = rng
        self._foreign = self._endless([row for row in rows.values() if not is_at_home(row)])
        self._at_home = self._endless([row for row in rows.values() if is_at_home(row)])

    def next_row(self, *, at_home: bool) -> type[Row]:
        """Draw the next row; ``at_home``: one that replaces no process, so that growth is observed for longer."""
        return next(self._at_home if at_home else self._foreign)

    def _endless(self, rows: list[type[Row]]) -> Iterator[type[Row]]:
        while True:
            yield from self._rng.sample(rows, len(rows))
