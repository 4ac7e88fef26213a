"""Console pages of tenants with their work: the list by load, and the page of one tenant with its live state."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Literal

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.views import ChangeList

from scheduling.alerts.panels import banners_of
from scheduling.alerts.queries import firing_alerts
from scheduling.console.tags import badge
from scheduling.console.wording import duration_words, percent_words
from scheduling.errors.queries import group_errors
from scheduling.models import Schedule
from scheduling.overview.queries import Overview, read_overview
from scheduling.overview.tiles import window_words
from scheduling.shares.charts import draw_share
from scheduling.shares.history import HistorySpan, read_share_history
from scheduling.tenant_pages.queries import NOT_COMPARED, read_lines, with_load
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.keyset import parse_uuid
from tenants.console.live_pages import LivePageMixin
from tenants.console.site import console_site
from tenants.context import tenant_context
from tenants.models import Tenant, TenantStatus
from tenants.tenancy.admin import TenantAdmin
from tenants.tenancy.page import SHOWN, PagePart, PartLine

NOW_TEMPLATE = "scheduling/dashboards/parts/tenant_now.html"
_SHARE, _WAITING = "share", "waiting"
VIEWS = {
    "admin:scheduling_alert_changelist": (gettext_lazy("Alerts"), Permission.JOBS_VIEW),
    "admin:heat_map": (gettext_lazy("Heat map"), Permission.JOBS_VIEW),
    "admin:scheduling_objective_changelist": (gettext_lazy("Objectives"), Permission.JOBS_VIEW),
    "admin:scheduling_investigation_changelist": (gettext_lazy("Investigations"), Permission.AUDIT_VIEW),
}

console_site.unregister(Tenant)


@admin.register(Tenant, site=console_site)
class TenantWithWorkAdmin(LivePageMixin, TenantAdmin):
    """Admin pages of tenants, with their load and work added to those of `tenants`."""

    list_display = (
        "slug",
        "name",
        "plan",
        "state",
        "share_of_entitlement",
        "waiting_jobs",
        "oldest_wait",
        "failed_executions",
        "worker_time",
    )
    sortable_by = ("slug", "name", "plan", *list_display[4:])
    page_template = "scheduling/dashboards/tenant_page.html"

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        hidden = set() if self.access(request).sees_all_tenants else {"share_of_entitlement"}
        return [column for column in super().get_list_display(request) if column not in hidden]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[TenantChangeList]:
        return TenantChangeList

    def page_context(self, request: HttpRequest, tenant: Tenant) -> dict[str, Any]:
        """Return the context of the page with the tenant's share over the last hour."""
        history = read_share_history(HistorySpan.HOUR, tenant_id=tenant.pk)
        return super().page_context(request, tenant) | {
            "history": history,
            "charts": [draw_share(line) for line in history.lines if line.tenant_id == tenant.pk],
            "views": [
                (title, f"{reverse(view)}?tenant={tenant.slug}")
                for view, (title, permission) in VIEWS.items()
                if self.access(request).may(permission)
            ],
            "choice": {"sees_all": self.access(request).sees_all_tenants},
            "logs_url": f"{reverse('admin:logs')}?q=tenant:{tenant.slug}",
            "may_read_logs": self.access(request).may(Permission.LOGS_VIEW),
            "tenant_links": {tenant.slug: f"{reverse('admin:fairness')}?tenant={tenant.slug}"},
        }

    def page_parts(self, request: HttpRequest, tenant: Tenant) -> Iterator[PagePart]:
        access = self.access(request)
        if access.may(Permission.JOBS_VIEW):
            yield _failures(tenant)
        if access.may(Permission.SCHEDULES_VIEW):
            yield _schedules(tenant)
        yield from super().page_parts(request, tenant)

    def render_now(self, request: HttpRequest, object_id: str) -> str | None:
        tenant_id = parse_uuid(object_id)
        tenant = self.get_queryset(request).filter(pk=tenant_id).first() if tenant_id else None
        if tenant is None:
            return None
        with tenant_context(tenant):
            overview = read_overview()
        context = _now_context(tenant, overview)
        if self.access(request).may(Permission.JOBS_VIEW):
            context["alert_banners"] = banners_of(firing_alerts(about=tenant.pk))
        return render_to_string(NOW_TEMPLATE, context, request)

    @admin.display(description=gettext_lazy("State"))
    def state(self, tenant: Tenant) -> SafeString:
        return badge(state_of(tenant))

    @admin.display(description=gettext_lazy("Share of entitlement"), ordering=_SHARE)
    def share_of_entitlement(self, tenant: Any) -> SafeString | str:
        """Return used over entitled slots of the last ten minutes while jobs waited, with its verdict."""
        if not tenant.verdict:
            return "–"
        return badge(tenant.verdict, percent_words(tenant.share) if tenant.share != NOT_COMPARED else "")

    @admin.display(description=gettext_lazy("Waiting"), ordering=_WAITING)
    def waiting_jobs(self, tenant: Any) -> str:
        return f"{tenant.waiting:,}"

    @admin.display(description=gettext_lazy("Oldest wait"), ordering=F("oldest_at").desc(nulls_first=True))
    def oldest_wait(self, tenant: Any) -> str:
        return duration_words(timezone.now() - tenant.oldest_at if tenant.oldest_at else None)

    @admin.display(description=gettext_lazy("Failures, 1 h"), ordering="failures")
    def failed_executions(self, tenant: Any) -> str:
        return f"{tenant.failures:,}"

    @admin.display(description=gettext_lazy("Worker time this month"), ordering="worker_us")
    def worker_time(self, tenant: Any) -> str:
        """Return the worker-seconds of this month, and which part of the tenant's quota they are."""
        seconds = tenant.worker_us / 1e6
        words = _("%(number)s s") % {"number": f"{seconds:,.0f}"}
        return f"{words} ({percent_words(seconds / tenant.quota)})" if tenant.quota else words


class TenantChangeList(ChangeList):
    """Change list of tenants with their load, by default those first that use most of their entitlement."""

    root_queryset: QuerySet[Any]

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Tenant]:
        lines = read_lines() if access_of(request).sees_all_tenants else ()
        self.root_queryset = with_load(self.root_queryset, lines)
        rows: QuerySet[Tenant] = super().get_queryset(request, *args, **kwargs)
        return rows

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> list[Any]:
        if ORDER_VAR in self.params:
            return [*super().get_ordering(request, queryset)]
        return [f"-{_SHARE}", f"-{_WAITING}", "slug"]

    def get_ordering_field_columns(self) -> dict[int, Literal["desc", "asc"]]:
        """Return the columns by which the list is sorted, for the arrows in its head."""
        shown = list(self.list_display)
        if ORDER_VAR in self.params or "share_of_entitlement" not in shown:
            columns: dict[int, Literal["desc", "asc"]] = super().get_ordering_field_columns()
            return columns
        return {shown.index("share_of_entitlement"): "desc"}


def state_of(tenant: Tenant) -> str:
    """Return the name of what stops the tenant's work, or `active`."""
    if tenant.status == TenantStatus.SUSPENDED:
        return "suspended"
    return "paused" if tenant.is_paused else "draining" if tenant.is_draining else "active"


def _now_context(tenant: Tenant, overview: Overview) -> dict[str, Any]:
    state = state_of(tenant)
    reasons = {"suspended": tenant.status_reason, "paused": tenant.pause_reason, "draining": tenant.drain_reason}
    return {
        "tenant": tenant,
        "state": state,
        "reason": reasons.get(state, ""),
        "until": getattr(tenant, f"{state}_until", None),
        "overview": overview,
        "window_words": window_words(overview),
        "active_queues": [line for line in overview.queues if not line.is_quiet],
        "jobs_url": f"{reverse('admin:scheduling_job_changelist')}?tenant={tenant.slug}",
    }


def _failures(tenant: Tenant) -> PagePart:
    """Return the most frequent causes of the last day's errors."""
    now = timezone.now()
    with tenant_context(tenant):
        # Ids are dated by the workers' clocks, which may be ahead.
        found = group_errors(since=now - timedelta(days=1), until=now + timedelta(minutes=5))
    jobs = f"{reverse('admin:scheduling_job_changelist')}?tenant={tenant.slug}"
    lines = [
        PartLine(
            group.type or group.fingerprint,
            f"{jobs}&fingerprint={group.fingerprint}",
            f"{group.count:,} × {', '.join(group.kinds)}: {group.message[:120]}",
        )
        for group in found.groups[:SHOWN]
    ]
    url = f"{reverse('admin:scheduling_deadletter_changelist')}?tenant={tenant.slug}"
    return PagePart("failures", _("Failures in the last 24 hours"), url, lines, _("No attempt failed."))


def _schedules(tenant: Tenant) -> PagePart:
    rows = Schedule.objects.filter(tenant=tenant).order_by(F("next_fire_at").asc(nulls_last=True), "name")[:SHOWN]
    lines = [
        PartLine(
            row.name,
            reverse("admin:scheduling_schedule_change", args=[row.pk]),
            f"{row.kind}, {f'{row.next_fire_at:%Y-%m-%d %H:%M} UTC' if row.next_fire_at else _('paused')}",
        )
        for row in rows
    ]
    url = f"{reverse('admin:scheduling_schedule_changelist')}?tenant={tenant.slug}"
    return PagePart("schedules", _("Schedules"), url, lines, _("No schedules."))
