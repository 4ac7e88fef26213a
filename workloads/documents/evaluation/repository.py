"""What the job of an evaluation reads and writes."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models.functions import Now

from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from workloads.documents.evaluation.exceptions import EvaluationGoneError
from workloads.documents.evaluation.metrics import Variant, summarize, variants_of
from workloads.documents.evaluation.models import Evaluation


def read_evaluation(tenant_id: UUID, evaluation_id: UUID) -> Evaluation:
    """Return an evaluation with its dataset; raise `EvaluationGoneError` if it was deleted."""
    with tenant_context(tenant_id):
        return first_or_raise(
            Evaluation.objects.select_related("dataset").filter(pk=evaluation_id),
            EvaluationGoneError(f"There is no evaluation {evaluation_id}."),
        )


def variants_measured(evaluation: Evaluation) -> list[Variant]:
    """Return the variants of an evaluation, which the settings of its start determine."""
    settings = evaluation.settings
    return variants_of(
        settings["text_weight"],
        has_reranker=bool(settings.get("reranker")),
        is_reranked=settings.get("is_reranked", False),
    )


def append_ranks(evaluation: Evaluation, ranks: Sequence[Sequence[int]]) -> None:
    """Store the ranks of the next questions; after the last ones, also the results.

    Raise `EvaluationGoneError` if another job has stored them meanwhile.
    """
    done = evaluation.questions_done
    evaluation.ranks = [*evaluation.ranks, *ranks]
    evaluation.questions_done = len(evaluation.ranks)
    changes = {"ranks": evaluation.ranks, "questions_done": evaluation.questions_done}
    if evaluation.questions_done == evaluation.questions_total:
        evaluation.results = summarize(variants_measured(evaluation), evaluation.ranks)
        changes |= {"results": evaluation.results, "completed_at": Now()}
    if not Evaluation.objects.filter(pk=evaluation.pk, questions_done=done).update(**changes):
        raise EvaluationGoneError(f"The evaluation {evaluation.pk} was deleted or is done by another job.")
