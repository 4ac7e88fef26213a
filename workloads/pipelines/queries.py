"""Queries of pipelines, runs and entities. The stored states are combined with the states of their jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from tenants.database.ids import uuid7_floor
from tenants.database.reads import first_or_raise
from workloads.job_outcome import CANCELLED, DEAD_STATES, FAILED_STATES, SUSPENDED, error_code, error_message, with_job
from workloads.pipelines.exceptions import (
    EntityNotFoundError,
    PipelineNotFoundError,
    PipelineRunNotFoundError,
    PipelineVersionNotFoundError,
)
from workloads.pipelines.models import (
    OPEN_ENTITIES,
    OPEN_RUNS,
    EntityState,
    Pipeline,
    PipelineEntity,
    PipelineRun,
    PipelineRunState,
    PipelineVersion,
)

PAUSED = gettext_noop("paused")
SHOWN_RUN_STATES = [*PipelineRunState.values, PAUSED]
SHOWN_ENTITY_STATES = EntityState.values
RETRYABLE_STATES = (EntityState.ERROR.value, EntityState.CANCELLED.value)


def get_pipeline(pipeline_id: UUID) -> Pipeline:
    """Return one pipeline of the current scope; raise `PipelineNotFoundError` if there is none."""
    return first_or_raise(Pipeline.objects.filter(pk=pipeline_id), PipelineNotFoundError)


def find_versions(pipeline_id: UUID) -> QuerySet[PipelineVersion]:
    """Return a queryset of a pipeline's versions.

    Raise `PipelineNotFoundError` if the current scope has no such pipeline.
    """
    versions: QuerySet[PipelineVersion] = PipelineVersion.objects.filter(pipeline=get_pipeline(pipeline_id))
    return versions


def get_version(pipeline_id: UUID, number: int) -> PipelineVersion:
    """Return the version of a pipeline with that number; raise `PipelineVersionNotFoundError` if there is none."""
    return first_or_raise(find_versions(pipeline_id).filter(number=number), PipelineVersionNotFoundError)


def find_runs() -> QuerySet[Any]:
    """Return a queryset of the current scope's runs, annotated with ``shown_state`` and the shown error.

    A job can end without running its code (cancelled, crashed, timed out); its run is then shown as ended, even before
    upkeep closes it. The annotations read the job's state each time, so they are never out of date. Those of the error
    are ``shown_error_code`` and ``shown_error_message``.
    """
    runs: QuerySet[Any] = PipelineRun.objects.select_related("version", "pipeline")
    is_open = Q(state__in=OPEN_RUNS)
    is_dead = is_open & Q(job_state__in=DEAD_STATES)
    shown: QuerySet[Any] = with_job(runs).annotate(
        shown_state=Case(
            When(is_open & Q(job_state=CANCELLED), then=Value(PipelineRunState.CANCELLED.value)),
            When(is_open & Q(job_state__in=FAILED_STATES), then=Value(PipelineRunState.FAILED.value)),
            When(is_open & Q(job_state=SUSPENDED), then=Value(PAUSED)),
            default=F("state"),
            output_field=CharField(),
        ),
        shown_error_code=error_code(is_dead),
        shown_error_message=error_message(is_dead, owner="id"),
    )
    return shown


def get_run(run_id: UUID) -> Any:
    """Return one run of the current scope, annotated as by `find_runs`.

    Raise `PipelineRunNotFoundError` if there is none.
    """
    return first_or_raise(find_runs().filter(pk=run_id), PipelineRunNotFoundError)


def find_run_page(job: Any) -> tuple[str, str] | None:
    """Return title and address of the page of the run that a job executes; None for the job of one retried entity."""
    # A run's id is made just before its job, so that the primary key finds it without an index of jobs.
    since = uuid7_floor(job.created_at - timedelta(minutes=5))
    ids = PipelineRun.objects.filter(tenant_id=job.tenant_id, id__gte=since, id__lt=job.pk, job_id=job.pk)
    run_id = ids.values_list("id", flat=True).first()
    if run_id is None:
        return None
    return gettext("Pipeline run"), reverse("admin:rag_pipeline_pipelinerun_change", args=[run_id])


def find_entities() -> QuerySet[Any]:
    """Return a queryset of the current scope's entities, annotated as by `find_runs`.

    It defers the entities' sources, which may be whole texts.
    """
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
    """Return one entity of the current scope, annotated as by `find_entities`.

    Raise `EntityNotFoundError` if there is none.
    """
    return first_or_raise(find_entities().filter(pk=entity_id), EntityNotFoundError)
