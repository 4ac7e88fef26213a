"""Console page of the self-diagnosis: the checks with measurements and hints."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_safe

from scheduling.diagnosis.service import Health, diagnose
from tenants.console.site import console_site

TEMPLATE = "scheduling/dashboards/diagnosis.html"
# Badges of the states of a check.
STATE_WORDS = {
    Health.OK: gettext_noop("ok"),
    Health.WARNING: gettext_noop("warning"),
    Health.FAILURE: gettext_noop("failure"),
}
MARKS = {Health.OK: "running", Health.WARNING: "paused", Health.FAILURE: "silent"}


@require_safe
def diagnosis_page(request: HttpRequest) -> HttpResponse:
    """Run the self-diagnosis and show its results."""
    diagnosis = diagnose()
    context = console_site.each_context(request) | {
        "rows": [(check, MARKS[check.state], gettext(STATE_WORDS[check.state])) for check in diagnosis.checks],
        "failed": sum(check.state is Health.FAILURE for check in diagnosis.checks),
    }
    return render(request, TEMPLATE, context)
