"""Fusion of a ranking by words and one by vectors: the weighted mean of two scores, each about 0 to 1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

# The weight of words is the first number, plus the second times the share of the query's terms that are rare. Both were
# fitted to questions; ADR 0068 has the results.
_LEAST_TEXT_WEIGHT, _WEIGHT_OF_RARE_TERMS = 0.3, 0.3


@dataclass(frozen=True, slots=True)
class Candidates[Item: Hashable]:
    """The items that one query found, with both scores of each.

    ``text`` is the part of the query's terms that an item contains, weighed by their rarity; ``similarity`` is the
    cosine of the item's vector and the query's. ``rare_share`` is the share of the terms that are rare in the dataset.
    """

    text: Mapping[Item, float]
    similarity: Mapping[Item, float]
    rare_share: float = 0.0

    @property
    def automatic_weight(self) -> float:
        """Return the weight of words that suits the query: words over vectors only if most of its terms are rare."""
        return _LEAST_TEXT_WEIGHT + _WEIGHT_OF_RARE_TERMS * self.rare_share

    def fuse(self, text_weight: float | None = None) -> list[tuple[Item, float]]:
        """Return all items with their fused scores, best first. Without a weight the automatic one applies.

        A score that an item lacks is 0. Items with equal scores keep the order of the text ranking.
        """
        weight = self.automatic_weight if text_weight is None else text_weight
        items = dict.fromkeys([*self.text, *self.similarity])
        scores = {
            item: weight * self.text.get(item, 0.0) + (1.0 - weight) * self.similarity.get(item, 0.0) for item in items
        }
        return rank(scores)


def rank[Item: Hashable](scores: Mapping[Item, float]) -> list[tuple[Item, float]]:
    """Return the items with their scores, best first; equal scores keep their order."""
    return sorted(scores.items(), key=lambda scored: -scored[1])
