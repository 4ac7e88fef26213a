"""Errors of datasets and search."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from scheduling.kit.base import TransientError
from tenants.exceptions import DomainError, FieldInvalidError


class DatasetNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such dataset.")


class DatasetNameTakenError(DomainError):
    code, category, title = "dataset_name_taken", "conflict", gettext_noop("A dataset with this name already exists.")


class DatasetInUseError(DomainError):
    code, category = "dataset_in_use", "conflict"
    title = gettext_noop("The dataset has documents; delete them first, or delete it with its documents.")


class DatasetArchivedError(DomainError):
    code, category = "dataset_archived", "conflict"
    title = gettext_noop("The dataset is archived: it takes no documents and no re-indexing until it is unarchived.")


class DatasetSettingsInvalidError(DomainError):
    code, category, title = "settings_invalid", "invalid", gettext_noop("The settings are inconsistent.")


class SummaryModelUnknownError(FieldInvalidError):
    code, title = "summary_model_unknown", gettext_noop("There is no such chat model.")


class MetadataFieldInUseError(DomainError):
    code, category = "metadata_field_in_use", "conflict"
    title = gettext_noop("Documents have values of the metadata field; remove the values first.")


class EmbeddingModelMismatchError(DomainError):
    code, category = "embedding_model_mismatch", "conflict"
    title = gettext_noop("The embedding model of the dataset does not exist any more.")


class ReembeddingError(DomainError):
    code, category = "reembedding_refused", "conflict"
    title = gettext_noop("The dataset cannot be re-embedded now.")


class EmbeddingUnavailableError(DomainError):
    code, category = "embedding_unavailable", "unavailable"
    title = gettext_noop("The embedding endpoint does not respond at the moment.")


class BatchTooLargeError(DomainError):
    code, category, title = "batch_too_large", "invalid", gettext_noop("The plan allows fewer files in one batch.")


class ModelReplacedError(TransientError):
    """Raised if the dataset's embedding model has changed since it was read; what begins again uses the new one."""

    def __init__(self) -> None:
        super().__init__("The embedding model of the dataset has changed.", code="embedding_model_replaced")


class DocumentGoneError(Exception):
    """Raised if a document was deleted, or another job has taken it over."""
