"""Measures of rankings by the rank of the first right answer, and their comparison."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workloads.documents.search import SearchMode

# Results that are ranked for each question.
DEPTH = 10
MAX_SHOWN_CHANGES = 100
METRICS = ("recall_1", "recall_5", "recall_10", "mrr", "ndcg_10")
_WEIGHTS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class Variant:
    """A mode, in the mode hybrid a weight of words (None is the automatic weight), and whether it is re-ranked."""

    mode: SearchMode
    text_weight: float | None = None
    is_reranked: bool = False

    @property
    def facts(self) -> dict[str, Any]:
        """Return what identifies the variant among the results of an evaluation."""
        return {"mode": self.mode.value, "text_weight": self.text_weight, "is_reranked": self.is_reranked}


def variants_of(text_weight: float | None, *, has_reranker: bool = False, is_reranked: bool = False) -> list[Variant]:
    """Return the variants that are measured for a dataset with these settings; the first is what its searches use."""
    weights = dict.fromkeys((text_weight, None, *_WEIGHTS))
    hybrid = [Variant(SearchMode.HYBRID, weight) for weight in weights]
    reranked = [Variant(SearchMode.HYBRID, text_weight, is_reranked=True)] if has_reranker else []
    firsts = [*reranked, hybrid[0]] if is_reranked else [hybrid[0], *reranked]
    return [*firsts, Variant(SearchMode.TEXT), Variant(SearchMode.VECTOR), *hybrid[1:]]


def measure(ranks: Sequence[int]) -> dict[str, float]:
    """Return the metrics of the ranks of the first right answers, one for each question; 0 is not among the results.

    Each question has one answer, so its ideal DCG is 1.
    """
    count = max(1, len(ranks))
    found = [rank for rank in ranks if rank]
    recall = {f"recall_{most}": sum(rank <= most for rank in found) / count for most in (1, 5, 10)}
    others = {"mrr": sum(1 / rank for rank in found), "ndcg_10": sum(1 / math.log2(rank + 1) for rank in found)}
    return {
        name: round(value, 4) for name, value in (recall | {key: one / count for key, one in others.items()}).items()
    }


def summarize(variants: Sequence[Variant], ranks: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Return the metrics of each variant. ``ranks`` has for each question the rank in each variant."""
    return [variant.facts | measure([one[index] for one in ranks]) for index, variant in enumerate(variants)]


def compare_results(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the metrics of both evaluations and their difference, for each mode and weight that both have."""
    earlier = {_key_of(one): one for one in before}
    for one in after:
        if old := earlier.get(_key_of(one)):
            yield {
                "mode": one["mode"],
                "text_weight": one["text_weight"],
                "is_reranked": one.get("is_reranked", False),
                "before": {name: old[name] for name in METRICS},
                "after": {name: one[name] for name in METRICS},
                "difference": {name: round(one[name] - old[name], 4) for name in METRICS},
            }


def _key_of(result: Mapping[str, Any]) -> tuple[Any, ...]:
    # Results of before there was re-ranking have no such key.
    return result["mode"], result["text_weight"], result.get("is_reranked", False)


def compare_ranks(before: Mapping[str, int], after: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return up to 100 questions that both have and whose rank differs, the greatest losses first."""

    def gain(change: Mapping[str, Any]) -> float:
        signed = ((1.0, int(change["after"])), (-1.0, int(change["before"])))
        return sum(sign / rank for sign, rank in signed if rank)

    changes = [
        {"question": question, "before": before[question], "after": rank}
        for question, rank in after.items()
        if question in before and before[question] != rank
    ]
    return sorted(changes, key=gain)[:MAX_SHOWN_CHANGES]
