"""Fusion of two rankings by their scores."""

from __future__ import annotations

import pytest

from workloads.documents.fusion import Candidates


def order(found: Candidates[str], weight: float | None = None) -> list[str]:
    return [item for item, _ in found.fuse(weight)]


def test_score_is_the_weighted_mean_of_both_scores() -> None:
    found = Candidates({"a": 0.5, "b": 1.0}, {"a": 0.9})
    assert found.fuse(0.25) == [("a", pytest.approx(0.25 * 0.5 + 0.75 * 0.9)), ("b", pytest.approx(0.25))]


def test_extreme_weights_give_the_order_of_one_ranking() -> None:
    found = Candidates({"a": 0.9, "b": 0.4}, {"b": 0.8, "a": 0.1})
    assert order(found, 1.0) == ["a", "b"]
    assert order(found, 0.0) == ["b", "a"]


def test_equal_scores_keep_the_order_of_the_text_ranking() -> None:
    assert order(Candidates({"b": 0.5, "a": 0.5}, {}), 0.5) == ["b", "a"]
    assert Candidates[str]({}, {}).fuse() == []


def test_words_outweigh_vectors_only_if_most_terms_are_rare() -> None:
    common, rare = (Candidates({"text": 0.7}, {"vector": 0.7}, share) for share in (0.0, 1.0))
    assert order(common) == ["vector", "text"]
    assert order(rare) == ["text", "vector"]
    assert Candidates[str]({}, {}, 0.5).automatic_weight == pytest.approx(0.45)
