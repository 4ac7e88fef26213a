"""Documents as their readers see them: what indexing wrote, and how the job behind it stands."""

from __future__ import annotations

from uuid import UUID

from django.apps import apps
from django.db.models import Case, CharField, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from scheduling.processors.document_indexing.exceptions import DocumentNotFoundError
from scheduling.processors.retrieval.models import Document, DocumentStatus

PAUSED = "paused"
# Every status that a reader may meet: the phases, and paused, which is the job's affair.
SHOWN_STATUSES = [*DocumentStatus.values, PAUSED]
_DEAD_STATES = ("cancelled", "discarded", "quarantined")
_FALLBACK_REASONS = {
    "cancelled": "The job was cancelled.",
    "discarded": "The job failed.",
    "quarantined": "The job crashed its workers.",
}


def find_documents() -> QuerySet[Document]:
    """The documents of the current scope with ``shown_status``, ``shown_error_code``, ``shown_error_message``.

    A job can end where none of its code runs (cancelled, crashed, out of time): its document is in error then,
    whatever phase it was in. Asked of the job at each read, this can never be out of date.
    """
    # By name, for a plug-in imports no models of the scheduler.
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=OuterRef("job_id"))
    documents: QuerySet[Document] = Document.objects.annotate(
        job_state=Subquery(jobs.values("state")[:1]),
        job_error_type=Subquery(jobs.values("error_type")[:1]),
        job_error_message=Subquery(jobs.values("error_message")[:1]),
    )
    is_settled = Q(status__in=[DocumentStatus.COMPLETED, DocumentStatus.ERROR])
    is_dead = Q(job_state__in=_DEAD_STATES) & ~is_settled
    return documents.annotate(
        shown_status=Case(
            When(is_settled, then=F("status")),
            When(is_dead, then=Value(DocumentStatus.ERROR.value)),
            When(job_state="suspended", then=Value(PAUSED)),
            default=F("status"),
            output_field=CharField(),
        ),
        shown_error_code=Case(
            When(is_dead, then=Coalesce(NullIf("job_error_type", Value("")), F("job_state"))),
            default=F("error_code"),
            output_field=CharField(),
        ),
        shown_error_message=Case(
            When(is_dead, then=Coalesce(NullIf("job_error_message", Value("")), _fallback_reason())),
            default=F("error_message"),
            output_field=CharField(),
        ),
    )


def get_document(document_id: UUID) -> Document:
    """One document of the current scope as :func:`find_documents` gives it, else DocumentNotFoundError."""
    document = find_documents().filter(pk=document_id).first()
    if document is None:
        raise DocumentNotFoundError
    return document


def _fallback_reason() -> Case:
    cases = [When(job_state=state, then=Value(reason)) for state, reason in _FALLBACK_REASONS.items()]
    return Case(*cases, default=Value(""), output_field=CharField())
