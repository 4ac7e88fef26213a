"""Pipelines, runs and entities as their readers see them: what was written, and how the jobs behind them stand."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.utils.translation import gettext_noop

from workloads.job_outcome import CANCELLED, DEAD_STATES, FAILED_STATES, SUSPENDED, error_code, error_message, with_job
from workloads.pipelines.exceptions import (
    EntityNotFoundError,
    PipelineNotFoundError,
    RunNotFoundError,
    VersionNotFoundError,
)
from workloads.pipelines.models import (
    OPEN_ENTITIES,
    OPEN_RUNS,
    EntityState,
    Pipeline,
    PipelineEntity,
    PipelineRun,
    PipelineVersion,
    RunState,
)

PAUSED = gettext_noop("paused")
SHOWN_RUN_STATES = [*RunState.values, PAUSED]
SHOWN_ENTITY_STATES = EntityState.values
RETRYABLE_STATES = (EntityState.ERROR.value, EntityState.CANCELLED.value)


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
    is_dead = is_open & Q(job_state__in=DEAD_STATES)
    shown: QuerySet[Any] = with_job(runs).annotate(
        shown_state=Case(
            When(is_open & Q(job_state=CANCELLED), then=Value(RunState.CANCELLED.value)),
            When(is_open & Q(job_state__in=FAILED_STATES), then=Value(RunState.FAILED.value)),
            When(is_open & Q(job_state=SUSPENDED), then=Value(PAUSED)),
            default=F("state"),
            output_field=CharField(),
        ),
        shown_error_code=error_code(is_dead),
        shown_error_message=error_message(is_dead),
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
    is_dead = is_open & Q(job_state__in=DEAD_STATES)
    shown: QuerySet[Any] = with_job(entities).annotate(
        source_type=F("source__type"),
        shown_state=Case(
            When(is_open & Q(job_state=CANCELLED), then=Value(EntityState.CANCELLED.value)),
            When(is_open & Q(job_state__in=FAILED_STATES), then=Value(EntityState.ERROR.value)),
            default=F("state"),
            output_field=CharField(),
        ),
        shown_error_code=error_code(is_dead),
        shown_error_message=error_message(is_dead),
    )
    return shown


def get_entity(entity_id: UUID) -> Any:
    """One entity of the current scope as :func:`find_entities` gives it, else EntityNotFoundError."""
    entity = find_entities().filter(pk=entity_id).first()
    if entity is None:
        raise EntityNotFoundError
    return entity
