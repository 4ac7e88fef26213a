"""The benchmark over many ended jobs: when its rows count as flat."""

from __future__ import annotations

from benchmarks.harness.processor import GROUPS
from benchmarks.scale import Cost, find_uneven


def costs(*totals: float) -> list[Cost]:
    return [
        Cost(10**number, dict.fromkeys(GROUPS, total / len(GROUPS)), rate=1e6 / total)
        for number, total in enumerate(totals)
    ]


def test_costs_within_the_ratio_are_flat() -> None:
    assert find_uneven(costs(300, 449)) == []


def test_costs_beyond_the_ratio_are_named() -> None:
    assert find_uneven(costs(300, 320, 480)) == ["processor time: 1.60×", "jobs/s: 1.60×"]
