"""Admin pages of pipeline runs and of their entities, each of which can be retried alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin
from tenants.console.polled_parts import etag_of, part_response
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.database.reads import first_or_raise
from workloads.pipelines.models import OPEN_RUNS, PipelineEntity, PipelineRun
from workloads.pipelines.queries import (
    RETRYABLE_STATES,
    SHOWN_ENTITY_STATES,
    SHOWN_RUN_STATES,
    find_entities,
    find_runs,
)
from workloads.pipelines.runs import retry_entity

SHOWN_ENTITIES = 200


class _ShownStateFilter(admin.SimpleListFilter):
    """Filter by the state that is shown, which can come from the job."""

    title, parameter_name = gettext_lazy("state"), "state"
    states: tuple[str, ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(state, gettext(state)) for state in self.states]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(shown_state=self.value()) if self.value() in self.states else queryset


class RunStateFilter(_ShownStateFilter):
    states = tuple(SHOWN_RUN_STATES)


class EntityStateFilter(_ShownStateFilter):
    states = tuple(SHOWN_ENTITY_STATES)


@admin.register(PipelineRun, site=console_site)
class PipelineRunAdmin(ReadOnlyAdmin):
    """Admin page of pipeline runs with their entities."""

    empty_title = gettext_lazy("No pipeline runs yet")
    empty_text = gettext_lazy("Run a pipeline from its page; each run appears here with its progress.")
    view_permission = Permission.PIPELINES_VIEW
    is_named_by_id = True
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

    def get_urls(self) -> list[URLPattern]:
        part = self.guard(require_safe(self.part_view), Permission.PIPELINES_VIEW)
        return [path("<uuid:pk>/part/", part, name="rag_pipeline_pipelinerun_part"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        run = context.get("original")
        if run is not None:
            body = _render_entities(request, run)
            context |= {"body": body, "body_etag": etag_of(body), "goes_on": run.shown_state in OPEN_RUNS}
        return super().render_change_form(request, context, *args, **kwargs)

    def part_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Return the HTML of the part of the page that changes while the run continues, or 304 if it is the same."""
        run = first_or_raise(self.get_queryset(request).filter(pk=pk), Http404)
        return part_response(request, _render_entities(request, run))

    @admin.display(description=gettext_lazy("Version"))
    def number(self, run: PipelineRun) -> int:
        return run.version.number

    @admin.display(description=gettext_lazy("State"), ordering="shown_state")
    def shown_state(self, run: Any) -> str:
        return gettext(run.shown_state)

    @admin.display(description=gettext_lazy("Entities"))
    def progress(self, run: PipelineRun) -> str:
        ended = run.entities_completed + run.entities_error + run.entities_cancelled
        errors = gettext(", %(count)s in error") % {"count": run.entities_error} if run.entities_error else ""
        return f"{ended} / {run.entities_total}{errors}"

    @admin.display(description=gettext_lazy("Error"))
    def shown_error(self, run: Any) -> str:
        return _error_of(run)

    @admin.display(description=gettext_lazy("Job"))
    def job(self, run: PipelineRun) -> SafeString | str:
        return _job_link(run)


@admin.register(PipelineEntity, site=console_site)
class PipelineEntityAdmin(ReadOnlyAdmin):
    """Admin page of the entities of all runs. An entity in error or cancelled can be retried alone."""

    empty_title = gettext_lazy("No entities yet")
    empty_text = gettext_lazy("A run creates an entity for each of its sources. Run a pipeline from its page.")
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

    @admin.display(description=gettext_lazy("Source"))
    def source_type(self, entity: Any) -> str:
        return str(entity.source_type)

    @admin.display(description=gettext_lazy("State"), ordering="shown_state")
    def shown_state(self, entity: Any) -> str:
        return gettext(entity.shown_state)

    @admin.display(description=gettext_lazy("Chunks"))
    def chunks(self, entity: PipelineEntity) -> str:
        total = "?" if entity.chunks_total is None else entity.chunks_total
        return f"{entity.chunks_done} / {total}"

    @admin.display(description=gettext_lazy("Error"))
    def shown_error(self, entity: Any) -> str:
        return _error_of(entity)

    @admin.display(description=gettext_lazy("Job"))
    def job(self, entity: PipelineEntity) -> SafeString | str:
        return _job_link(entity)

    @post_action(
        label=gettext_lazy("Retry"),
        consequence=gettext_lazy("The entity is processed again by a new job."),
        permission=Permission.PIPELINES_MANAGE,
        asks_reason=True,
        is_offered=lambda entity: entity.shown_state in RETRYABLE_STATES,
    )
    def retry(self, request: HttpRequest, entity: PipelineEntity, reason: str) -> HttpResponse:
        is_rate_limited = self.access(request).platform_role is None
        retry_entity(entity_id=entity.pk, reason=reason, is_rate_limited=is_rate_limited)
        self.message_user(request, gettext("%(entity)s is retried.") % {"entity": entity})
        return HttpResponseRedirect(reverse("admin:rag_pipeline_pipelinerun_change", args=[entity.run_id]))


def _render_entities(request: HttpRequest, run: Any) -> str:
    entities = list(find_entities().filter(run_id=run.pk).order_by("position")[: SHOWN_ENTITIES + 1])
    ended = run.entities_completed + run.entities_error + run.entities_cancelled
    context = {
        "run": run,
        "entities": entities[:SHOWN_ENTITIES],
        "has_more": len(entities) > SHOWN_ENTITIES,
        "ended": ended,
        "percent": round(100 * ended / run.entities_total),
        "retryable_states": RETRYABLE_STATES,
        "may_retry": access_of(request).may(Permission.PIPELINES_MANAGE),
    }
    return render_to_string("rag_pipeline/admin/run_entities_body.html", context, request)


def _error_of(row: Any) -> str:
    return f"{row.shown_error_code}: {row.shown_error_message}" if row.shown_error_code else "–"


def _job_link(row: Any) -> SafeString | str:
    try:
        url = reverse("admin:scheduling_job_change", args=[row.job_id])
    except NoReverseMatch:  # a console without the scheduler's pages
        return str(row.job_id)
    return format_html('<a class="console-link" href="{}">{}</a>', url, row.job_id)
