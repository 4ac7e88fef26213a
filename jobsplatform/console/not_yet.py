"""Pages of features that the platform does not have yet, with what to use meanwhile."""

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
class Meanwhile:
    """A present substitute for part of a feature: its name, a text, and its console page if it has one."""

    title: str
    text: str
    href: str = ""


@require_safe
def alerts_page(request: HttpRequest) -> HttpResponse:
    """Show that the console sends no alerts, and what to use meanwhile."""
    text = _(
        "The console does not send alerts yet: no rule of its own calls or writes to anybody. What it watches is shown"
        " on the overview while somebody looks, and can be alerted on from outside."
    )
    meanwhile = [
        Meanwhile(
            _("Metrics"),
            _(
                "GET /metrics holds what an alert needs: age of the oldest job, queues without a worker, silent"
                " dispatchers, overdue upkeep, open circuit breakers. Let your monitoring call;"
                " docs/reference/metrics.md names each of them."
            ),
        ),
        Meanwhile(
            _("Self-diagnosis"),
            _("Asks everything that must hold at this moment; “manage.py diagnose” ends with an error if it does not."),
            reverse("admin:diagnosis"),
        ),
        Meanwhile(
            _("Upkeep"),
            _("Recounts and retention, with what each run found; a failed one is told on the overview."),
            reverse("admin:scheduling_upkeeprun_changelist"),
        ),
    ]
    return _answer(request, _("Alerts"), text, meanwhile)


@require_safe
def compliance_page(request: HttpRequest) -> HttpResponse:
    """Show that the console has no compliance reports, and what to use meanwhile."""
    text = _(
        "The console has no compliance reports yet: nothing here gathers evidence for an auditor into one document."
        " What such a report would be made of exists, and can be looked at and exported."
    )
    access = access_of(request)
    meanwhile = [
        Meanwhile(
            _("Audit log"),
            _("Every act of a person, key or command, append-only, in verified chains, with an export."),
            reverse("admin:tenants_auditlogentry_changelist"),
        ),
        Meanwhile(
            _("Erasures"),
            _("What of a tenant was erased and when, with a certificate of what was left nowhere."),
            reverse("admin:tenants_tenanterasure_changelist") if access.may(Permission.TENANTS_ERASE) else "",
        ),
        Meanwhile(
            _("Roles"),
            _("Who may do what: the whole matrix of roles and permissions."),
            reverse("admin:roles") if access.may(Permission.MEMBERS_VIEW) else "",
        ),
    ]
    return _answer(request, _("Compliance"), text, meanwhile)


def _answer(request: HttpRequest, title: str, text: str, meanwhile: list[Meanwhile]) -> HttpResponse:
    context = console_site.each_context(request) | {"title": title, "text": text, "meanwhile": meanwhile}
    return render(request, TEMPLATE, context)
