"""Service that changes datasets. Each change is one transaction with its audit entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from scheduling.regions.labels import label_data, remove_label
from tenants.access.roles import require_within
from tenants.audit.service import record_audit
from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from tenants.settings.schema import settings_of
from tenants.tenancy.regions import check_regions
from workloads.documents.embedding_models import EmbeddingModel, list_models
from workloads.documents.exceptions import (
    DatasetInUseError,
    DatasetNameTakenError,
    DatasetNotFoundError,
    DatasetSettingsInvalidError,
    MetadataFieldInUseError,
    SummaryModelUnknownError,
)
from workloads.documents.extraction.recognition import find_fault
from workloads.documents.metadata import FieldType, check_fields
from workloads.documents.models import Dataset, DatasetState, Document
from workloads.documents.queries import lock_dataset
from workloads.documents.split_settings import CHARACTERS_A_TOKEN, CHUNKS_A_PARENT, SizeUnit
from workloads.documents.tenant_settings import CHUNK_OVERLAP_TOKENS, CHUNK_TOKENS, default_model
from workloads.model_endpoints.lookup import chat_model_names

_REGIONS = ("home_region", "allowed_regions")
_SEARCH = ("text_weight", "min_score", "is_reranked", "metadata_fields")
EXTRACTION = ("max_ocr_pages", "reads_comments")
SPLITTING = ("chunking", "size_unit", "chunk_size", "chunk_overlap", "parent_size")
# The model changes by re-embedding only.
_SETTABLE = ("name", "description", *EXTRACTION, *SPLITTING, "summary_model", *_REGIONS, *_SEARCH)


def create_dataset(
    *,
    tenant: Tenant,
    name: str,
    chunk_size: int | None = None,
    chunk_overlap: int | None = None,
    size_unit: str = SizeUnit.TOKENS,
    parent_size: int | None = None,
    embedding_model: str = "",
    **settings: Any,
) -> Dataset:
    """Create an empty dataset. The other settings are those of `update_dataset`.

    Missing settings take the tenant's defaults, of which tokens are four characters. The default overlap is at most
    half of the chunk size, the default parent four chunks. Without allowed regions those of the tenant apply. Raise
    `DatasetSettingsInvalidError`, `DatasetNameTakenError`, or `FieldInvalidError` for regions, metadata fields, an
    unknown model, and pages to recognise if nothing can recognise them.
    """
    _require_settings(tenant.pk, settings)
    _check_recognition(settings)
    defaults = settings_of(tenant)
    embedding_model = embedding_model or default_model(defaults)
    check_model(tenant.pk, embedding_model, field="embedding_model")
    scale = CHARACTERS_A_TOKEN if size_unit == SizeUnit.CHARACTERS else 1
    if chunk_size is None:
        chunk_size = scale * int(defaults[CHUNK_TOKENS.key])
    if chunk_overlap is None:
        chunk_overlap = min(scale * int(defaults[CHUNK_OVERLAP_TOKENS.key]), chunk_size // 2)
    dataset = Dataset(
        tenant=tenant,
        name=name,
        chunk_size=chunk_size,
        chunk_overlap=chunk_overlap,
        size_unit=size_unit,
        parent_size=CHUNKS_A_PARENT * chunk_size if parent_size is None else parent_size,
        embedding_model=embedding_model,
        **settings,
    )
    with tenant_context(tenant):
        _save(dataset)
        _label(dataset, has_jobs=False)
        record_audit(
            action="dataset.created", target=dataset, after={**_facts(dataset), "embedding_model": embedding_model}
        )
    return dataset


def update_dataset(*, dataset: Dataset, **changes: Any) -> Dataset:
    """Change the name, description, settings or regions of a dataset.

    Settings of extraction, splitting and summaries apply to documents that are indexed later, those of searches to the
    next search. Regions apply at once to all its jobs that have not begun. A metadata field of which documents have
    values stays as it is: else raise `MetadataFieldInUseError`.
    """
    _require_settings(dataset.tenant_id, changes)
    _check_recognition(changes)
    with transaction.atomic():
        locked = lock_dataset(dataset.pk, takes_documents=False)
        before, fields = _facts(locked), locked.fields
        for name, value in changes.items():
            setattr(locked, name, value)
        _save(locked)
        _check_removed(locked, fields)
        after = _facts(locked)
        if any(before[name] != after[name] for name in _REGIONS):
            _label(locked)
        record_audit(action="dataset.updated", target=locked, before=before, after=after)
    return locked


@transaction.atomic
def archive_dataset(*, dataset_id: UUID, reason: str = "") -> Dataset:
    """Let a dataset take no documents and no re-indexing; its documents stay searchable. Return it."""
    dataset = lock_dataset(dataset_id, takes_documents=False)
    return _set_state(dataset, DatasetState.ARCHIVED, action="dataset.archived", reason=reason)


@transaction.atomic
def unarchive_dataset(*, dataset_id: UUID, reason: str = "") -> Dataset:
    """Let an archived dataset take documents again, or what is left of one that is being deleted. Return it.

    The job that deletes it ends at its next batch.
    """
    dataset = lock_dataset(dataset_id, takes_documents=False, is_kept=False)
    return _set_state(dataset, DatasetState.ACTIVE, action="dataset.unarchived", reason=reason)


def _set_state(dataset: Dataset, state: DatasetState, *, action: str, reason: str) -> Dataset:
    if dataset.state != state:
        before, dataset.state = dataset.state, state
        dataset.save(update_fields=["state"])
        record_audit(action=action, target=dataset, before={"state": before}, after={"state": state}, reason=reason)
    return dataset


def delete_dataset(*, dataset_id: UUID, reason: str = "") -> None:
    """Delete a dataset, also one that is being deleted; raise `DatasetInUseError` if it has documents."""
    with transaction.atomic():
        # The lock blocks uploads: a new document refers to the dataset's row.
        locked = first_or_raise(Dataset.every.select_for_update().filter(pk=dataset_id), DatasetNotFoundError)
        if Document.objects.filter(dataset=locked).exists():
            raise DatasetInUseError
        record_audit(action="dataset.deleted", target=locked, before=_facts(locked), reason=reason)
        remove_label(tenant_id=locked.tenant_id, subject=locked.pk)
        locked.delete()


def _check_removed(dataset: Dataset, before: Mapping[str, FieldType]) -> None:
    """Raise `MetadataFieldInUseError` if a field was removed, or got another type, and a document has a value of it."""
    kept = dataset.fields
    removed = [name for name, kind in before.items() if kept.get(name) is not kind]
    if used := Document.objects.filter(dataset=dataset, metadata__has_any_keys=removed).first() if removed else None:
        names = ", ".join(name for name in removed if name in used.metadata)
        raise MetadataFieldInUseError("Documents have values of the fields %(names)s.", {"names": names})


def check_model(tenant_id: UUID, name: str, *, field: str) -> EmbeddingModel:
    """Return a model of a tenant; raise `FieldInvalidError` for the field if there is none of that name."""
    models = list_models(tenant_id)
    if name not in models:
        detail = gettext("There is no embedding model %(model)s. There are: %(models)s.")
        raise FieldInvalidError.at(field, detail % {"model": name[:100], "models": ", ".join(models)})
    return models[name]


def _check_recognition(given: Mapping[str, Any]) -> None:
    """Raise `FieldInvalidError` if pages shall be recognised and nothing here can."""
    if given.get("max_ocr_pages") and (fault := find_fault()):
        raise FieldInvalidError.at("max_ocr_pages", fault)


def _label(dataset: Dataset, *, has_jobs: bool = True) -> None:
    """Check the dataset's regions against those of its tenant, and let its jobs follow them.

    Regions that the tenant loses later are not removed: jobs about the dataset run where both allow it.
    """
    home, allowed = dataset.home_region, dataset.allowed_regions
    check_regions(home=home, allowed=allowed)
    of_tenant = Tenant.objects.only("allowed_regions").get(pk=dataset.tenant_id).allowed_regions
    for name, regions in (("allowed_regions", allowed), ("home_region", [home] if home else [])):
        if of_tenant and (outside := [region for region in regions if region not in of_tenant]):
            detail = gettext("The tenant does not allow the regions %(regions)s; it allows %(allowed)s.")
            values = {"regions": ", ".join(outside), "allowed": ", ".join(of_tenant)}
            raise FieldInvalidError.at(name, detail % values)
    label_data(tenant_id=dataset.tenant_id, subject=dataset.pk, home=home, allowed=allowed, has_jobs=has_jobs)


def _require_settings(tenant_id: UUID, given: Mapping[str, Any]) -> None:
    """Raise TypeError for unknown settings, `SummaryModelUnknownError` for a chat model that cannot be called."""
    unknown = given.keys() - set(_SETTABLE)
    if unknown:
        raise TypeError(gettext("A dataset has no settings %(names)s.") % {"names": ", ".join(sorted(unknown))})
    if (name := given.get("summary_model")) and name not in (names := chat_model_names(tenant_id)):
        detail = gettext("No enabled endpoint has the chat model %(model)s. There are: %(models)s.")
        shown = {"model": name[:100], "models": ", ".join(names) or gettext("none")}
        raise SummaryModelUnknownError.at("summary_model", detail % shown)


def _save(dataset: Dataset) -> None:
    require_within(datasets=dataset.name)
    # A form without an entry gives None.
    dataset.metadata_fields = check_fields(dataset.metadata_fields or [])
    try:
        # The database checks uniqueness, also between two concurrent requests.
        dataset.full_clean(exclude=["tenant"], validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        errors = [
            {"field": field, "code": "settings_invalid", "detail": " ".join(messages)}
            for field, messages in error.message_dict.items()
        ]
        raise DatasetSettingsInvalidError(errors=errors) from error
    try:
        with transaction.atomic():
            dataset.save()
    except IntegrityError as error:
        if "dataset_name_unique" not in str(error):
            raise
        if Dataset.objects.filter(name=dataset.name).exclude(pk=dataset.pk).exists():
            raise DatasetNameTakenError("The dataset %(name)r already exists.", {"name": dataset.name}) from error
        raise DatasetNameTakenError(
            "The dataset %(name)r is being deleted; its name is free when its documents are removed.",
            {"name": dataset.name},
        ) from error


def _facts(dataset: Dataset) -> dict[str, Any]:
    return {name: getattr(dataset, name) for name in _SETTABLE}
