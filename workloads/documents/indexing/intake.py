"""Submission of jobs for new documents."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.utils.translation import gettext

from scheduling.jobs.batches.service import create_batch
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from workloads.documents.extraction.decoding import canonical_encoding
from workloads.documents.indexing.processor import DocumentIndexing
from workloads.documents.models import MAX_ENCODING_LENGTH, Dataset, Document


def check_encoding(name: str) -> str:
    """Return the canonical name of an encoding, or an empty string; raise `FieldInvalidError` for an unknown one."""
    try:
        return canonical_encoding(name) if name else ""
    except LookupError as error:
        shown = name[:MAX_ENCODING_LENGTH]
        detail = gettext("There is no encoding %(name)s. Examples: utf-8, cp1252, gb18030, shift_jis.") % {
            "name": shown
        }
        raise FieldInvalidError.at("encoding", detail) from error


def submit_documents(tenant: Tenant, documents: Sequence[Document], *, label: str, is_rate_limited: bool) -> UUID:
    """Submit one job per document, all in one batch, or none if one is refused. Return the batch's id.

    It sets the ``job_id`` of each document; the caller saves them.
    """
    batch = create_batch(tenant=tenant, label=label, kind=DocumentIndexing.kind, total=len(documents))
    requests = [
        # A new document is stored after its job, so the kind cannot find its dataset.
        JobRequest(kind=DocumentIndexing.kind, payload={"document_id": str(document.pk)}, subject=document.dataset_id)
        for document in documents
    ]
    answer = submit_jobs(tenant=tenant, requests=requests, batch=batch, is_rate_limited=is_rate_limited, is_atomic=True)
    for index, submission in answer.accepted:
        documents[index].job_id = submission.job.pk
    return batch.pk


def label_of(documents: int, dataset: Dataset, *, what: str = "into") -> str:
    """Return the label of a batch, such as "3 documents into Manuals"."""
    return f"{documents} document{'' if documents == 1 else 's'} {what} {dataset.name}"
