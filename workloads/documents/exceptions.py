"""Errors of datasets and search."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class DatasetNotFoundError(DomainError):
    code = "not_found"
    category = "not_found"
    title = gettext_noop("There is no such dataset.")


class DatasetNameTakenError(DomainError):
    code = "dataset_name_taken"
    category = "conflict"
    title = gettext_noop("A dataset with this name already exists.")


class DatasetInUseError(DomainError):
    code = "dataset_in_use"
    category = "conflict"
    title = gettext_noop("The dataset has documents; delete them first.")


class DatasetSettingsInvalidError(DomainError):
    code = "settings_invalid"
    category = "invalid"
    title = gettext_noop("The settings are inconsistent.")


class EmbeddingModelMismatchError(DomainError):
    code = "embedding_model_mismatch"
    category = "conflict"
    title = gettext_noop("The dataset was embedded by another model than the one in use.")


class EmbeddingUnavailableError(DomainError):
    code = "embedding_unavailable"
    category = "unavailable"
    title = gettext_noop("The embedding endpoint does not respond at the moment.")


class BatchTooLargeError(DomainError):
    code = "batch_too_large"
    category = "invalid"
    title = gettext_noop("The plan allows fewer files in one batch.")


class DocumentGoneError(Exception):
    """Raised if a document was deleted, or another job has taken it over."""
