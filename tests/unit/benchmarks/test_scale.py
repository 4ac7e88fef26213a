"""What the benchmark of all sizes says of its rows: whether costs are flat, and whether hot tables grow."""

from __future__ import annotations

import pytest

from benchmarks.hot_tables import Size
from benchmarks.processor_time import GROUPS
from benchmarks.scale import CHILDREN, HISTORY, LOOKS, TENANTS, Cost, Look, find_growth, find_uneven

MIB = 2**20


def costs(axis: str, *totals: float) -> list[Cost]:
    return [
        Cost(axis, 10**number, dict.fromkeys(GROUPS, total / len(GROUPS)), rate=1e6 / total)
        for number, total in enumerate(totals)
    ]


def looks(*mibs: float) -> list[Look]:
    return [Look(number, {"wake": Size(0, round(mib * MIB), 0, 0)}) for number, mib in enumerate(mibs)]


def test_rows_within_the_ratio_are_flat() -> None:
    assert find_uneven([*costs(HISTORY, 300, 449), *costs(TENANTS, 600, 500), *costs(CHILDREN, 100)]) == []


def test_rows_are_held_against_those_of_their_own_group() -> None:
    found = find_uneven([*costs(HISTORY, 300, 480), *costs(TENANTS, 900, 900)])
    assert found == [
        "processor time by jobs that have ended: 1.60×",
        "jobs/s by jobs that have ended: 1.60×",
    ]


@pytest.mark.parametrize(
    ("mibs", "grows"),
    [
        ([10.0] * LOOKS, False),
        ([1.0, 40.0, *[40.0] * (LOOKS - 2)], False),
        ([10.0 * (number + 1) for number in range(LOOKS)], True),
        ([0.1 * (number + 1) for number in range(LOOKS)], False),
    ],
    ids=["steady", "filled once", "for ever", "too small to tell"],
)
def test_a_table_grows_that_is_larger_in_the_second_half(mibs: list[float], grows: bool) -> None:
    assert bool(find_growth(looks(*mibs))) is grows
