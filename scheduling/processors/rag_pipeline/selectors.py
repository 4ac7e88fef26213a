"""Pipelines, runs and entities as their readers see them: what was written, and how the jobs behind them stand."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Case, CharField, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from scheduling.processors.rag_pipeline.exceptions import (
    EntityNotFoundError,
    PipelineNotFoundError,
    RunNotFoundError,
    VersionNotFoundError,
)
from scheduling.processors.rag_pipeline.models import (
    OPEN_ENTITIES,
    OPEN_RUNS,
    EntityState,
    Pipeline,
    PipelineEntity,
    PipelineRun,
    PipelineVersion,
    RunState,
)

PAUSED = "paused"
SHOWN_RUN_STATES = [*RunState.values, PAUSED]
SHOWN_ENTITY_STATES = EntityState.values
RETRYABLE_STATES = (EntityState.ERROR.value, EntityState.CANCELLED.value)
_FAILED_JOBS = ("discarded", "quarantined")
_REASONS = {
    "cancelled": "The job was cancelled.",
    "discarded": "The job failed.",
    "quarantined": "The job crashed its workers.",
}


def get_pipeline(pipeline_id: UUID) -> Pipeline:
    """One pipeline of the current scope, else PipelineNotFoundError."""
    pipeline: Pipeline | None = Pipeline.objects.filter(pk=pipeline_id).first()
    if pipeline is None:
        raise PipelineNotFoundError
    return pipeline


def find_versions(pipeline_id: UUID) -> QuerySet[PipelineVersion]:
    """The versions of a pipeline of the current scope, else PipelineNotFoundError."""
    versions: QuerySet[PipelineVersion] = PipelineVersion.objects.filter(pipeline=get_pipeline(pipeline_id))
    return versions


def get_version(pipeline_id: UUID, number: int) -> PipelineVersion:
    """One version of a pipeline, else VersionNotFoundError."""
    version = find_versions(pipeline_id).filter(number=number).first()
    if version is None:
        raise VersionNotFoundError
    return version


def find_runs() -> QuerySet[Any]:
    """The runs of the current scope with ``shown_state``, ``shown_error_code`` and ``shown_error_message``.

    A job can end where none of its code runs (cancelled, crashed, out of time): its run is over then, whatever the row
    says until upkeep closes it. Asked of the job at each read, this can never be out of date.
    """
    runs: QuerySet[Any] = PipelineRun.objects.select_related("version", "pipeline")
    is_open = Q(state__in=OPEN_RUNS)
    is_dead = is_open & Q(job_state__in=_REASONS)
    shown: QuerySet[Any] = _with_job(runs).annotate(
        shown_state=Case(
            When(is_open & Q(job_state="cancelled"), then=Value(RunState.CANCELLED.value)),
            When(is_open & Q(job_state__in=_FAILED_JOBS), then=Value(RunState.FAILED.value)),
            When(is_open & Q(job_state="suspended"), then=Value(PAUSED)),
            default=F("state"),
            output_field=CharField(),
        ),
        shown_error_code=_error_code(is_dead),
        shown_error_message=_error_message(is_dead),
    )
    return shown


def get_run(run_id: UUID) -> Any:
    """One run of the current scope as :func:`find_runs` gives it, else RunNotFoundError."""
    run = find_runs().filter(pk=run_id).first()
    if run is None:
        raise RunNotFoundError
    return run


def find_entities() -> QuerySet[Any]:
    """The entities of the current scope, likewise; their sources, which may be whole texts, are left out."""
    entities: QuerySet[Any] = PipelineEntity.objects.defer("source")
    is_open = Q(state__in=OPEN_ENTITIES)
    is_dead = is_open & Q(job_state__in=_REASONS)
    shown: QuerySet[Any] = _with_job(entities).annotate(
        source_type=F("source__type"),
        shown_state=Case(
            When(is_open & Q(job_state="cancelled"), then=Value(EntityState.CANCELLED.value)),
            When(is_open & Q(job_state__in=_FAILED_JOBS), then=Value(EntityState.ERROR.value)),
            default=F("state"),
            output_field=CharField(),
        ),
        shown_error_code=_error_code(is_dead),
        shown_error_message=_error_message(is_dead),
    )
    return shown


def get_entity(entity_id: UUID) -> Any:
    """One entity of the current scope as :func:`find_entities` gives it, else EntityNotFoundError."""
    entity = find_entities().filter(pk=entity_id).first()
    if entity is None:
        raise EntityNotFoundError
    return entity


def _with_job(rows: QuerySet[Any]) -> QuerySet[Any]:
    # By name, for a plug-in imports no models of the scheduler.
    jobs = apps.get_model("scheduling", "Job").objects.filter(pk=OuterRef("job_id"))
    annotated: QuerySet[Any] = rows.annotate(
        job_state=Subquery(jobs.values("state")[:1]),
        job_error_type=Subquery(jobs.values("error_type")[:1]),
        job_error_message=Subquery(jobs.values("error_message")[:1]),
    )
    return annotated


def _error_code(is_dead: Q) -> Case:
    return Case(
        When(is_dead, then=Coalesce(NullIf("job_error_type", Value("")), F("job_state"))),
        default=F("error_code"),
        output_field=CharField(),
    )


def _error_message(is_dead: Q) -> Case:
    reasons = [When(job_state=state, then=Value(reason)) for state, reason in _REASONS.items()]
    reason = Case(*reasons, default=Value(""), output_field=CharField())
    return Case(
        When(is_dead, then=Coalesce(NullIf("job_error_message", Value("")), reason)),
        default=F("error_message"),
        output_field=CharField(),
    )
