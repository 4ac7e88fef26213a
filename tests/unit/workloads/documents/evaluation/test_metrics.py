"""Metrics of rankings, and their comparison."""

from __future__ import annotations

import pytest

from workloads.documents.evaluation.metrics import (
    Variant,
    compare_ranks,
    compare_results,
    measure,
    summarize,
    variants_of,
)
from workloads.documents.search import SearchMode


def test_metrics_of_ranks() -> None:
    assert measure([1, 3, 10, 0]) == {
        "recall_1": 0.25,
        "recall_5": 0.5,
        "recall_10": 0.75,
        "mrr": pytest.approx((1 + 1 / 3 + 1 / 10) / 4, abs=1e-4),
        "ndcg_10": pytest.approx((1 + 0.5 + 0.2891) / 4, abs=1e-4),
    }
    assert set(measure([]).values()) == {0.0}


def test_first_variant_is_that_of_the_dataset() -> None:
    assert variants_of(0.35)[0] == Variant(SearchMode.HYBRID, 0.35)
    assert variants_of(None)[0] == Variant(SearchMode.HYBRID, None)
    assert len(variants_of(None)) == len(variants_of(0.4)) == 7
    assert {one.mode for one in variants_of(None)[1:3]} == {SearchMode.TEXT, SearchMode.VECTOR}


def test_reranked_variant_is_first_if_searches_are_reranked() -> None:
    own, reranked = Variant(SearchMode.HYBRID), Variant(SearchMode.HYBRID, is_reranked=True)
    assert variants_of(None, has_reranker=True)[:2] == [own, reranked]
    assert variants_of(None, has_reranker=True, is_reranked=True)[:2] == [reranked, own]
    assert reranked not in variants_of(None, is_reranked=True)


def test_results_without_a_reranker_are_compared_with_later_ones() -> None:
    earlier = {"mode": "hybrid", "text_weight": None} | measure([2])
    later = summarize(variants_of(None, has_reranker=True), [[1] * 8])
    (compared,) = compare_results([earlier], later)
    assert compared["is_reranked"] is False
    assert compared["difference"]["recall_1"] == 1.0


def test_results_are_compared_by_mode_and_weight() -> None:
    one, other = Variant(SearchMode.TEXT), Variant(SearchMode.HYBRID, 0.5)
    before, after = summarize([one, other], [[1, 2], [2, 2]]), summarize([one], [[1], [1]])
    (compared,) = compare_results(before, after)
    assert (compared["mode"], compared["text_weight"]) == ("text", None)
    assert compared["difference"]["mrr"] == 0.25


def test_questions_with_another_rank_are_listed_losses_first() -> None:
    before, after = {"a": 1, "b": 2, "c": 0, "d": 3, "gone": 1}, {"a": 0, "b": 2, "c": 1, "d": 4, "new": 1}
    assert [one["question"] for one in compare_ranks(before, after)] == ["a", "d", "c"]
    assert len(compare_ranks(dict.fromkeys(map(str, range(200)), 1), dict.fromkeys(map(str, range(200)), 2))) == 100
