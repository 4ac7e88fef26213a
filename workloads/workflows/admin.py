"""Admin pages of workflows, with their definitions as JSON, and of approvals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from tenants.access.permissions import Permission
from tenants.audit.diffs import diff_documents
from tenants.console.base import ReadOnlyAdmin, TenantScopedAdmin
from tenants.console.post_actions import post_action
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from tenants.models import Tenant
from tenants.versions.admin import SHOWN_VERSIONS, VERSION_FIELDS, VersionsMixin, is_preview, version_acts
from workloads.workflows.forms import RunForm, WorkflowForm
from workloads.workflows.models import Approval, ApprovalState, Workflow, WorkflowVersion
from workloads.workflows.queries import count_pending_approvals, find_approvals, list_versions
from workloads.workflows.replay_page import show_replay
from workloads.workflows.runs import decide_approval, start_run
from workloads.workflows.service import WORKFLOWS, add_version, create_workflow, delete_workflow, update_workflow

# The greatest number in the menu.
MOST_PENDING = 99
_FIELDS = ("name", "description", "definition")


@admin.register(Workflow, site=console_site)
class WorkflowAdmin(VersionsMixin, TenantScopedAdmin):
    """Admin page of workflows. A changed definition is saved as the workflow's next version."""

    empty_title = gettext_lazy("No workflows yet")
    empty_text = gettext_lazy("A workflow is a graph of steps that one job runs. Add one above.")
    view_permission = Permission.WORKFLOWS_VIEW
    add_permission = change_permission = Permission.WORKFLOWS_MANAGE
    form = WorkflowForm
    versioned = WORKFLOWS
    rollback, withdraw = version_acts(Permission.WORKFLOWS_MANAGE)
    list_display = ("name", "description", "version", "created_at")
    search_fields = ("name",)
    ordering = ("-id",)
    post_actions = ("delete", "rollback", "withdraw")
    change_form_before_template = "workflow_execution/admin/workflow_links.html"
    change_form_outer_after_template = "workflow_execution/admin/workflow_after.html"

    def get_fields(self, request: HttpRequest, obj: Workflow | None = None) -> Any:
        if obj is None:
            own = (*_FIELDS, "reason")
            return own if self.access(request).tenant is not None else ("tenant", *own)
        if not self.has_change_permission(request):
            return ("name", "description", "version")
        return (*_FIELDS, *VERSION_FIELDS)

    def get_form(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, **kwargs)
        form.own_tenant = obj.tenant if obj is not None else self.access(request).tenant
        return form

    def related_values(self, obj: Workflow) -> dict[str, str]:
        return {gettext("Its version"): str(obj.version)}

    def save_model(self, request: HttpRequest, obj: Workflow, form: Any, change: bool) -> None:
        values = form.cleaned_data
        tenant = form.own_tenant or values["tenant"]
        if not change:
            obj.pk = create_workflow(tenant=tenant, **{key: values[key] for key in _FIELDS}, note=values["reason"]).pk
            return
        changed = {name: values[name] for name in ("name", "description") if name in form.changed_data}
        if changed:
            update_workflow(workflow=obj, **changed)
        effective_from = values["effective_from"]
        if "definition" in form.changed_data or effective_from is not None:
            version = add_version(
                workflow=obj,
                definition=values["definition"],
                note=values["reason"],
                based_on=values["seen_version"],
                effective_from=effective_from,
            )
            text = (
                gettext("Saved as version %(number)s; runs in progress keep their version.")
                if effective_from is None
                else gettext("Saved as version %(number)s, which is scheduled.")
            )
            self.message_user(request, text % {"number": version.number})

    @post_action(
        label=gettext_lazy("Delete"),
        consequence=gettext_lazy("It is deleted with its versions. The records of its runs stay."),
        permission=Permission.WORKFLOWS_MANAGE,
        asks_reason=True,
        is_danger=True,
    )
    def delete(self, request: HttpRequest, workflow: Workflow, reason: str) -> HttpResponse:
        delete_workflow(workflow=workflow, reason=reason)
        self.message_user(
            request,
            gettext("%(workflow)s is deleted with its versions; the records of its runs stay.")
            % {"workflow": workflow},
        )
        return HttpResponseRedirect(reverse("admin:workflow_execution_workflow_changelist"))

    def get_urls(self) -> list[URLPattern]:
        run = self.guard(self.run_view, Permission.JOBS_SUBMIT)
        replay = self.guard(partial(show_replay, self), Permission.JOBS_SUBMIT)
        version = self.guard(require_safe(self.version_view), Permission.WORKFLOWS_VIEW)
        return [
            path("<uuid:object_id>/run/", run, name="workflow_execution_workflow_run"),
            path("replay/<uuid:run_id>/", replay, name="workflow_execution_workflow_replay"),
            path("<uuid:object_id>/versions/<int:number>/", version, name="workflow_execution_workflow_version"),
            *super().get_urls(),
        ]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        workflow = context.get("original")
        if workflow is not None:
            context["may_run"] = self.access(request).may(Permission.JOBS_SUBMIT)
            context["may_preview"] = self.has_change_permission(request)
            if is_preview(request):
                context["preview"] = self._preview(workflow, context["adminform"].form)
        return super().render_change_form(request, context, *args, **kwargs)

    def describe_versions(self, row: Workflow) -> list[dict[str, Any]]:
        """Return the newest versions, each with the URL of the page that shows its definition and differences."""
        address = "admin:workflow_execution_workflow_version"
        return [
            {"row": version, "url": reverse(address, args=[row.pk, version.number])}
            for version in list_versions(row)[:SHOWN_VERSIONS]
        ]

    def _preview(self, workflow: Workflow, form: Any) -> dict[str, Any] | None:
        """Return what the entered definition would change; None if it has faults, which are shown with the field."""
        definition = form.cleaned_data.get("definition")
        if definition is None:
            return None
        preview = WORKFLOWS.preview(workflow, definition)
        difference = preview.difference
        return {"diffs": diff_documents(difference.before, difference.after), "runs": preview.effects["runs"]}

    def version_view(self, request: HttpRequest, object_id: Any, number: int) -> HttpResponse:
        """Show a version's definition as it was saved, and what it changed."""
        workflow = self._workflow(request, object_id)
        version = WorkflowVersion.objects.filter(workflow=workflow, number=number).first()
        if version is None:
            raise Http404(gettext("There is no such version."))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("%(workflow)s, version %(number)s") % {"workflow": workflow, "number": number},
            "opts": self.opts,
            "workflow": workflow,
            "version": version,
            "definition": json.dumps(version.content, indent=2, ensure_ascii=False),
            "diffs": diff_documents(version.before, version.after),
        }
        return TemplateResponse(request, "workflow_execution/admin/version.html", context)

    def run_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Show a form for the inputs of a run; on POST, submit a run of the version in effect."""
        workflow = self._workflow(request, object_id)
        form = RunForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            job_id = self._start(request, workflow, form)
            if job_id is not None:
                self.message_user(
                    request, gettext("A run of %(workflow)s was submitted; this is its job.") % {"workflow": workflow}
                )
                return HttpResponseRedirect(_job_page(job_id) or self._page_of(workflow))
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Run %(workflow)s") % {"workflow": workflow},
            "opts": self.opts,
            "workflow": workflow,
            "form": form,
        }
        return TemplateResponse(request, "workflow_execution/admin/run.html", context)

    def _start(self, request: HttpRequest, workflow: Workflow, form: RunForm) -> Any:
        tenant = Tenant.objects.select_related("plan").get(pk=workflow.tenant_id)
        is_rate_limited = self.access(request).platform_role is None
        try:
            run = start_run(
                tenant=tenant,
                workflow=workflow,
                inputs=form.cleaned_data["inputs"] or {},
                is_rate_limited=is_rate_limited,
            )
        except DomainError as refusal:
            for message in [fault["detail"] for fault in refusal.errors] or [refusal.detail]:
                form.add_error("inputs", message)
            return None
        return run.job.pk

    def _workflow(self, request: HttpRequest, object_id: Any) -> Workflow:
        workflow: Workflow | None = self.get_queryset(request).filter(pk=object_id).first()
        if workflow is None:
            raise Http404(gettext("There is no such workflow."))
        return workflow


class ApprovalStateFilter(admin.SimpleListFilter):
    """Filter of approvals by their current state."""

    title, parameter_name = gettext_lazy("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in ApprovalState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(shown_state=self.value()) if self.value() in ApprovalState.values else queryset


@admin.register(Approval, site=console_site)
class ApprovalAdmin(ReadOnlyAdmin):
    """Admin page of approvals, newest first. They are decided by the actions approve and reject."""

    view_permission = Permission.WORKFLOWS_VIEW
    list_display = ("title", "workflow", "shown_state", "expires_at", "decided_by", "created_at")
    list_select_related = ("workflow",)
    list_filter = (ApprovalStateFilter,)
    search_fields = ("title",)
    ordering = ("-id",)
    post_actions = ("approve", "reject")
    readonly_fields = ("shown_state", "job")
    fieldsets = (
        (None, {"fields": ("title", "text", "shown_state", "expires_at")}),
        (gettext_lazy("Answer"), {"fields": ("decided_by", "decided_at", "comment")}),
        (gettext_lazy("Run"), {"fields": ("workflow", "node", "job", "created_at")}),
    )
    empty_title = gettext_lazy("No pending approvals")
    empty_text = gettext_lazy("Questions of approval nodes appear here until they are decided or expire.")

    def get_urls(self) -> list[URLPattern]:
        pending = self.guard(require_safe(self.pending_view), Permission.WORKFLOWS_VIEW)
        return [path("pending/", pending, name="workflow_execution_approval_pending"), *super().get_urls()]

    def pending_view(self, request: HttpRequest) -> HttpResponse:
        """Return the number of pending approvals for the menu, or nothing if there are none."""
        count = count_pending_approvals(MOST_PENDING + 1)
        number = f"{MOST_PENDING}+" if count > MOST_PENDING else count
        shown = format_html('{} <span class="sr-only">{}</span>', number, gettext("pending approvals"))
        return HttpResponse(shown if count else "")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        approvals = find_approvals()
        return approvals.select_related("tenant", "workflow") if self.access(request).sees_all_tenants else approvals

    @admin.display(description=gettext_lazy("State"), ordering="shown_state")
    def shown_state(self, approval: Any) -> str:
        return str(ApprovalState(approval.shown_state).label)

    @admin.display(description=gettext_lazy("Job"))
    def job(self, approval: Approval) -> SafeString | str:
        url = _job_page(approval.job_id)
        return (
            format_html('<a class="console-link" href="{}">{}</a>', url, approval.job_id)
            if url
            else str(approval.job_id)
        )

    @post_action(
        label=gettext_lazy("Approve"),
        consequence=gettext_lazy("The run continues with this answer. It cannot be changed later."),
        permission=Permission.WORKFLOWS_APPROVE,
        takes_reason=True,
        is_offered=lambda approval: approval.shown_state == ApprovalState.PENDING,
    )
    def approve(self, request: HttpRequest, approval: Approval, reason: str) -> str:
        decide_approval(approval_id=approval.pk, is_approved=True, comment=reason)
        return gettext("“%(approval)s” is approved; its run continues.") % {"approval": approval}

    @post_action(
        label=gettext_lazy("Reject"),
        consequence=gettext_lazy("The run continues with this answer. It cannot be changed later."),
        permission=Permission.WORKFLOWS_APPROVE,
        asks_reason=True,
        is_danger=True,
        is_offered=lambda approval: approval.shown_state == ApprovalState.PENDING,
    )
    def reject(self, request: HttpRequest, approval: Approval, reason: str) -> str:
        decide_approval(approval_id=approval.pk, is_approved=False, comment=reason)
        return gettext("“%(approval)s” is rejected; its run continues.") % {"approval": approval}


def _job_page(job_id: Any) -> str | None:
    try:
        return reverse("admin:scheduling_job_change", args=[job_id])
    except NoReverseMatch:  # a console without the scheduler's pages
        return None
