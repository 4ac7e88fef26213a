"""Queries of documents. The stored status is combined with the state of the document's job."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.utils.translation import gettext_noop

from tenants.database.reads import first_or_raise
from workloads.documents.indexing.exceptions import DocumentNotFoundError
from workloads.documents.models import DatasetState, Document, DocumentStatus
from workloads.job_outcome import DEAD_STATES, SUSPENDED, error_code, error_message, with_job

PAUSED = gettext_noop("paused")
# Every status that is shown: the phases, and paused, which is a state of the job.
SHOWN_STATUSES = [*DocumentStatus.values, PAUSED]


def find_documents() -> QuerySet[Document]:
    """Return a queryset of the current scope's documents, annotated with ``shown_status`` and the shown error.

    Those of a dataset that is being deleted are left out.
    A job can end without running its code (cancelled, crashed, timed out); its document is then shown as in error. The
    annotations read the job's state each time, so they are never out of date. Those of the error are
    ``shown_error_code`` and ``shown_error_message``.
    """
    is_settled = Q(status__in=[DocumentStatus.COMPLETED, DocumentStatus.ERROR])
    is_dead = Q(job_state__in=DEAD_STATES) & ~is_settled
    documents: QuerySet[Document] = with_job(
        Document.objects.defer("summary").exclude(dataset__state=DatasetState.DELETING)
    ).annotate(
        shown_status=Case(
            When(is_settled, then=F("status")),
            When(is_dead, then=Value(DocumentStatus.ERROR.value)),
            When(job_state=SUSPENDED, then=Value(PAUSED)),
            default=F("status"),
            output_field=CharField(),
        ),
        shown_error_code=error_code(is_dead),
        shown_error_message=error_message(is_dead, owner="id"),
    )
    return documents


def get_document(document_id: UUID) -> Document:
    """Return one document of the current scope, annotated as by `find_documents`.

    Raise `DocumentNotFoundError` if there is none.
    """
    return first_or_raise(find_documents().filter(pk=document_id), DocumentNotFoundError)
