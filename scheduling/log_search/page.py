"""Console page of the log lines of all jobs: a search, its newest lines, which can be followed, and their numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe

from scheduling.jobs.filters.terms import write_value
from scheduling.jobs.saved_views.admin import saved_views_context
from scheduling.load.exceptions import FeatureOffError
from scheduling.log_search.platform_lines import search_platform_lines
from scheduling.log_search.query import FIELDS, LogQuery, parse_query
from scheduling.log_search.search import LogSummary, add_requests, lines_around, search_lines, summarize_lines
from scheduling.models import SavedView
from scheduling.statistics.minute_charts import draw_values
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.keyset import parse_uuid
from tenants.console.polled_parts import etag_of, part_response
from tenants.console.site import console_site
from tenants.encryption.fields import is_sealing
from tenants.exceptions import DomainError
from tenants.requests.features import require_feature

EXAMPLE = "timeout level:error kind:noop"
WORDS = (("timeout", gettext_lazy("a whole word")), ("-timeout", gettext_lazy("rules out")))
# Of lines that are not encrypted.
PARTS_OF_TEXTS = (
    ('"connection reset"', gettext_lazy("a phrase")),
    ("timeo*", gettext_lazy("the beginning of a word")),
)
PAGE_TEMPLATE = "scheduling/dashboards/logs.html"
LINES_TEMPLATE = "scheduling/dashboards/parts/log_lines.html"
SUMMARY_TEMPLATE = "scheduling/dashboards/parts/log_summary.html"
SHOWN_LINES, AROUND_LINES, MAX_CHARACTERS = 100, 25, 4_000
# By the value of the parameter `range`; the first is the default.
RANGES: dict[str, tuple[Any, timedelta | None]] = {
    "day": (gettext_lazy("Last 24 hours"), timedelta(days=1)),
    "hour": (gettext_lazy("Last hour"), timedelta(hours=1)),
    "week": (gettext_lazy("Last 7 days"), timedelta(days=7)),
    "all": (gettext_lazy("All stored lines"), None),
}


@require_safe
def logs_page(request: HttpRequest) -> HttpResponse:
    """Show the newest matching lines; with `tail` the browser polls them, with `around` show those near a line."""
    chosen = _chosen(request)
    context = console_site.each_context(request) | saved_views_context(request, SavedView.Place.LOGS) | chosen
    context |= {
        "title": _("Logs"),
        "names_tenants": access_of(request).sees_all_tenants,
        "ranges": [(name, label) for name, (label, _length) in RANGES.items()],
        "fields": FIELDS.values(),
        "example": EXAMPLE,
        "words": WORDS if is_sealing() else (*WORDS, *PARTS_OF_TEXTS),
        "filter_text": chosen["query_text"],
        "chips": chosen["query_text"],
        "summary_url": f"{reverse('admin:logs_summary')}?{request.GET.urlencode()}",
        "alert_url": _alert_url(request, chosen),
        "lines_url": f"{reverse('admin:logs_part')}?{request.GET.urlencode()}",
    }
    around = parse_uuid(request.GET.get("around", ""))
    if around is not None:
        part = _draw(request, {"lines": lines_around(around, count=AROUND_LINES), "around": around})
        return render(request, PAGE_TEMPLATE, context | {"around": around, "part": part})
    part = _lines(request, chosen)
    return render(request, PAGE_TEMPLATE, context | {"part": part, "etag": etag_of(part)})


@require_safe
def logs_part(request: HttpRequest) -> HttpResponseBase:
    """Render only the lines; answer 304 if the browser's copy is current."""
    return part_response(request, _lines(request, _chosen(request)))


@require_safe
def logs_summary(request: HttpRequest) -> HttpResponse:
    """Render the numbers of matching lines by time, and their facets, each a link that narrows the search."""
    chosen = _chosen(request)
    context: dict[str, Any] = {"chosen": chosen["chosen"]}
    try:
        require_feature("previews")
        found = summarize_lines(_query(chosen))
    except FeatureOffError as refusal:
        return render(request, SUMMARY_TEMPLATE, context | {"refusal": refusal.detail})
    except DomainError:  # the lines show it
        return render(request, SUMMARY_TEMPLATE, context)
    return render(request, SUMMARY_TEMPLATE, context | _numbers(found, chosen))


def _chosen(request: HttpRequest) -> dict[str, Any]:
    name, access = request.GET.get("range", ""), access_of(request)
    may_see_platform = access.sees_all_tenants and access.may(Permission.PLATFORM_VIEW)
    return {
        "may_see_platform": may_see_platform,
        "is_platform": may_see_platform and request.GET.get("of") == "platform",
        "query_text": request.GET.get("q", "").strip()[:MAX_CHARACTERS],
        "chosen": name if name in RANGES else next(iter(RANGES)),
        "is_tail": "tail" in request.GET,
    }


def _alert_url(request: HttpRequest, chosen: dict[str, Any]) -> str:
    """Return the address of the form of an alert rule that counts the lines of this search; empty without the right."""
    if not chosen["query_text"] or chosen["is_platform"] or not access_of(request).may(Permission.ALERTS_MANAGE):
        return ""
    values = {"measure": "log_matches", "per": "query", "threshold": 1, "log_query": chosen["query_text"]}
    return f"{reverse('admin:scheduling_alertrule_add')}?{urlencode(values)}"


def _query(chosen: dict[str, Any]) -> LogQuery:
    length = RANGES[chosen["chosen"]][1]
    since = None if length is None else timezone.now() - length
    return parse_query(chosen["query_text"], is_sealed=is_sealing()).between(since, None)


def _lines(request: HttpRequest, chosen: dict[str, Any]) -> Any:
    search = search_platform_lines if chosen["is_platform"] else search_lines
    try:
        found = search(_query(chosen), before=parse_uuid(request.GET.get("before", "")), limit=SHOWN_LINES)
    except DomainError as error:
        return _draw(request, {"error": error.detail})
    older = {"q": chosen["query_text"], "range": chosen["chosen"], "before": str(found.before)}
    if chosen["is_platform"]:
        older["of"] = "platform"
    else:
        add_requests(found.lines)
    older_url = f"{reverse('admin:logs')}?{urlencode(older)}" if found.before else ""
    shown = {"lines": found.lines, "is_cut": found.is_cut, "older_url": older_url}
    search_text = urlencode({"q": chosen["query_text"], "range": chosen["chosen"]})
    return _draw(request, {**shown, "is_search": not chosen["is_platform"], "search": search_text, **chosen})


def _draw(request: HttpRequest, context: dict[str, Any]) -> Any:
    return render_to_string(LINES_TEMPLATE, {"names_tenants": access_of(request).sees_all_tenants, **context}, request)


def _numbers(found: LogSummary, chosen: dict[str, Any]) -> dict[str, Any]:
    step = (found.until - found.since) / len(found.parts)
    points = [(found.since + (number + 0.5) * step, float(count)) for number, count in enumerate(found.parts)]
    facets = [
        (name, [(value, count, _narrowed(chosen, f"{name}:{write_value(value)}")) for value, count in counts.items()])
        for name, counts in found.facets.items()
        if counts and f"{name}:" not in chosen["query_text"]
    ]
    return {
        "chart": draw_values(points, _lines_words, is_count=True),
        "is_estimated": found.is_estimated,
        "facets": facets,
        "counted": found.counted,
    }


def _lines_words(count: float) -> str:
    return ngettext("%d line", "%d lines", round(count)) % round(count)


def _narrowed(chosen: dict[str, Any], term: str) -> str:
    text = f"{chosen['query_text']} {term}".strip()
    return f"{reverse('admin:logs')}?{urlencode({'q': text, 'range': chosen['chosen']})}"
