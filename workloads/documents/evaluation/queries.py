"""Queries of evaluations. Their status is that of their job until they are complete."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Q, QuerySet, Value, When
from django.utils.translation import gettext_noop

from tenants.database.reads import first_or_raise
from workloads.documents.evaluation.exceptions import EvaluationNotFoundError, EvaluationsDifferError
from workloads.documents.evaluation.metrics import compare_ranks, compare_results
from workloads.documents.evaluation.models import Evaluation
from workloads.documents.models import DatasetState
from workloads.job_outcome import DEAD_STATES, with_job

WAITING, RUNNING = gettext_noop("waiting"), gettext_noop("running")
COMPLETED, ERROR = gettext_noop("completed"), gettext_noop("error")
SHOWN_STATUSES = (WAITING, RUNNING, COMPLETED, ERROR)


def find_evaluations() -> QuerySet[Evaluation]:
    """Return a queryset of the current scope's evaluations, annotated with ``shown_status`` and the job's error."""
    evaluations: QuerySet[Evaluation] = with_job(
        Evaluation.objects.exclude(dataset__state=DatasetState.DELETING)
    ).annotate(
        shown_status=Case(
            When(completed_at__isnull=False, then=Value(COMPLETED)),
            When(Q(job_state__in=DEAD_STATES) | Q(job_state__isnull=True), then=Value(ERROR)),
            When(Q(job_state="executing") | Q(questions_done__gt=0), then=Value(RUNNING)),
            default=Value(WAITING),
            output_field=CharField(),
        )
    )
    return evaluations


def get_evaluation(evaluation_id: UUID) -> Evaluation:
    """Return one evaluation of the current scope, annotated; raise `EvaluationNotFoundError` if there is none."""
    return first_or_raise(find_evaluations().filter(pk=evaluation_id), EvaluationNotFoundError)


def compare(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """Return the settings, metrics and ranks that differ between two evaluations of a dataset.

    The ranks are those of the mode hybrid with the weight that the dataset had. Raise `EvaluationsDifferError` if the
    evaluations are of two datasets, or one is not complete.
    """
    if before.dataset_id != after.dataset_id or not (before.completed_at and after.completed_at):
        raise EvaluationsDifferError
    settings = [
        {"name": name, "before": before.settings.get(name), "after": value}
        for name, value in after.settings.items()
        if before.settings.get(name, value) != value
    ]
    return {
        "before": before.pk,
        "after": after.pk,
        "settings": settings,
        "results": list(compare_results(before.results, after.results)),
        "questions": compare_ranks(_own_ranks(before), _own_ranks(after)),
    }


def _own_ranks(evaluation: Evaluation) -> dict[str, int]:
    pairs = zip(evaluation.questions, evaluation.ranks, strict=True)
    return {question["question"]: ranks[0] for question, ranks in pairs}
