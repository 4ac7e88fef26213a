"""Console page of one trace, request, batch or job: its rows as a waterfall."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from django.views.decorators.http import require_safe

from scheduling.console.wording import duration_words
from scheduling.correlation.queries import (
    MAX_JOBS,
    MAX_ROWS,
    CorrelatedRow,
    Correlation,
    CorrelationKey,
    RequestTimeMissingError,
    correlate,
    key_of,
)
from scheduling.execution.logs.service import LEVELS
from scheduling.jobs.charts import AXIS_UNITS, TimeAxis
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.post_actions import parse_moment
from tenants.console.site import console_site
from tenants.database.platform_settings import platform_settings

TEMPLATE = "scheduling/dashboards/correlation.html"
WORDS = {
    "job": gettext_noop("job"),
    "attempt": gettext_noop("attempt"),
    "event": gettext_noop("event"),
    "log": gettext_noop("log line"),
    "audit": gettext_noop("audit entry"),
}


@require_safe
def correlation_page(request: HttpRequest) -> HttpResponse:
    """Show what belongs to the id in the URL: `?trace=`, `request`, `batch` or `job`, or `?q=` for any of them."""
    key, value = _chosen(request)
    level = request.GET.get("level", "")
    context: dict[str, Any] = console_site.each_context(request) | {
        "title": _("Timeline"),
        "key": key,
        "value": value,
        "at": request.GET.get("at", ""),
        "level": level,
        "levels": list(LEVELS),
        "most": {"jobs": MAX_JOBS, "rows": MAX_ROWS},
        "axis_units": AXIS_UNITS,
    }
    if key is CorrelationKey.TRACE:
        context["trace_url"] = platform_settings.TRACE_URL_TEMPLATE.replace("{trace_id}", value)
    if key is not None:
        access = access_of(request)
        rights = {"with_logs": access.may(Permission.LOGS_VIEW), "with_audit": access.may(Permission.AUDIT_VIEW)}
        try:
            found = correlate(key, value, at=parse_moment(context["at"]), level=LEVELS.get(level, 0), **rights)
        except RequestTimeMissingError as error:
            context["error"] = error.detail
        else:
            context |= {"found": found, "rows": _drawn(found), **rights}
    return render(request, TEMPLATE, context)


def _chosen(request: HttpRequest) -> tuple[CorrelationKey | None, str]:
    for key in CorrelationKey:
        if value := request.GET.get(key, "").strip()[:64]:
            return key, value
    text = request.GET.get("q", "").strip()[:64]
    return (key_of(text), text) if text else (None, "")


def _drawn(found: Correlation) -> list[dict[str, Any]]:
    """Return each row with its bars on an axis of all rows, their meaning in words, and the job's kind."""
    now = timezone.now()
    ends = [(row.until or now) if row.what in {"job", "attempt"} else row.at for row in found.rows]
    axis = TimeAxis(min((row.at for row in found.rows), default=now), max(ends, default=now))
    return [
        {
            "row": row,
            "what": _(WORDS[row.what]),
            "job": found.jobs.get(row.job_id) if row.job_id else None,
            "after": duration_words(row.at - axis.begins),
            **_bars(row, axis, end),
        }
        for row, end in zip(found.rows, ends, strict=True)
    ]


def _bars(row: CorrelatedRow, axis: TimeAxis, end: datetime) -> dict[str, Any]:
    if row.what not in {"job", "attempt"}:
        return {"point": axis.place(row.at)}
    started = row.started_at or end
    words = [_("waited %s") % duration_words(started - row.at)]
    if row.started_at:
        words.append(_("ran %s") % duration_words(end - started))
    return {"wait": axis.bar(row.at, started), "run": axis.bar(started, end), "words": ", ".join(words)}
