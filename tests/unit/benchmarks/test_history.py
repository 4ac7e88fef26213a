"""Capacity benchmark over many ended jobs: when its rows count as equal."""

from __future__ import annotations

import pytest

from benchmarks.capacity.costs import Cost, compare
from benchmarks.harness.processes import GROUPS


def cost(total: float) -> Cost:
    return Cost(10_000, dict.fromkeys(GROUPS, total / len(GROUPS)), rate=1e6 / total)


@pytest.mark.parametrize(("totals", "is_met"), [((300, 449), True), ((300, 320, 480), False), ((480, 300), False)])
def test_costs_within_the_ratio_count_as_equal(totals: tuple[float, ...], is_met: bool) -> None:
    assert compare([cost(total) for total in totals]).is_met is is_met


def test_row_of_a_cost_lists_its_groups() -> None:
    finding = cost(400).finding
    assert finding.measured == "400 µs at 2,500 jobs/s"
    assert finding.beside == "PostgreSQL 100, broker 100, dispatcher 100, worker 100 µs"
    assert finding.verdict == "shown"
