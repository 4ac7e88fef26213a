"""Questions asked to a dataset: the rank of the answer in each variant."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from workloads.documents.embedding import Vector
from workloads.documents.evaluation.metrics import DEPTH, Variant
from workloads.documents.evaluation.questions import Question
from workloads.documents.folding import fold_near_duplicates, shingles_of
from workloads.documents.models import Chunk, Dataset
from workloads.documents.parents import read_texts, without_siblings
from workloads.documents.reranking import CANDIDATES, order_by_endpoint
from workloads.documents.search import find_candidates, read_factor, select


@dataclass(frozen=True)
class _Found:
    """A result that was found, and whether it answers the question."""

    text: str
    is_answer: bool

    @cached_property
    def shingles(self) -> frozenset[tuple[str, ...]]:
        return shingles_of(self.text)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question found: for each variant the chunks, best first, before re-ranking and folding."""

    query: str
    rankings: Sequence[tuple[Variant, Sequence[_Found]]]

    def rank_answers(self) -> list[int]:
        """Return for each variant the rank of the first answer among ten results, 0 if none is among them.

        The results are those of a search with near-duplicates folded; a chunk that is folded into another one answers
        in its place. It does not use the database. Raise `TransientError` or `PermanentError` if re-ranking fails.
        """
        return [_rank(self._reranked(found) if variant.is_reranked else found) for variant, found in self.rankings]

    def _reranked(self, found: Sequence[_Found]) -> list[_Found]:
        return [found[position] for position in order_by_endpoint(self.query, [one.text for one in found])]


@dataclass(frozen=True, slots=True)
class Asker:
    """A dataset with the variants in which questions are asked to it."""

    dataset: Dataset
    variants: Sequence[Variant] = field(default_factory=list)

    def ask(self, question: Question, vector: Vector) -> Asked:
        """Return what the question finds. Call it in the tenant's scope."""
        found = find_candidates(self.dataset, question.text, limit=DEPTH, vector=vector)
        least = self.dataset.min_score
        read = max(DEPTH * read_factor(self.dataset), CANDIDATES)
        rankings = [
            [chunk for chunk, _ in select(found, mode=one.mode, text_weight=one.text_weight, min_score=least)][:read]
            for one in self.variants
        ]
        ids = {chunk for ranking in rankings for chunk in ranking}
        chunks = Chunk.objects.filter(pk__in=ids).select_related("document").defer("embedding", "search").in_bulk()
        kept = [without_siblings(chunks[pk] for pk in ranking if pk in chunks) for ranking in rankings]
        results = self._read({chunk.pk: chunk for ranking in kept for chunk in ranking}.values(), question)
        ranked = [[results[chunk.pk] for chunk in ranking] for ranking in kept]
        return Asked(question.text, list(zip(self.variants, ranked, strict=True)))

    def _read(self, chunks: Collection[Chunk], question: Question) -> dict[UUID, _Found]:
        texts = read_texts(list(chunks))
        return {
            chunk.pk: _Found(
                text := texts[chunk.pk],
                any(
                    one.is_given_by(name=chunk.document.name, document_id=str(chunk.document_id), text=text)
                    for one in question.answers
                ),
            )
            for chunk in chunks
        }


def _rank(ranking: Sequence[_Found]) -> int:
    groups = fold_near_duplicates([chunk.shingles for chunk in ranking], limit=DEPTH)
    answers = (rank for rank, group in enumerate(groups, 1) if any(ranking[place].is_answer for place in group))
    return next(answers, 0)
