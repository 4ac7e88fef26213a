"""Selection of rows, their order, and their documentation."""

from __future__ import annotations

import re
from pathlib import Path

from tests.chaos.planning import plan_rows
from tests.chaos.rows import ROWS

DOCS = Path(__file__).resolve().parents[3] / "docs" / "reference" / "chaos.md"
TABLE = (
    *("W1", "W2", "W3", "W4", "W6", "W7", "W8", "W9", "W11", "W12", "W13", "W14", "W15"),
    *("W16", "W21", "W22", "W23", "W24", "W25", "W26", "W27"),
    *("R1", "R2", "R3", "R6", "R7", "R11", "R12", "R13", "R14", "R15", "R21", "R22"),
    *("P1", "P2", "P3", "P4", "P5", "P11", "P12", "P13", "P14", "P15", "P16", "P21", "P22"),
    *("P23", "P24", "P25", "P26", "P27"),
    *("M1", "M2", "M3", "M4", "M5", "M6", "M7"),
    *("S1", "S2", "S3", "S4", "S11", "S12"),
    *("C1", "C2", "C3", "C4", "C21"),
    *("F1", "F3"),
    *("J1", "J2", "J3"),
    *("L1", "L2", "L3"),
    *("T1", "T2", "T3", "T4", "T11", "T12"),
    *("A1",),
    *("B1", "B2"),
    *("D1", "D2", "D11", "D12", "D21", "D24"),
)
LONG = {"W4", "R3", "W7", "S4", "F1", "P5", "T3", "T4"}


def test_fault_table_is_complete() -> None:
    assert sorted(ROWS) == sorted(TABLE)


def test_long_rows_have_one_seed_and_others_have_three() -> None:
    plans = plan_rows(ROWS, only=[], seeds=0, first_seed=7)
    assert {plan.row.id for plan in plans if len(plan.seeds) == 1} == LONG
    assert {len(plan.seeds) for plan in plans if plan.row.id not in LONG} == {3}
    assert all(plan.seeds[0] == 7 for plan in plans)


def test_rows_and_seeds_can_be_chosen() -> None:
    (plan,) = plan_rows(ROWS, only=["W4"], seeds=5, first_seed=10)
    assert (plan.row.id, list(plan.seeds)) == ("W4", [10, 11, 12, 13, 14])


def test_rows_that_cannot_run_here_are_left_out() -> None:
    plans = plan_rows(ROWS, only=["W4", "W1"], without={"W1"}, seeds=1, first_seed=1)
    assert [plan.row.id for plan in plans] == ["W4"]


def test_exclusive_rows_come_last_and_longest_rows_first() -> None:
    plans = plan_rows(ROWS, only=[], seeds=0, first_seed=1)
    order = [(plan.row.is_alone, -plan.row.minutes) for plan in plans]
    assert order == sorted(order)
    assert plans[-1].row.is_alone


def test_every_row_describes_its_fault_and_measurement() -> None:
    assert [name for name, row in ROWS.items() if len(row.fault) < 20 or len(row.measured) < 20] == []


def test_documentation_lists_every_row() -> None:
    text = DOCS.read_text(encoding="utf-8")
    table = text[text.index("## The rows") : text.index("## Reading a failure")]
    named: set[str] = set()
    for ids in re.findall(r"^\| ([A-Z]\d[^|]*) \|", table, re.MULTILINE):
        first, _, last = ids.partition("–")
        if last:
            named |= {f"{first[0]}{number}" for number in range(int(first[1:]), int(last[1:]) + 1)}
        else:
            named |= set(ids.split(", "))
    assert named == ROWS.keys()
