"""Pages about features that the console does not have yet, with what can be used instead."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.site import console_site

TEMPLATE = "scheduling/dashboards/not_yet.html"


@dataclass(frozen=True, slots=True)
class Substitute:
    """What can be used instead of a part of a missing feature: name, text, and URL of a console page, if any."""

    title: str
    text: str
    href: str = ""


@require_safe
def alerts_page(request: HttpRequest) -> HttpResponse:
    """Show that the console sends no alerts, and what can be used instead."""
    text = _(
        "The console does not send alerts yet: none of its own rules notifies a person. The overview shows the "
        "monitored values, and external monitoring can alert on them."
    )
    meanwhile = [
        Substitute(
            _("Metrics"),
            _(
                "GET /metrics has the values to alert on: age of the oldest job, queues without a worker, silent "
                "dispatchers, overdue upkeep, open circuit breakers. Alert on them in your monitoring; "
                "docs/reference/metrics.md lists them."
            ),
        ),
        Substitute(
            _("Self-diagnosis"),
            _("Checks every invariant now; “manage.py diagnose” exits with an error if one is violated."),
            reverse("admin:diagnosis"),
        ),
        Substitute(
            _("Upkeep"),
            _("Recounts and retention, with the findings of each run; the overview shows failed runs."),
            reverse("admin:scheduling_upkeeprun_changelist"),
        ),
    ]
    return _answer(request, _("Alerts"), text, meanwhile)


@require_safe
def compliance_page(request: HttpRequest) -> HttpResponse:
    """Show that the console has no compliance reports, and what can be used instead."""
    text = _(
        "The console has no compliance reports yet: it does not collect evidence for an auditor into one "
        "document. The records for such a report exist and can be viewed and exported."
    )
    access = access_of(request)
    meanwhile = [
        Substitute(
            _("Audit log"),
            _("Every action of a person, key or command: append-only, in verified chains, with an export."),
            reverse("admin:tenants_auditlogentry_changelist"),
        ),
        Substitute(
            _("Erasures"),
            _("Which tenant data were erased and when, with a proof that nothing is left."),
            reverse("admin:tenants_tenanterasure_changelist") if access.may(Permission.TENANTS_ERASE) else "",
        ),
        Substitute(
            _("Roles"),
            _("The matrix of all roles and permissions."),
            reverse("admin:roles") if access.may(Permission.MEMBERS_VIEW) else "",
        ),
    ]
    return _answer(request, _("Compliance"), text, meanwhile)


def _answer(request: HttpRequest, title: str, text: str, meanwhile: list[Substitute]) -> HttpResponse:
    context = console_site.each_context(request) | {"title": title, "text": text, "meanwhile": meanwhile}
    return render(request, TEMPLATE, context)
