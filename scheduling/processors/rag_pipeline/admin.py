"""Pipelines in the console: edit, run, watch, try again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from scheduling.processors.rag_pipeline.forms import PipelineForm
from scheduling.processors.rag_pipeline.models import Pipeline, PipelineEntity, PipelineRun, PipelineVersion
from scheduling.processors.rag_pipeline.runs import retry_entity, start_run
from scheduling.processors.rag_pipeline.selectors import (
    RETRYABLE_STATES,
    SHOWN_ENTITY_STATES,
    SHOWN_RUN_STATES,
    find_entities,
    find_runs,
)
from scheduling.processors.rag_pipeline.services import (
    create_pipeline,
    delete_pipeline,
    save_version,
    update_pipeline,
)
from tenants.admin.base import ReadOnlyAdmin, TenantScopedAdmin
from tenants.admin.post_actions import post_action
from tenants.models import Tenant
from tenants.permissions import Permission

NEWEST_RUNS = 10
SHOWN_ENTITIES = 200


class _ShownStateFilter(admin.SimpleListFilter):
    """By what a reader is told, which may be the job's word."""

    title, parameter_name = "state", "state"
    states: tuple[str, ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(state, state) for state in self.states]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(shown_state=self.value()) if self.value() in self.states else queryset


class RunStateFilter(_ShownStateFilter):
    states = tuple(SHOWN_RUN_STATES)


class EntityStateFilter(_ShownStateFilter):
    states = tuple(SHOWN_ENTITY_STATES)


@admin.register(Pipeline)
class PipelineAdmin(TenantScopedAdmin):
    """Pipelines; saving another definition makes the next version."""

    view_permission = Permission.PIPELINES_VIEW
    add_permission = change_permission = Permission.PIPELINES_MANAGE
    form = PipelineForm
    list_display = ("name", "description", "latest_number", "created_at")
    search_fields = ("name",)
    ordering = ("-id",)
    post_actions = ("run", "run_first", "delete")
    change_form_before_template = "rag_pipeline/admin/pipeline_runs.html"

    def get_fields(self, request: HttpRequest, obj: Pipeline | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return ("name", "description", "latest_number", "shown_definition")
        fields = ("name", "description", "definition", "note")
        if obj is not None:
            return (*fields, "latest_number")
        return fields if self.access(request).tenant is not None else ("tenant", *fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Pipeline | None = None) -> Any:
        return ("latest_number", "shown_definition") if obj is not None else ()

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, **kwargs)
        form.own_tenant = obj.tenant if obj is not None else self.access(request).tenant
        return form

    def save_model(self, request: HttpRequest, obj: Pipeline, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        values = form.cleaned_data
        if not change:
            tenant = self.access(request).tenant or values["tenant"]
            given = {name: values[name] for name in ("name", "description", "definition", "note")}
            obj.pk = create_pipeline(tenant=tenant, **given).pk
            return
        changes = {name: values[name] for name in ("name", "description") if name in form.changed_data}
        if changes:
            update_pipeline(pipeline_id=obj.pk, **changes)
        if "definition" in form.changed_data:
            save_version(pipeline_id=obj.pk, definition=values["definition"], note=values["note"])

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        pipeline = context.get("original")
        if pipeline is not None:
            context["pipeline_runs"] = list(find_runs().filter(pipeline=pipeline).order_by("-id")[:NEWEST_RUNS])
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="Definition")
    def shown_definition(self, pipeline: Pipeline) -> SafeString:
        version = PipelineVersion.objects.filter(pipeline=pipeline, number=pipeline.latest_number).first()
        return _as_json(version.definition if version else {})

    @post_action(label="Run", permission=Permission.PIPELINES_MANAGE)
    def run(self, request: HttpRequest, pipeline: Pipeline, reason: str) -> HttpResponse:
        return self._start(request, pipeline, has_priority=False)

    @post_action(label="Run with priority", permission=Permission.PIPELINES_MANAGE)
    def run_first(self, request: HttpRequest, pipeline: Pipeline, reason: str) -> HttpResponse:
        return self._start(request, pipeline, has_priority=True)

    @post_action(label="Delete", permission=Permission.PIPELINES_MANAGE, asks_reason=True, is_danger=True)
    def delete(self, request: HttpRequest, pipeline: Pipeline, reason: str) -> HttpResponse:
        delete_pipeline(pipeline_id=pipeline.pk, reason=reason)
        self.message_user(request, f"{pipeline} is deleted with its runs; the documents that it loaded stay.")
        return HttpResponseRedirect(reverse("admin:rag_pipeline_pipeline_changelist"))

    def _start(self, request: HttpRequest, pipeline: Pipeline, *, has_priority: bool) -> HttpResponse:
        tenant = Tenant.objects.select_related("plan").get(pk=pipeline.tenant_id)
        is_rated = self.access(request).platform_role is None
        run = start_run(tenant=tenant, pipeline_id=pipeline.pk, has_priority=has_priority, is_rated=is_rated)
        self.message_user(request, f"{pipeline} runs; this is how far it is.")
        return HttpResponseRedirect(reverse("admin:rag_pipeline_pipelinerun_change", args=[run.pk]))


@admin.register(PipelineVersion)
class PipelineVersionAdmin(ReadOnlyAdmin):
    """Definitions as they were saved."""

    view_permission = Permission.PIPELINES_VIEW
    list_display = ("number", "pipeline", "note", "created_by", "created_at")
    list_select_related = ("pipeline",)
    search_fields = ("pipeline__name",)
    fields = ("pipeline", "number", "note", "created_by", "created_at", "shown_definition")
    readonly_fields = ("shown_definition",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("pipeline")

    @admin.display(description="Definition")
    def shown_definition(self, version: PipelineVersion) -> SafeString:
        return _as_json(version.definition)


@admin.register(PipelineRun)
class PipelineRunAdmin(ReadOnlyAdmin):
    """Runs with their entities; each entity is tried again on its own."""

    view_permission = Permission.PIPELINES_VIEW
    list_display = ("id", "pipeline", "number", "shown_state", "progress", "created_at")
    list_filter = (RunStateFilter,)
    search_fields = ("pipeline__name",)
    readonly_fields = ("number", "shown_state", "progress", "shown_error", "job")
    fields = ("pipeline", *readonly_fields, "created_at", "started_at", "ended_at")
    change_form_outer_after_template = "rag_pipeline/admin/run_entities.html"
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        runs = find_runs()
        return runs.select_related("version", "pipeline", "tenant") if self.access(request).sees_all_tenants else runs

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        run = context.get("original")
        if run is not None:
            entities = list(find_entities().filter(run=run).order_by("position")[: SHOWN_ENTITIES + 1])
            context["run_entities"] = entities[:SHOWN_ENTITIES]
            context["has_more_entities"] = len(entities) > SHOWN_ENTITIES
            context["retryable_states"] = RETRYABLE_STATES
            context["may_retry"] = self.access(request).may(Permission.PIPELINES_MANAGE)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="Version")
    def number(self, run: PipelineRun) -> int:
        return run.version.number

    @admin.display(description="State", ordering="shown_state")
    def shown_state(self, run: Any) -> str:
        return str(run.shown_state)

    @admin.display(description="Entities")
    def progress(self, run: PipelineRun) -> str:
        ended = run.entities_completed + run.entities_error + run.entities_cancelled
        errors = f", {run.entities_error} in error" if run.entities_error else ""
        return f"{ended} / {run.entities_total}{errors}"

    @admin.display(description="Error")
    def shown_error(self, run: Any) -> str:
        return _error_of(run)

    @admin.display(description="Job")
    def job(self, run: PipelineRun) -> SafeString | str:
        return _job_link(run)


@admin.register(PipelineEntity)
class PipelineEntityAdmin(ReadOnlyAdmin):
    """Entities of all runs, to look at and to try again."""

    view_permission = Permission.PIPELINES_VIEW
    list_display = ("name", "source_type", "shown_state", "chunks", "attempt", "error_code", "created_at")
    list_filter = (EntityStateFilter,)
    search_fields = ("name",)
    fields = (
        "name",
        "source_type",
        "run",
        "shown_state",
        "attempt",
        "chunks",
        "document_id",
        "is_duplicate",
        "shown_error",
        "job",
        "started_at",
        "ended_at",
    )
    readonly_fields = ("source_type", "shown_state", "chunks", "shown_error", "job")
    post_actions = ("retry",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        entities = find_entities()
        return entities.select_related("tenant") if self.access(request).sees_all_tenants else entities

    @admin.display(description="Source")
    def source_type(self, entity: Any) -> str:
        return str(entity.source_type)

    @admin.display(description="State", ordering="shown_state")
    def shown_state(self, entity: Any) -> str:
        return str(entity.shown_state)

    @admin.display(description="Chunks")
    def chunks(self, entity: PipelineEntity) -> str:
        total = "?" if entity.chunks_total is None else entity.chunks_total
        return f"{entity.chunks_done} / {total}"

    @admin.display(description="Error")
    def shown_error(self, entity: Any) -> str:
        return _error_of(entity)

    @admin.display(description="Job")
    def job(self, entity: PipelineEntity) -> SafeString | str:
        return _job_link(entity)

    @post_action(
        label="Retry",
        permission=Permission.PIPELINES_MANAGE,
        asks_reason=True,
        is_offered=lambda entity: entity.shown_state in RETRYABLE_STATES,
    )
    def retry(self, request: HttpRequest, entity: PipelineEntity, reason: str) -> HttpResponse:
        is_rated = self.access(request).platform_role is None
        retry_entity(entity_id=entity.pk, reason=reason, is_rated=is_rated)
        self.message_user(request, f"{entity} is tried again.")
        return HttpResponseRedirect(reverse("admin:rag_pipeline_pipelinerun_change", args=[entity.run_id]))


def _error_of(row: Any) -> str:
    return f"{row.shown_error_code}: {row.shown_error_message}" if row.shown_error_code else "–"


def _job_link(row: Any) -> SafeString | str:
    try:
        url = reverse("admin:scheduling_job_change", args=[row.job_id])
    except NoReverseMatch:  # a console without the scheduler's pages
        return str(row.job_id)
    return format_html('<a class="console-link" href="{}">{}</a>', url, row.job_id)


def _as_json(value: Any) -> SafeString:
    return format_html('<pre class="console-code">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))
