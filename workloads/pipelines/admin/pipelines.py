"""Admin pages of pipelines and their versions. Definitions are edited as JSON; a button starts a run."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy

from tenants.access.permissions import Permission
from tenants.console.base import ReadOnlyAdmin, TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.models import Tenant
from workloads.pipelines.forms import PipelineForm
from workloads.pipelines.models import Pipeline, PipelineVersion
from workloads.pipelines.queries import find_runs
from workloads.pipelines.runs import start_run
from workloads.pipelines.service import create_pipeline, delete_pipeline, save_version, update_pipeline

NEWEST_RUNS = 10


@admin.register(Pipeline, site=console_site)
class PipelineAdmin(TenantScopedAdmin):
    """Admin page of pipelines. A changed definition is saved as the pipeline's next version."""

    empty_title = gettext_lazy("No pipelines yet")
    empty_text = gettext_lazy("A pipeline loads, splits and indexes its sources. Add one above, then run it.")
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

    def save_model(self, request: HttpRequest, obj: Pipeline, form: Any, change: bool) -> None:
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

    @admin.display(description=gettext_lazy("Definition"))
    def shown_definition(self, pipeline: Pipeline) -> SafeString:
        version = PipelineVersion.objects.filter(pipeline=pipeline, number=pipeline.latest_number).first()
        return _as_json(version.definition if version else {})

    @post_action(label=gettext_lazy("Run"), permission=Permission.PIPELINES_MANAGE)
    def run(self, request: HttpRequest, pipeline: Pipeline, reason: str) -> HttpResponse:
        return self._start(request, pipeline, has_priority=False)

    @post_action(label=gettext_lazy("Run with priority"), permission=Permission.PIPELINES_MANAGE)
    def run_first(self, request: HttpRequest, pipeline: Pipeline, reason: str) -> HttpResponse:
        return self._start(request, pipeline, has_priority=True)

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("It cannot be run any more. The records of its runs stay."),
        permission=Permission.PIPELINES_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, pipeline: Pipeline, reason: str) -> HttpResponse:
        delete_pipeline(pipeline_id=pipeline.pk, reason=reason)
        self.message_user(
            request,
            gettext("%(pipeline)s is deleted with its runs; the documents that it loaded stay.")
            % {"pipeline": pipeline},
        )
        return HttpResponseRedirect(reverse("admin:rag_pipeline_pipeline_changelist"))

    def _start(self, request: HttpRequest, pipeline: Pipeline, *, has_priority: bool) -> HttpResponse:
        tenant = Tenant.objects.select_related("plan").get(pk=pipeline.tenant_id)
        is_rate_limited = self.access(request).platform_role is None
        run = start_run(
            tenant=tenant, pipeline_id=pipeline.pk, has_priority=has_priority, is_rate_limited=is_rate_limited
        )
        self.message_user(
            request, gettext("%(pipeline)s was started; this page shows its progress.") % {"pipeline": pipeline}
        )
        return HttpResponseRedirect(reverse("admin:rag_pipeline_pipelinerun_change", args=[run.pk]))


@admin.register(PipelineVersion, site=console_site)
class PipelineVersionAdmin(ReadOnlyAdmin):
    """Read-only admin page of the saved versions of definitions."""

    empty_title = gettext_lazy("No versions yet")
    empty_text = gettext_lazy("Each change of a pipeline's definition is a version. Save one on the pipeline's page.")
    view_permission = Permission.PIPELINES_VIEW
    list_display = ("number", "pipeline", "note", "created_by", "created_at")
    list_select_related = ("pipeline",)
    search_fields = ("pipeline__name",)
    fields = ("pipeline", "number", "note", "created_by", "created_at", "shown_definition")
    readonly_fields = ("shown_definition",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("pipeline")

    def object_title(self, obj: PipelineVersion) -> str:
        return f"{obj.pipeline}, {obj}"

    @admin.display(description=gettext_lazy("Definition"))
    def shown_definition(self, version: PipelineVersion) -> SafeString:
        return _as_json(version.definition)


def _as_json(value: Any) -> SafeString:
    return format_html('<pre class="console-code">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))
