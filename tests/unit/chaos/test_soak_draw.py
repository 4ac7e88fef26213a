"""Draw of faults for a soak test."""

from __future__ import annotations

import random

from tests.chaos.row import Field, Row
from tests.chaos.rows import ROWS
from tests.chaos.soak.drawing import Draw, is_at_home, shared_rows
from tests.chaos.stack import Shape, Stack


class Plain(Row):
    id, fault, bound_seconds, measured = "X1", "nothing", 1.0, "nothing"

    def inject(self, field: Field) -> list[float]:
        return []


class Proxied(Plain):
    id = "X2"

    def prepare(self, stack: Stack) -> None:
        stack.environment["web"]["X"] = "1"


class Larger(Plain):
    id, shape = "X3", Shape(workers=3)


class Alone(Plain):
    id, is_alone = "X4", True


class Unwatched(Plain):
    id, is_watched = "X5", False


class Unfit(Plain):
    id = "X6"

    @classmethod
    def unfit(cls) -> str:
        return "not here"


def test_shared_rows_exclude_rows_that_must_run_alone() -> None:
    rows = {row.id: row for row in (Plain, Proxied, Larger, Alone, Unwatched, Unfit)}
    assert shared_rows(rows).keys() == {"X1", "X2", "X3"}


def test_row_is_at_home_if_it_needs_no_other_processes() -> None:
    assert [is_at_home(row) for row in (Plain, Proxied, Larger)] == [True, False, False]


def test_draw_takes_every_row_once_before_any_row_twice() -> None:
    rows = {name: row for name, row in ROWS.items() if not row.is_alone}
    draw = Draw(rows, random.Random(1))
    for at_home in (True, False):
        wanted = {row for row in rows.values() if is_at_home(row) == at_home}
        for _ in range(2):
            assert {draw.next_row(at_home=at_home) for _ in wanted} == wanted


def test_draw_depends_on_its_seed() -> None:
    orders = [[Draw(ROWS, random.Random(seed)).next_row(at_home=True) for _ in range(1)] for seed in range(20)]
    assert len({order[0] for order in orders}) > 3
