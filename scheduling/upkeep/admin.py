"""Console pages of upkeep: the tasks with their last results, and the runs over one tenant."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy, gettext_noop
from django.views.decorators.http import require_POST

from scheduling.console.code_names import count_words
from scheduling.console.filters import UpkeepTaskFilter
from scheduling.console.tags import badge
from scheduling.console.wording import duration_words
from scheduling.models import TenantUpkeepRun, UpkeepRun
from scheduling.upkeep.runs import request_upkeep
from scheduling.upkeep.status import find_upkeep_status, read_upkeep
from scheduling.upkeep.tenant_runs import AUDIT_TASK, count_findings, findings_of, request_tenant_run
from tenants.access.permissions import Permission
from tenants.audit.filters import AuditTenantFilter
from tenants.console.base import PlatformStaffAdmin
from tenants.console.keyset import KeysetAdmin, KeysetChangeList, parse_uuid
from tenants.console.live_pages import LivePageMixin
from tenants.console.site import console_site
from tenants.exceptions import DomainError
from tenants.limits.declared import HEAVY, costs
from tenants.models import Tenant
from tenants.tenancy.queries import find_tenant


@admin.register(UpkeepRun, site=console_site)
class UpkeepRunAdmin(PlatformStaffAdmin):
    """Admin pages of the runs of the platform's upkeep tasks, with their results."""

    view_permission = Permission.PLATFORM_VIEW
    list_title = gettext_lazy("Upkeep")
    change_list_template = "tenants/admin/keyset_list.html"
    list_before_template = "scheduling/dashboards/upkeep_tasks.html"
    list_display = ("name", "how", "started_at", "took", "done", "said")
    list_filter = (UpkeepTaskFilter,)
    sortable_by = ()
    fields = ("name", "how", "started_at", "finished_at", "took", "counts", "found", "why", "cursor")
    readonly_fields = fields
    empty_title = gettext_lazy("No runs yet")
    empty_text = gettext_lazy(
        "Beat starts each task at its interval. Start beat with “manage.py run_platform”, or run a task above."
    )

    def get_urls(self) -> list[URLPattern]:
        run = self.guard(require_POST(self.run_view), Permission.UPKEEP_RUN)
        return [path("run/<slug:name>/", run, name="scheduling_upkeeprun_run"), *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return KeysetChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        facts = {
            "upkeep_lines": read_upkeep(),
            "may_run_upkeep": self.access(request).may(Permission.UPKEEP_RUN),
        }
        response: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **facts})
        return response

    def run_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Request a run of a task on the maintenance workers; only POST is allowed."""
        try:
            title = gettext(find_upkeep_status(name).task.title)
            request_upkeep(name=name)
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(
                request,
                gettext("“%(title)s” was sent to the workers of the pool “maintenance”; its result appears below.")
                % {"title": title},
            )
        return HttpResponseRedirect(reverse("admin:scheduling_upkeeprun_changelist"))

    @admin.display(description=gettext_lazy("Outcome"))
    def how(self, run: UpkeepRun) -> SafeString:
        return badge(run.outcome)

    @admin.display(description=gettext_lazy("Duration"))
    def took(self, run: UpkeepRun) -> str:
        return duration_words(run.finished_at - run.started_at) if run.finished_at else "–"

    @admin.display(description=gettext_lazy("Done"))
    def done(self, run: UpkeepRun) -> str:
        return count_words(run.counts)

    @admin.display(description=gettext_lazy("Message"))
    def said(self, run: UpkeepRun) -> str:
        return " ".join(run.messages[:1])[:120] or "–"

    @admin.display(description=gettext_lazy("Findings"))
    def found(self, run: UpkeepRun) -> SafeString:
        lines = ((sentence.localized,) for sentence in run.sentences)
        return format_html_join("", "<div>{}</div>", lines) or SafeString("–")

    @admin.display(description=gettext_lazy("Error"))
    def why(self, run: UpkeepRun) -> str:
        return gettext(run.error) if run.error else "–"


NOW_TEMPLATE = "scheduling/dashboards/parts/tenant_run_now.html"
# Kinds of findings in words.
FINDING_KINDS = {
    "entry_edited": gettext_noop("entry edited"),
    "entry_missing": gettext_noop("entry missing"),
    "entry_inserted": gettext_noop("entry inserted"),
    "entry_unsealed": gettext_noop("entry without a seal"),
    "seals_missing": gettext_noop("seals missing"),
    "seal_altered": gettext_noop("seal altered"),
    "seal_before_checkpoint": gettext_noop("seal before the checkpoint"),
    "order_changed": gettext_noop("order changed"),
    "link_broken": gettext_noop("link broken"),
    "fork": gettext_noop("fork of the chain"),
    "end_missing": gettext_noop("end missing"),
    "head_differs": gettext_noop("head differs"),
    "head_forged": gettext_noop("head forged"),
    "head_key_unknown": gettext_noop("key of the head unknown"),
}


@admin.register(TenantUpkeepRun, site=console_site)
class TenantUpkeepRunAdmin(LivePageMixin, KeysetAdmin):
    """Admin pages of the requested runs over a tenant, such as those of the button "Verify the chain"."""

    view_permission = Permission.AUDIT_VIEW
    list_title = gettext_lazy("Verifications")
    list_display = ("requested_at", "name", "how", "part", "found", "requested_by", "finished_at")
    list_display_links = ("requested_at", "name")
    change_form_outer_before_template = "scheduling/dashboards/tenant_run.html"
    empty_title = gettext_lazy("No verifications yet")
    empty_text = gettext_lazy(
        "“Verify the chain” on the audit log's page requests one. Upkeep verifies every chain once a day."
    )
    fields = ("name", "requested_by", "requested_at", "started_at", "finished_at")
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        verify = self.guard(require_POST(self.verify_view), Permission.AUDIT_VIEW)
        return [path("verify/", verify, name="scheduling_tenantupkeeprun_verify"), *super().get_urls()]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("tenant", *self.fields) if self.access(request).sees_all_tenants else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("tenant", *self.readonly_fields)

    def render_now(self, request: HttpRequest, object_id: str) -> str | None:
        run_id = parse_uuid(object_id)
        run = self.get_queryset(request).filter(pk=run_id).first() if run_id else None
        if run is None:
            return None
        found = findings_of(run)
        context = {
            "run": run,
            "mark": self.how(run),
            "percent": round(100 * run.progress),
            "findings": [(gettext(FINDING_KINDS.get(each.code, each.code)), each) for each in found],
            "left_out": count_findings(run) - len(found),
            "error": run.error and gettext(run.error),
        }
        return render_to_string(NOW_TEMPLATE, context, request)

    @costs(HEAVY)
    def verify_view(self, request: HttpRequest) -> HttpResponse:
        """Request a verification of the current tenant's audit chain, or of all chains, and redirect to its result."""
        try:
            tenant = self._shown_tenant(request)
            if tenant is None:
                request_upkeep(name=AUDIT_TASK)
                messages.success(request, gettext("The verification of all chains was requested."))
                return HttpResponseRedirect(reverse("admin:scheduling_upkeeprun_changelist"))
            requested = request_tenant_run(name=AUDIT_TASK, tenant=tenant)
        except DomainError as refusal:
            messages.error(request, refusal.detail)
            query = request.GET.urlencode()
            return HttpResponseRedirect(f"{reverse('admin:tenants_auditlogentry_changelist')}?{query}")
        if not requested.is_new:
            messages.info(request, gettext("A verification is already running; its progress is shown here."))
        return HttpResponseRedirect(reverse("admin:scheduling_tenantupkeeprun_change", args=[requested.run.pk]))

    def _shown_tenant(self, request: HttpRequest) -> Tenant | None:
        access = self.access(request)
        if access.tenant is not None:
            return access.tenant
        named = request.GET.get(AuditTenantFilter.parameter_name, "")
        return find_tenant(named) if named else None

    @admin.display(description=gettext_lazy("Result"))
    def how(self, run: TenantUpkeepRun) -> SafeString:
        return badge(run.outcome)

    @admin.display(description=gettext_lazy("Checked"))
    def part(self, run: TenantUpkeepRun) -> str:
        return f"{run.progress:.0%}"

    @admin.display(description=gettext_lazy("Findings"))
    def found(self, run: TenantUpkeepRun) -> Any:
        return count_findings(run)
