"""Console pages of errors: the groups by fingerprint, and the occurrences of one group with links to requeue them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from scheduling.errors.queries import (
    ERROR_WINDOW,
    MAX_OCCURRENCES,
    describe_occurrences,
    find_occurrences,
    group_errors,
)
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.exports import api_export_url
from tenants.console.site import console_site

LIST_TEMPLATE = "scheduling/dashboards/errors.html"
ONE_TEMPLATE = "scheduling/dashboards/error_occurrences.html"
# By the value of the parameter `range`; the first is the default.
RANGES = {
    "day": (_("Last 24 hours"), timedelta(days=1)),
    "hour": (_("Last hour"), timedelta(hours=1)),
    "week": (_("Last 7 days"), timedelta(days=7)),
}
SHOWN_OCCURRENCES = 50
# Ids are dated by the workers' clocks, which may be ahead of the web server's.
CLOCK_SLACK = timedelta(minutes=5)


@require_safe
def errors_page(request: HttpRequest) -> HttpResponse:
    """Show the errors in groups, most frequent first."""
    context = _context(request, title=_("Errors"))
    found = group_errors(**context.pop("span"))
    return render(request, LIST_TEMPLATE, context | {"found": found, "window": ERROR_WINDOW})


@require_safe
def error_occurrences_page(request: HttpRequest, fingerprint: str) -> HttpResponse:
    """Show the newest occurrences of one fingerprint."""
    context = _context(request, title=_("Error %(fingerprint)s") % {"fingerprint": fingerprint})
    errors = list(find_occurrences(fingerprint, **context.pop("span"))[:MAX_OCCURRENCES])
    if not errors:
        raise Http404
    may_trace = access_of(request).may(Permission.LOGS_VIEW)
    occurrences = describe_occurrences(errors[:SHOWN_OCCURRENCES], with_traceback=may_trace)
    return render(
        request,
        ONE_TEMPLATE,
        context
        | {
            "fingerprint": fingerprint,
            "newest": errors[0],
            "occurrences": occurrences,
            "has_more": len(errors) > len(occurrences),
        },
    )


def _context(request: HttpRequest, *, title: Any) -> dict[str, Any]:
    """Return the template context that both pages share, with the time range chosen in the URL."""
    chosen = request.GET.get("range", "")
    chosen = chosen if chosen in RANGES else next(iter(RANGES))
    until = timezone.now() + CLOCK_SLACK
    since = until - CLOCK_SLACK - RANGES[chosen][1]
    return console_site.each_context(request) | {
        "title": title,
        "export_url": api_export_url("errors", {"created_after": since.isoformat()}),
        "chosen": chosen,
        "ranges": [(name, label) for name, (label, _length) in RANGES.items()],
        "span": {"since": since, "until": until},
    }
