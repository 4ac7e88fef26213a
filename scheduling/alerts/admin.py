"""Console pages of alerts: what fires now, each alert with its values, notices and former occurrences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.http import require_safe

from scheduling.alerts import acts
from scheduling.alerts.queries import MOST_OPEN, OPEN, count_firing, find_alerts, read_former, read_notices, read_values
from scheduling.alerts.rules import FIRING, RESOLVED
from scheduling.alerts.words import comparison_words, object_link, value_words
from scheduling.console.filters import TenantFilter
from scheduling.console.links import job_link
from scheduling.console.tags import badge
from scheduling.console.wording import duration_words
from scheduling.investigation.service import investigate
from scheduling.models import Alert, Investigation
from scheduling.statistics.minute_charts import draw_values
from tenants.access.permissions import Permission
from tenants.console.keyset import KeysetAdmin, parse_uuid
from tenants.console.links import console_link, tenant_link
from tenants.console.post_actions import post_action, until_of
from tenants.console.site import console_site
from tenants.context import require_scope
from tenants.models import Tenant

_RESPOND = Permission.ALERTS_RESPOND
_SUMMARY = ("rule", "severity_mark", "state_mark", "about", "shown_value", "since", "kept", "message", "job")
_DROPPED = {
    "disabled": gettext_lazy("the contact is disabled"),
    "resolved": gettext_lazy("resolved"),
    "suppressed": gettext_lazy("silenced or explained by another alert"),
}


class StateFilter(SimpleListFilter):
    """List filter by state; without a choice, open alerts."""

    title, parameter_name = gettext_lazy("state"), "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("all", gettext_lazy("all")), *Alert.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in Alert.State.values:
            return queryset.filter(state=self.value())
        return queryset if self.value() == "all" else queryset.filter(OPEN)

    def choices(self, changelist: Any) -> Any:
        """Return the choices; the first one, without a value, are the open alerts."""
        first, *others = super().choices(changelist)
        return [{**first, "display": gettext("open")}, *others]


class AboutFilter(TenantFilter):
    """List filter by the tenant that owns an alert, or that it is about."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        named = Tenant.objects.filter(slug=self.value())
        return queryset.filter(Q(tenant__in=named) | Q(about_tenant__in=named.values("pk")))


def _outcome_action(label: Promise, outcome: Alert.Outcome) -> Any:
    @post_action(
        label=label,
        consequence=gettext_lazy("The outcome is stored, and the alert resolves if its value is clear."),
        permission=_RESPOND,
        takes_reason=True,
        is_offered=lambda alert: alert.fired_at is not None,
    )
    def act(self: Any, request: HttpRequest, alert: Alert, reason: str) -> str:
        acts.resolve_by_hand(alert_id=alert.pk, outcome=outcome, note=reason)
        return gettext("The outcome is stored.")

    return act


@admin.register(Alert, site=console_site)
class AlertAdmin(KeysetAdmin):
    """Admin pages of alerts, newest first; rules create them, and users acknowledge and silence them."""

    view_permission = Permission.JOBS_VIEW
    is_named_by_id = False
    list_display = ("rule_name", "severity_mark", "state_mark", "about", "shown_value", "since", "kept")
    list_filter = (StateFilter, "severity", AboutFilter)
    empty_title = gettext_lazy("No alert is open")
    empty_text = gettext_lazy("Dispatchers evaluate the alert rules every few seconds.")
    fieldsets = (
        (None, {"fields": _SUMMARY}),
        (gettext_lazy("Values"), {"fields": ("chart", "peak_value", "affected")}),
        (gettext_lazy("People"), {"fields": ("acknowledged_by", "acknowledged_at", "note", "outcome", "outcome_note")}),
        (gettext_lazy("Notices"), {"fields": ("notices",)}),
        (gettext_lazy("Before"), {"fields": ("former",)}),
        (gettext_lazy("Times"), {"fields": ("pending_at", "fired_at", "escalated_at", "resolved_at", "evaluated_at")}),
    )
    readonly_fields = (
        "severity_mark", "state_mark", "about", "shown_value", "since", "kept", "message", "job", "chart", "peak_value",
        "affected", "notices", "former",
    )  # fmt: skip
    post_actions = ("investigate", "acknowledge", "silence", "helped", "false_alarm")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return find_alerts()

    def get_urls(self) -> list[URLPattern]:
        view = self.guard(require_safe(self.open_view), Permission.JOBS_VIEW)
        return [path("open/", view, name="alerts_open"), *super().get_urls()]

    def open_view(self, request: HttpRequest) -> HttpResponse:
        """Return the number of firing alerts for the menu, or nothing if there are none."""
        count = count_firing()
        number = f"{MOST_OPEN}+" if count >= MOST_OPEN else count
        shown = format_html('{} <span class="sr-only">{}</span>', number, gettext("alerts fire"))
        return HttpResponse(shown if count else "")

    @post_action(label=gettext_lazy("Investigate"), permission=Permission.AUDIT_VIEW)
    def investigate(self, request: HttpRequest, alert: Alert, reason: str) -> HttpResponse:
        row = investigate(Investigation(alert=alert.pk))
        return HttpResponseRedirect(reverse("admin:scheduling_investigation_change", args=[row.pk]))

    @post_action(
        label=gettext_lazy("Acknowledge"),
        consequence=gettext_lazy("It does not escalate, and contacts are notified only of its end."),
        permission=_RESPOND,
        takes_reason=True,
        is_offered=lambda alert: alert.state != RESOLVED,
    )
    def acknowledge(self, request: HttpRequest, alert: Alert, reason: str) -> str:
        acts.acknowledge(alert_id=alert.pk, note=reason)
        return gettext("The alert is acknowledged.")

    @post_action(
        label=gettext_lazy("Silence"),
        consequence=gettext_lazy(
            "Alerts of this rule for this object send no notifications until then, or for an hour."
        ),
        permission=_RESPOND,
        asks_reason=True,
        asks_until=True,
        until_hint="",
        is_offered=lambda alert: alert.state != RESOLVED and alert.silence_id is None,
    )
    def silence(self, request: HttpRequest, alert: Alert, reason: str) -> str:
        row = acts.silence(alert_id=alert.pk, until=until_of(request), reason=reason)
        return gettext("The alert is silent until %(until)s UTC.") % {"until": f"{row.ends_at:%Y-%m-%d %H:%M}"}

    helped = _outcome_action(gettext_lazy("The remedy helped"), Alert.Outcome.HELPED)
    false_alarm = _outcome_action(gettext_lazy("False alarm"), Alert.Outcome.FALSE)

    @admin.display(description=gettext_lazy("Severity"))
    def severity_mark(self, alert: Alert) -> SafeString:
        return badge(f"alert_{alert.severity}")

    @admin.display(description=gettext_lazy("State"))
    def state_mark(self, alert: Alert) -> SafeString:
        return badge(f"alert_{alert.state}")

    @admin.display(description=gettext_lazy("Object"))
    def about(self, alert: Alert) -> SafeString | str:
        return object_link(alert)

    @admin.display(description=gettext_lazy("Value"))
    def shown_value(self, alert: Alert) -> str:
        values = {"value": value_words(alert, alert.value), "comparison": comparison_words(alert)}
        return gettext("%(value)s (alert %(comparison)s)") % values

    @admin.display(description=gettext_lazy("Since"))
    def since(self, alert: Alert) -> str:
        began = alert.fired_at or alert.pending_at
        until = alert.resolved_at or timezone.now()
        values = {"at": f"{began:%Y-%m-%d %H:%M:%S}", "length": duration_words(until - began)}
        return gettext("%(at)s UTC, for %(length)s") % values

    @admin.display(description=gettext_lazy("Notifies"))
    def kept(self, alert: Alert) -> SafeString | str:
        """Return why the alert does not notify, if so."""
        if alert.silence is not None:
            return gettext("silenced: %(reason)s") % {"reason": alert.silence.reason}
        if alert.inhibited_by is not None:
            if not require_scope().is_all_tenants:
                return gettext("explained by another alert")
            url = reverse("admin:scheduling_alert_change", args=[alert.inhibited_by])
            return console_link(url, gettext("explained by another alert"))
        if alert.acknowledged_by:
            return gettext("acknowledged by %(actor)s") % {"actor": alert.acknowledged_by}
        return gettext("yes") if alert.state == FIRING else "–"

    @admin.display(description=gettext_lazy("Cause"))
    def message(self, alert: Alert) -> str:
        return str(alert.facts.get("message") or "–")

    @admin.display(description=gettext_lazy("First failed job"))
    def job(self, alert: Alert) -> SafeString | str:
        return job_link(parse_uuid(str(alert.facts.get("job", ""))))

    @admin.display(description=gettext_lazy("Last hour"))
    def chart(self, alert: Alert) -> SafeString | str:
        chart = draw_values(read_values(alert), lambda value: value_words(alert, value), limit=alert.threshold)
        return render_to_string(
            "scheduling/dashboards/parts/minute_chart.html", {"chart": chart, "title": alert.rule_name}
        )

    @admin.display(description=gettext_lazy("Worst value"))
    def peak_value(self, alert: Alert) -> str:
        return value_words(alert, alert.peak)

    @admin.display(description=gettext_lazy("Tenants affected"))
    def affected(self, alert: Alert) -> SafeString | str:
        more = alert.tenants_count - len(alert.tenants)
        shown = format_html_join(", ", "{}", ((tenant_link(slug),) for slug in alert.tenants))
        if more > 0:
            return format_html(gettext("{tenants} and {more} more"), tenants=shown, more=more)
        return shown or "–"

    @admin.display(description=gettext_lazy("Notices"))
    def notices(self, alert: Alert) -> SafeString | str:
        rows = (
            (notice.get_what_display(), notice.contact, f"{notice.due_at:%Y-%m-%d %H:%M:%S}", _fate_of(notice))
            for notice in read_notices(alert)
        )
        return _list("<li>{} → {}, {} UTC: {}</li>", rows)

    @admin.display(description=gettext_lazy("Earlier alerts"))
    def former(self, alert: Alert) -> SafeString | str:
        rows = (
            (
                console_link(
                    reverse("admin:scheduling_alert_change", args=[one.pk]), f"{one.pending_at:%Y-%m-%d %H:%M}"
                ),
                one.get_outcome_display() or gettext("no outcome stored"),
                one.outcome_note,
            )
            for one in read_former(alert)
        )
        return _list("<li>{} UTC: {} {}</li>", rows)


def _fate_of(notice: Any) -> SafeString | str:
    if notice.dropped:
        return gettext("not sent: %(why)s") % {"why": _DROPPED.get(notice.dropped, notice.dropped)}
    if notice.message is None:
        return gettext("waits")
    url = reverse("admin:scheduling_alertmessage_change", args=[notice.message_id])
    return console_link(url, notice.message.get_state_display())


def _list(line: str, rows: Iterable[tuple[Any, ...]]) -> SafeString | str:
    items = format_html_join("", line, rows)
    return format_html('<ul class="console-list">{}</ul>', items) if items else gettext("none")
