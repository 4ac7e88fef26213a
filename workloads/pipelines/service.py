"""Service that changes pipelines. Each change is one transaction with its audit entry.

Each saved definition is a version, which never changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from tenants.audit.service import record_audit
from tenants.context import current_actor, tenant_context
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant
from workloads.documents.models import Dataset
from workloads.pipelines.definition import find_faults, place_of_sources, sources_of, target_of, without_sources
from workloads.pipelines.exceptions import (
    PipelineChangedError,
    PipelineDefinitionError,
    PipelineInUseError,
    PipelineNameTakenError,
    PipelineNotFoundError,
)
from workloads.pipelines.models import OPEN_RUNS, Pipeline, PipelineVersion
from workloads.pipelines.queries import find_runs
from workloads.pipelines.secrets import check_use_of_secrets, find_secret_faults
from workloads.pipelines.sources import find_missing_files
from workloads.workflows.definition.validation import WorkflowFault
from workloads.workflows.service import bounds_of, check_size

_SETTABLE = ("name", "description")


def create_pipeline(
    *, tenant: Tenant, name: str, definition: object, description: str = "", note: str = ""
) -> Pipeline:
    """Create a pipeline with this definition as its first version.

    Raise `PipelineDefinitionError`, with each fault and its position, or `PipelineNameTakenError`.
    """
    with tenant_context(tenant):
        dataset_id = check_definition(tenant, definition)
        pipeline = Pipeline(tenant=tenant, name=name, description=description, latest_number=1)
        _save(pipeline)
        _add_version(pipeline, definition, dataset_id, note)
        record_audit(action="pipeline.created", target=pipeline, after=_facts(pipeline))
    return pipeline


def update_pipeline(*, pipeline_id: UUID, **changes: str) -> Pipeline:
    """Change the name or description of a pipeline. Its definition is changed by `save_version`."""
    unknown = changes.keys() - set(_SETTABLE)
    if unknown:
        raise TypeError(gettext("A pipeline has no fields %(names)s.") % {"names": ", ".join(sorted(unknown))})
    with transaction.atomic():
        pipeline = _lock(pipeline_id)
        before = _facts(pipeline)
        for name, value in changes.items():
            setattr(pipeline, name, value)
        _save(pipeline)
        record_audit(action="pipeline.updated", target=pipeline, before=before, after=_facts(pipeline))
    return pipeline


def save_version(
    *, pipeline_id: UUID, definition: object, note: str = "", expected_version: int | None = None
) -> PipelineVersion:
    """Save a definition as the pipeline's next version. Runs that start later use it; open runs keep their version.

    Raise `PipelineChangedError` if the latest version is not ``expected_version``, `PipelineDefinitionError` if the
    definition is invalid.
    """
    with transaction.atomic():
        pipeline = _lock(pipeline_id)
        if expected_version not in (None, pipeline.latest_number):
            raise PipelineChangedError("Version %(number)s is the latest now.", {"number": pipeline.latest_number})
        # Also in a scope of all tenants, only datasets and files of the pipeline's own tenant are valid.
        with tenant_context(pipeline.tenant_id):
            dataset_id = check_definition(pipeline.tenant_id, definition)
        before = {"version": pipeline.latest_number}
        pipeline.latest_number += 1
        pipeline.save(update_fields=["latest_number"])
        version = _add_version(pipeline, definition, dataset_id, note)
        record_audit(
            action="pipeline.version_saved",
            target=pipeline,
            before=before,
            after={"version": version.number, "note": note},
        )
    return version


def delete_pipeline(*, pipeline_id: UUID, reason: str = "") -> None:
    """Delete a pipeline with its versions and ended runs; the documents that it has loaded stay.

    Raise `PipelineInUseError` if one of its runs has not ended.
    """
    with transaction.atomic():
        pipeline = _lock(pipeline_id)
        if find_runs().filter(pipeline=pipeline, shown_state__in=[*OPEN_RUNS, "paused"]).exists():
            raise PipelineInUseError
        record_audit(action="pipeline.deleted", target=pipeline, before=_facts(pipeline), reason=reason)
        # The upkeep of files finds contents that its runs' entities referred to.
        pipeline.delete()


def check_definition(tenant: Tenant | UUID, definition: object) -> UUID:
    """Return the id of the dataset that a definition loads into; raise `PipelineDefinitionError` if it is invalid."""
    check_size(without_sources(definition), PipelineDefinitionError)
    if not (faults := find_faults(definition, bounds_of(tenant))):
        assert isinstance(definition, Mapping)
        sources, place = sources_of(definition), place_of_sources(definition)
        if not (faults := find_secret_faults(sources, place)):
            check_use_of_secrets(definition)
            faults = find_missing_files(sources, place)
            named, where = target_of(definition)
            dataset = _find_dataset(named)
            if dataset is None:
                faults.append(WorkflowFault("not_found", where, gettext("There is no such dataset.")))
            elif not faults:
                return dataset.pk
    raise PipelineDefinitionError(errors=[fault.describe() for fault in faults])


def _find_dataset(named: str) -> Dataset | None:
    """Return a dataset by id or by name; an id takes precedence over an equal name."""
    try:
        by_id: Dataset | None = Dataset.objects.filter(pk=UUID(named)).first()
    except ValueError:
        by_id = None
    return by_id or Dataset.objects.filter(name=named).first()


def _add_version(pipeline: Pipeline, definition: Any, dataset_id: UUID, note: str) -> PipelineVersion:
    version = PipelineVersion(
        tenant_id=pipeline.tenant_id,
        pipeline=pipeline,
        number=pipeline.latest_number,
        definition=definition,
        dataset_id=dataset_id,
        note=note,
        created_by=current_actor().label[:200],
    )
    version.save(force_insert=True)
    return version


def _save(pipeline: Pipeline) -> None:
    try:
        # The database checks uniqueness, also between two concurrent requests.
        pipeline.full_clean(exclude=["tenant"], validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        raise FieldInvalidError(" ".join(error.messages)) from error
    try:
        with transaction.atomic():
            pipeline.save()
    except IntegrityError as error:
        if "pipeline_name_unique" not in str(error):
            raise
        raise PipelineNameTakenError("The pipeline %(name)r already exists.", {"name": pipeline.name}) from error


def _lock(pipeline_id: UUID) -> Pipeline:
    return first_or_raise(Pipeline.objects.select_for_update().filter(pk=pipeline_id), PipelineNotFoundError)


def _facts(pipeline: Pipeline) -> dict[str, str | int]:
    return {"name": pipeline.name, "description": pipeline.description, "version": pipeline.latest_number}
