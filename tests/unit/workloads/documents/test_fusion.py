from __future__ import annotations

import pytest

from workloads.documents.fusion import fuse_rankings


@pytest.mark.parametrize(
    ("rankings", "order"),
    [
        ([["a", "b"], ["b", "a"]], ["a", "b"]),  # equal sums: as first named
        ([["a", "b", "c"], ["c", "b"]], ["c", "b", "a"]),  # two good places beat one first place
        ([["a"], ["b"]], ["a", "b"]),
        ([["a", "a", "b"], ["b"]], ["b", "a"]),  # a repeated item has its best place only
        ([["a"], []], ["a"]),  # a ranking that found nothing says nothing
        ([], []),
    ],
)
def test_rankings_fuse_into_this_order(rankings: list[list[str]], order: list[str]) -> None:
    assert [item for item, _ in fuse_rankings(rankings, limit=10)] == order


def test_the_score_is_the_sum_of_reciprocal_places() -> None:
    assert fuse_rankings([["a"], ["b", "a"]], limit=1) == [("a", 1 / 61 + 1 / 62)]


def test_no_more_than_the_limit_comes_back() -> None:
    assert len(fuse_rankings([list(range(100))], limit=7)) == 7
