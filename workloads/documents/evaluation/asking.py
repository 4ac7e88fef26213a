"""Questions asked to a dataset: the rank of the answer in each variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from workloads.documents.embedding import Vector
from workloads.documents.evaluation.metrics import DEPTH, Variant
from workloads.documents.evaluation.questions import Question
from workloads.documents.folding import fold_near_duplicates, shingles_of
from workloads.documents.models import Chunk, Dataset
from workloads.documents.search import READ_FACTOR, find_candidates, select


@dataclass(frozen=True)
class _Found:
    """A chunk that was found, and whether it answers the question."""

    text: str
    is_answer: bool

    @cached_property
    def shingles(self) -> frozenset[tuple[str, ...]]:
        return shingles_of(self.text)


@dataclass(frozen=True, slots=True)
class Asker:
    """A dataset with the variants in which questions are asked to it."""

    dataset: Dataset
    variants: Sequence[Variant] = field(default_factory=list)

    def rank_answers(self, question: Question, vector: Vector) -> list[int]:
        """Return for each variant the rank of the first answer among ten results, 0 if none is among them.

        The results are those of a search with near-duplicates folded; a chunk that is folded into another one answers
        in its place. Call it in the tenant's scope.
        """
        found = find_candidates(self.dataset, question.text, limit=DEPTH, vector=vector)
        rankings = [
            [
                chunk
                for chunk, _ in select(
                    found, mode=one.mode, text_weight=one.text_weight, min_score=self.dataset.min_score
                )[: DEPTH * READ_FACTOR]
            ]
            for one in self.variants
        ]
        chunks = self._read({chunk for ranking in rankings for chunk in ranking}, question)
        return [_rank([chunks[chunk] for chunk in ranking if chunk in chunks]) for ranking in rankings]

    def _read(self, ids: set[UUID], question: Question) -> dict[UUID, _Found]:
        rows = Chunk.objects.filter(pk__in=ids).values_list("pk", "text", "document_id", "document__name")
        return {
            pk: _Found(
                text,
                any(one.is_given_by(name=name, document_id=str(document), text=text) for one in question.answers),
            )
            for pk, text, document, name in rows
        }


def _rank(ranking: Sequence[_Found]) -> int:
    groups = fold_near_duplicates([chunk.shingles for chunk in ranking], limit=DEPTH)
    answers = (rank for rank, group in enumerate(groups, 1) if any(ranking[place].is_answer for place in group))
    return next(answers, 0)
