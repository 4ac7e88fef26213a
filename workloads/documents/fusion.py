"""Reciprocal rank fusion: it merges rankings by the ranks of the items, because their scores are not comparable."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

# Cormack, Clarke, Büttcher (2009): flat enough that two good ranks beat one first rank.
RANK_CONSTANT = 60


def fuse_rankings[Item: Hashable](
    rankings: Sequence[Sequence[Item]], *, limit: int, constant: int = RANK_CONSTANT
) -> list[tuple[Item, float]]:
    """Return the best ``limit`` items, with their scores, best first.

    The score is the sum of 1 / (constant + rank) over the rankings; ranks count from 1. Items with equal scores keep
    the order in which the rankings first list them.
    """
    scores: dict[Item, float] = {}
    for ranking in rankings:
        for place, item in enumerate(dict.fromkeys(ranking), start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (constant + place)
    return sorted(scores.items(), key=lambda scored: -scored[1])[:limit]
