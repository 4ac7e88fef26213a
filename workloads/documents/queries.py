"""Queries of datasets, and counts of documents' chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from tenants.database.reads import first_or_raise
from tenants.translation import LocalizableText
from workloads.documents.exceptions import DatasetArchivedError, DatasetNotFoundError
from workloads.documents.models import Dataset, DatasetState, Document

# Annotations of a document: chunks that serve searches, and those that wait for the rest.
FOUND_CHUNKS: Mapping[str, Count] = {
    "found_served": Count("chunks", filter=Q(chunks__is_served=True)),
    "found_waiting": Count("chunks", filter=Q(chunks__is_served=False)),
}


def get_dataset(dataset_id: UUID, *, is_kept: bool = True) -> Dataset:
    """Return one dataset of the current scope; raise DatasetNotFoundError if there is none.

    One that is being deleted is only returned if ``is_kept`` is False.
    """
    rows = Dataset.objects if is_kept else Dataset.every
    return first_or_raise(rows.filter(pk=dataset_id), DatasetNotFoundError)


def lock_dataset(dataset_id: UUID, *, takes_documents: bool = True, is_kept: bool = True) -> Dataset:
    """Return the dataset as now stored, locked until the transaction ends.

    The lock prevents that it is changed or deleted before new documents refer to it. Raise `DatasetNotFoundError` if it
    is gone, or being deleted unless ``is_kept`` is False, and `DatasetArchivedError` if it is archived, unless
    ``takes_documents`` is False.
    """
    rows = Dataset.objects if is_kept else Dataset.every
    dataset = first_or_raise(rows.select_for_update(no_key=True).filter(pk=dataset_id), DatasetNotFoundError)
    if takes_documents and dataset.state == DatasetState.ARCHIVED:
        raise DatasetArchivedError
    return dataset


def has_documents(dataset: Dataset) -> bool:
    """Return whether the dataset has documents."""
    return bool(Document.objects.filter(dataset=dataset).exists())


def count_contents(dataset: Dataset) -> Mapping[str, int]:
    """Return how many ``documents`` and ``chunks`` a dataset has, and how many documents are ``disabled``."""
    chunks = Sum(Coalesce("chunks_total", 0) + F("kept_chunks"), default=0)
    counts: Mapping[str, int] = Document.objects.filter(dataset=dataset).aggregate(
        documents=Count("pk"), disabled=Count("pk", filter=Q(is_enabled=False)), chunks=chunks
    )
    return counts


def describe_chunk_difference(document: Any) -> LocalizableText | None:
    """Return how the stored counts of a document differ from the number of its chunks; None if they agree.

    The document must have the annotations FOUND_CHUNKS.
    """
    done, kept = document.chunks_done, document.kept_chunks
    said = (kept, done) if kept else (done, 0)
    found = (document.found_served, document.found_waiting)
    if said == found:
        return None
    values = {"said": said[0], "found": found[0], "said_waiting": said[1], "found_waiting": found[1]}
    if said[1] or found[1]:
        return LocalizableText(
            "records %(said)s chunks that serve searches but has %(found)s, and %(said_waiting)s that do not yet "
            "but has %(found_waiting)s",
            values,
        )
    return LocalizableText("records %(said)s chunks but has %(found)s", values)
