"""Fusion of rankings by reciprocal ranks."""

from __future__ import annotations

import pytest

from workloads.documents.fusion import fuse_rankings


@pytest.mark.parametrize(
    ("rankings", "order"),
    [
        ([["a", "b"], ["b", "a"]], ["a", "b"]),  # equal sums: in the given order
        ([["a", "b", "c"], ["c", "b"]], ["c", "b", "a"]),  # two high ranks precede one first rank
        ([["a"], ["b"]], ["a", "b"]),
        ([["a", "a", "b"], ["b"]], ["b", "a"]),  # a repeated item has its best rank only
        ([["a"], []], ["a"]),  # an empty ranking has no effect
        ([], []),
    ],
)
def test_rankings_are_fused_in_the_expected_order(rankings: list[list[str]], order: list[str]) -> None:
    assert [item for item, _ in fuse_rankings(rankings, limit=10)] == order


def test_score_is_the_sum_of_reciprocal_ranks() -> None:
    assert fuse_rankings([["a"], ["b", "a"]], limit=1) == [("a", 1 / 61 + 1 / 62)]


def test_result_is_limited() -> None:
    assert len(fuse_rankings([list(range(100))], limit=7)) == 7
