"""Queries of datasets, and counts of documents' chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Count, Q

from tenants.database.reads import first_or_raise
from tenants.translation import LocalizableText
from workloads.documents.exceptions import DatasetNotFoundError
from workloads.documents.models import Dataset

# Annotations of a document: chunks that serve searches, and those that wait for the rest.
FOUND_CHUNKS: Mapping[str, Count] = {
    "found_served": Count("chunks", filter=Q(chunks__is_served=True)),
    "found_waiting": Count("chunks", filter=Q(chunks__is_served=False)),
}


def get_dataset(dataset_id: UUID) -> Dataset:
    """Return one dataset of the current scope; raise DatasetNotFoundError if there is none."""
    return first_or_raise(Dataset.objects.filter(pk=dataset_id), DatasetNotFoundError)


def lock_dataset(dataset_id: UUID) -> Dataset:
    """Return the dataset as now stored, locked until the transaction ends; raise `DatasetNotFoundError` if it is gone.

    The lock prevents that it is changed or deleted before new rows refer to it.
    """
    return first_or_raise(Dataset.objects.select_for_update(no_key=True).filter(pk=dataset_id), DatasetNotFoundError)


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
