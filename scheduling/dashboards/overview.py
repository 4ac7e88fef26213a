"""The console's first page: drawn whole once, then its body again every few seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from scheduling.dashboards.wording import duration_words
from scheduling.selectors.overview import Overview, read_overview
from scheduling.selectors.throughput import Ended
from scheduling.services.upkeep.status import find_upkeep_warnings
from tenants.access import access_of
from tenants.live import answer_part, tag_of
from tenants.permissions import Permission

BODY_TEMPLATE = "scheduling/dashboards/overview_body.html"
# The chart's own units; the page scales them.
CHART_HEIGHT = 56.0
BAR_STEP, BAR_WIDTH = 10.0, 8.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One bucket of the throughput chart, in the chart's units: the failed part stands on the completed one."""

    x: float
    completed_y: float
    completed_height: float
    failed_y: float
    failed_height: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Completed and failed executions over time; ``summary`` says in words what the bars show."""

    bars: list[Bar]
    width: float
    height: float
    bar_width: float
    summary: str


def add_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's dashboard callback: the page's body and its tag, or neither for somebody without a tenant."""
    access = access_of(request)
    context["title"] = "Overview"
    context["scope_name"] = access.tenant.name if access.tenant else "All tenants"
    if access.may(Permission.JOBS_VIEW):
        body = _render_body(request)
        context |= {"overview_body": body, "overview_etag": tag_of(body)}
    return context


@require_safe
def overview_fragment(request: HttpRequest) -> HttpResponseBase:
    """The body alone; 304 when it is what the browser has already."""
    return answer_part(request, _render_body(request))


def _render_body(request: HttpRequest) -> str:
    overview = read_overview()
    return render_to_string(
        BODY_TEMPLATE,
        {
            "overview": overview,
            "chart": draw_throughput(overview.work.buckets),
            # What is no tenant's is not a tenant's affair.
            "upkeep_warnings": find_upkeep_warnings() if overview.is_all_tenants else [],
            **_tiles(overview),
        },
        request,
    )


def _tiles(overview: Overview) -> dict[str, Any]:
    """What the tiles and banners need beyond the numbers themselves."""
    rate = overview.work.total.failure_rate
    back_offs = overview.back_offs
    next_in = duration_words(back_offs.next_at - overview.now) if back_offs.next_at else ""
    return {
        "slots_of": f"/ {overview.slots:,}",
        "slots_note": f"{overview.executing:,} running, {overview.dispatched:,} handed out",
        "retries_note": f"{back_offs.due:,} due, next in {next_in}" if next_in else "nothing backs off",
        "active_queues": [line for line in overview.queues if not line.is_quiet or line.queue.is_paused],
        "quiet_queues": [line for line in overview.queues if line.is_quiet and not line.queue.is_paused],
        "slot_share": overview.in_flight / overview.slots if overview.slots else None,
        "failure_tone": "quiet" if not rate else "warn" if rate < 0.1 else "bad",
        "window_words": f"{overview.work.minutes:.0f} min" if overview.work.minutes >= 1 else "less than a minute",
    }


def draw_throughput(buckets: Sequence[Ended]) -> Chart:
    """Bars from the oldest to the newest bucket, to the scale of the highest."""
    top = max((bucket.completed + bucket.failed for bucket in buckets), default=0) or 1
    bars = []
    for index, bucket in enumerate(buckets):
        completed = CHART_HEIGHT * bucket.completed / top
        failed = CHART_HEIGHT * bucket.failed / top
        minutes = len(buckets) - 1 - index
        when = f"{minutes} min ago" if minutes else "this minute"
        bars.append(
            Bar(
                x=index * BAR_STEP,
                completed_y=CHART_HEIGHT - completed,
                completed_height=completed,
                failed_y=CHART_HEIGHT - completed - failed,
                failed_height=failed,
                title=f"{when}: {bucket.completed} completed, {bucket.failed} failed",
            )
        )
    completed_all = sum(bucket.completed for bucket in buckets)
    failed_all = sum(bucket.failed for bucket in buckets)
    summary = f"{completed_all:,} completed and {failed_all:,} failed in {len(buckets)} minutes."
    return Chart(bars, len(buckets) * BAR_STEP, CHART_HEIGHT, BAR_WIDTH, summary)
