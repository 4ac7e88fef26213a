"""Services that start runs and retry single entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import transaction

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.ids import uuid7
from tenants.database.reads import first_or_raise
from tenants.limits.usage import check_room
from tenants.models import Tenant
from tenants.translation import LocalizableText
from workloads.documents.batch_limit import check_batch_limit
from workloads.documents.limits import VECTOR_CHUNKS
from workloads.pipelines.definition import find_source_faults, sources_of
from workloads.pipelines.exceptions import (
    EntityNotFoundError,
    EntityNotRetryableError,
    PipelineNotFoundError,
    PipelineVersionNotFoundError,
    SourcesInvalidError,
    SourcesMissingError,
)
from workloads.pipelines.models import (
    EntityState,
    Pipeline,
    PipelineEntity,
    PipelineRun,
    PipelineRunState,
    PipelineVersion,
)
from workloads.pipelines.processor import RagPipeline
from workloads.pipelines.queries import RETRYABLE_STATES, find_entities
from workloads.pipelines.recording import inputs_of, save_first_record
from workloads.pipelines.secrets import check_use_of_secrets, find_secret_faults
from workloads.pipelines.sources import find_missing_files, hold_files, new_entities

PRIORITY_QUEUE = "priority_pipeline"


def start_run(
    *,
    tenant: Tenant,
    pipeline_id: UUID,
    number: int | None = None,
    sources: Sequence[Mapping[str, Any]] | None = None,
    has_priority: bool = False,
    is_rate_limited: bool = False,
) -> PipelineRun:
    """Start a run of a pipeline's version (None: the latest), over the given sources or those in its definition.

    Raise `PipelineNotFoundError`, `PipelineVersionNotFoundError`, `SourcesInvalidError`, `SourcesMissingError`,
    `BatchTooLargeError`, `SpaceExceededError`, or the errors of `submit_job`; then nothing is stored.
    """
    with tenant_context(tenant):
        version = _find_version(pipeline_id, number)
        if sources is not None:
            if faults := find_source_faults(sources) or find_secret_faults(sources):
                raise SourcesInvalidError(errors=[fault.describe() for fault in faults])
            check_use_of_secrets(sources)
        given = sources_of(version.definition) if sources is None else sources
        if not given:
            raise SourcesMissingError
        hold_files(given)
        if missing := find_missing_files(given, "/sources"):
            raise SourcesInvalidError(errors=[fault.describe() for fault in missing])
        check_batch_limit(tenant, len(given))
        check_room(tenant_id=tenant.pk, limit=VECTOR_CHUNKS)
        return _begin(tenant, version, given, has_priority=has_priority, is_rate_limited=is_rate_limited)


@transaction.atomic
def retry_entity(*, entity_id: UUID, reason: str = "", is_rate_limited: bool = False) -> PipelineEntity:
    """Retry one entity that is in error or was cancelled, in a new job whose parent is the entity's last job.

    The run continues and ends again; its other entities are not changed. Raise `EntityNotFoundError` or
    `EntityNotRetryableError`.
    """
    found = first_or_raise(find_entities().filter(pk=entity_id).values_list("run_id", "tenant_id"), EntityNotFoundError)
    run_id, tenant_id = found
    # The run first, in the lock order of the code that ends it.
    run = PipelineRun.objects.select_for_update(no_key=True).get(pk=run_id)
    entity: Any = find_entities().select_for_update(no_key=True, of=("self",)).get(pk=entity_id)
    if entity.shown_state not in RETRYABLE_STATES:
        raise EntityNotRetryableError("The entity is %(state)s.", {"state": LocalizableText(entity.shown_state)})
    tenant = Tenant.objects.select_related("plan").get(pk=tenant_id)
    # By name: a plug-in imports no models of the scheduler.
    before = apps.get_model("scheduling", "Job").objects.filter(pk=entity.job_id).first()
    payload = {"run_id": str(run_id), "entity_id": str(entity_id)}
    with suppress_nested_entries():
        request = JobRequest(kind=RagPipeline.kind, payload=payload)
        job = submit_job(tenant=tenant, request=request, parent=before, is_rate_limited=is_rate_limited).job
    entity.job_id, entity.state, entity.attempt, entity.ended_at = job.pk, EntityState.WAITING, 0, None
    # The text of the error is sealed for the job that had it.
    entity.error_code = entity.error_message = ""
    entity.save(update_fields=["job_id", "state", "attempt", "ended_at", "error_code", "error_message"])
    with tenant_context(tenant):
        save_first_record(run.version, job.pk, inputs_of(run_id, entity.pk, 1))
    run.state, run.ended_at = PipelineRunState.RUNNING, None
    run.save(update_fields=["state", "ended_at"])
    record_audit(action="pipeline_entity.retried", target=entity, after={"job": str(job.pk)}, reason=reason)
    return entity  # type: ignore[no-any-return] # find_entities adds to it what no model has


def _find_version(pipeline_id: UUID, number: int | None) -> PipelineVersion:
    pipeline: Pipeline = first_or_raise(Pipeline.objects.filter(pk=pipeline_id), PipelineNotFoundError)
    versions = PipelineVersion.objects.select_related("pipeline")
    return first_or_raise(
        versions.filter(pipeline=pipeline, number=pipeline.latest_number if number is None else number),
        PipelineVersionNotFoundError("The pipeline has no version %(number)s.", {"number": number}),
    )


def _begin(
    tenant: Tenant,
    version: PipelineVersion,
    sources: Sequence[Mapping[str, Any]],
    *,
    has_priority: bool,
    is_rate_limited: bool,
) -> PipelineRun:
    run_id = uuid7()
    request = JobRequest(
        kind=RagPipeline.kind,
        payload={"run_id": str(run_id)},
        queue=PRIORITY_QUEUE if has_priority else None,
        # The run is stored after its job, so the kind cannot find its dataset.
        subject=version.dataset_id,
    )
    with suppress_nested_entries():
        job = submit_job(tenant=tenant, request=request, is_rate_limited=is_rate_limited).job
    run = PipelineRun(
        id=run_id,
        tenant=tenant,
        pipeline=version.pipeline,
        version=version,
        job_id=job.pk,
        entities_total=len(sources),
    )
    run.save(force_insert=True)
    save_first_record(version, job.pk, inputs_of(run_id, None, len(sources)))
    PipelineEntity.objects.bulk_create(new_entities(run, sources))
    record_audit(
        action="pipeline.run_started",
        target=version.pipeline,
        after={"run": str(run_id), "version": version.number, "entities": len(sources), "job": str(job.pk)},
    )
    return run
