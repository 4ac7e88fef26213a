"""Service that starts and deletes evaluations. Each change is one transaction with its audit entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Q, Sum

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.ids import id_of, uuid7
from tenants.database.reads import first_or_raise
from tenants.models import Tenant
from tenants.translation import translate
from workloads.documents.evaluation.exceptions import EvaluationNotFoundError
from workloads.documents.evaluation.models import Evaluation
from workloads.documents.evaluation.processor import DatasetEvaluation
from workloads.documents.evaluation.questions import Question, describe_fault, read_questions, refuse
from workloads.documents.models import Dataset, Document
from workloads.documents.query_embedding import require_known_model
from workloads.documents.reranking import reranker_name
from workloads.documents.service import SPLITTING

# The oldest ones beyond are deleted.
MAX_EVALUATIONS = 100
_SETTINGS = (*SPLITTING, "embedding_model", "text_weight", "min_score", "is_reranked")


def start_evaluation(
    *, tenant: Tenant, dataset: Dataset, data: bytes, note: str = "", is_rate_limited: bool = False
) -> Evaluation:
    """Start the evaluation of a dataset by the questions of a CSV file, and return it.

    A job asks the questions. The dataset keeps its last 100 evaluations. Raise `QuestionsInvalidError` for a faulty
    file and for documents that the dataset lacks, and `EmbeddingModelMismatchError`.
    """
    questions = read_questions(data)
    with tenant_context(tenant):
        require_known_model(dataset.tenant_id, dataset.embedding_model)
        _check_documents(dataset, questions)
        evaluation = Evaluation(
            pk=uuid7(),
            tenant=tenant,
            dataset=dataset,
            note=note,
            settings=describe(dataset),
            questions=[question.as_json() for question in questions],
            questions_total=len(questions),
        )
        request = JobRequest(
            kind=DatasetEvaluation.kind,
            payload={"evaluation_id": str(evaluation.pk)},
            subject=dataset.pk,
            is_internal=True,
        )
        with suppress_nested_entries():
            evaluation.job_id = submit_job(tenant=tenant, request=request, is_rate_limited=is_rate_limited).job.pk
        evaluation.save(force_insert=True)
        outdated = Evaluation.objects.filter(dataset=dataset).order_by("-id").values_list("pk")[MAX_EVALUATIONS:]
        Evaluation.objects.filter(pk__in=list(outdated.values_list("pk", flat=True))).delete()
        record_audit(
            action="evaluation.started",
            target=evaluation,
            after={"dataset": str(dataset.pk), "questions": len(questions), "job": str(evaluation.job_id)},
        )
    return evaluation


@transaction.atomic
def delete_evaluation(*, evaluation_id: UUID, reason: str = "") -> None:
    """Delete an evaluation; a job that has not ended is discarded at its next questions."""
    evaluation = first_or_raise(
        Evaluation.objects.select_for_update().filter(pk=evaluation_id), EvaluationNotFoundError
    )
    record_audit(
        action="evaluation.deleted",
        target=evaluation,
        before={"dataset": str(evaluation.dataset_id), "questions": evaluation.questions_total},
        reason=reason,
    )
    evaluation.delete()


def _check_documents(dataset: Dataset, questions: Sequence[Question]) -> None:
    """Raise `QuestionsInvalidError` if an answer names a document that the dataset lacks."""
    named = {answer.document for question in questions for answer in question.answers}
    ids = [document_id for name in named if (document_id := id_of(name))]
    documents = Document.objects.filter(Q(name__in=named) | Q(pk__in=ids), dataset=dataset).values_list("pk", "name")
    known = {value for pk, name in documents for value in (str(pk), name)}
    refuse(
        describe_fault(
            question.line, translate("The dataset has no document %(name)r.", {"name": answer.document[:100]})
        )
        for question in questions
        for answer in question.answers
        if answer.document not in known
    )


def describe(dataset: Dataset) -> dict[str, Any]:
    """Return the settings of a dataset as they are now, its size, and the name of the re-ranking model."""
    size = Document.objects.filter(dataset=dataset).aggregate(
        documents=Count("pk"), chunks=Sum("chunks_done", default=0)
    )
    return {name: getattr(dataset, name) for name in _SETTINGS} | size | {"reranker": reranker_name()}
