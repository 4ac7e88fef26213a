"""Console pages of failures: their causes, and the occurrences of one error with links to requeue them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from scheduling.console.links import investigate_url
from scheduling.errors.causes import Cause, find_causes
from scheduling.errors.queries import (
    ERROR_WINDOW,
    MAX_GROUPS,
    MAX_OCCURRENCES,
    describe_occurrences,
    find_occurrences,
)
from scheduling.jobs.dead_letters.links import cause_of, list_url, requeue_all_url
from scheduling.statistics.minute_charts import spark
from tenants.access.caller import Access, access_of
from tenants.access.permissions import Permission
from tenants.console.exports import api_export_url
from tenants.console.site import console_site

LIST_TEMPLATE = "scheduling/dashboards/failures.html"
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
def failures_page(request: HttpRequest) -> HttpResponse:
    """Show the causes of errors and dead letters, most frequent first."""
    context, access = _context(request, title=_("Failures")), access_of(request)
    found = find_causes(**context.pop("span"))
    rows = [_row(cause, access, context["chosen"]) for cause in found.causes]
    own = {"found": found, "rows": rows, "window": ERROR_WINDOW, "shown": MAX_GROUPS}
    return render(request, LIST_TEMPLATE, context | own | {"names_tenants": access.sees_all_tenants})


def _row(cause: Cause, access: Access, chosen: str) -> dict[str, Any]:
    """Return the cause with the URLs of its errors (else of its dead letters), of its letters and of their requeue."""
    row: dict[str, Any] = {"cause": cause, "letters_url": list_url(cause.kinds, cause.fingerprint)}
    row["url"] = row["letters_url"]
    if cause.fingerprint and access.may(Permission.AUDIT_VIEW):
        row["investigate_url"] = investigate_url(fingerprint=cause.fingerprint, began_at=f"{cause.first_at:%FT%TZ}")
    if cause.letters.value:
        row["requeue_url"] = requeue_all_url(access, cause_of(cause.kinds, cause.fingerprint))
    if cause.errors:
        row["url"] = f"{reverse('admin:error_occurrences', args=[cause.fingerprint])}?range={chosen}"
        words = _("%(total)s failed attempts, at most %(most)s in one of %(parts)s parts of the time range.")
        facts = {"total": cause.errors, "most": max(cause.trend), "parts": len(cause.trend)}
        row["trend"] = replace(spark(cause.trend), summary=words % facts)
    return row


@require_safe
def error_occurrences_page(request: HttpRequest, fingerprint: str) -> HttpResponse:
    """Show the newest occurrences of one fingerprint."""
    context = _context(request, title=_("Error %(fingerprint)s") % {"fingerprint": fingerprint})
    found = find_occurrences(fingerprint, **context.pop("span")).select_related("tenant")
    errors = list(found[:MAX_OCCURRENCES])
    if not errors:
        raise Http404
    access = access_of(request)
    may_trace = access.may(Permission.LOGS_VIEW)
    occurrences = describe_occurrences(errors[:SHOWN_OCCURRENCES], with_traceback=may_trace)
    return render(
        request,
        ONE_TEMPLATE,
        context
        | {
            "fingerprint": fingerprint,
            "names_tenants": access.sees_all_tenants,
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
