"""Finding datasets."""

from __future__ import annotations

from uuid import UUID

from scheduling.processors.retrieval.exceptions import DatasetNotFoundError
from scheduling.processors.retrieval.models import Dataset


def get_dataset(dataset_id: UUID) -> Dataset:
    """One dataset of the current scope, else DatasetNotFoundError."""
    dataset: Dataset | None = Dataset.objects.filter(pk=dataset_id).first()
    if dataset is None:
        raise DatasetNotFoundError
    return dataset
