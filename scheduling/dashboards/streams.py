"""The console's streams: the first page's numbers each second, and what happens to the job that is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import get_language
from django.views.decorators.http import require_safe

from scheduling.dashboards.drawn_ahead import draw_ahead
from scheduling.dashboards.overview import variant_of
from scheduling.dashboards.overview_tiles import build_tiles
from scheduling.exceptions import NoStreamsHereError
from scheduling.models import Job
from scheduling.selectors.overview import read_overview
from scheduling.streams import events, numbers
from scheduling.streams.answers import read_position, require_streams, stream_response
from scheduling.streams.subscriptions import EventSubscription, NumbersSubscription, Part
from tenants.access import access_of
from tenants.api.problems import problem_response
from tenants.exceptions import DomainError
from tenants.permissions import Permission


@require_safe
def numbers_stream(request: HttpRequest) -> HttpResponseBase:
    """The numbers of the first page, once a second, and its parts every few."""
    access = access_of(request)
    subscription = NumbersSubscription(
        request,
        Permission.JOBS_VIEW,
        tenant_id=access.tenant.pk if access.tenant else None,
        language=get_language() or "en",
        read=read_numbers,
        variant=variant_of(may_abort_bulk=access.may(Permission.JOBS_BULK)),
    )
    try:
        require_streams(request)
        return stream_response(numbers.feed, subscription)
    except DomainError as refusal:
        return refused(refusal)


def job_stream(request: HttpRequest, job: Job) -> HttpResponseBase:
    """What happens to a job, until it has ended."""
    try:
        require_streams(request)
        subscription = EventSubscription(
            request,
            Permission.JOBS_VIEW,
            tenant_id=job.tenant_id,
            after=read_position(request),
            job_id=job.id,
            has_ended=job.is_terminal,
        )
        return stream_response(events.feed, subscription)
    except DomainError as refusal:
        return refused(refusal)


def refused(refusal: DomainError) -> HttpResponseBase:
    """204 where there are no streams, which no browser calls an error: the page asks again and again instead."""
    return HttpResponse(status=204) if isinstance(refusal, NoStreamsHereError) else problem_response(refusal)


def read_numbers() -> tuple[dict[str, Any], Callable[[], Sequence[Part]]]:
    """The tiles in the order in which they stand, as they are written; and what then draws the page's parts."""
    overview = read_overview()
    numbers = {
        "tiles": [
            {"value": tile.value, "unit": tile.unit, "note": tile.note, "tone": tile.tone}
            for tile in build_tiles(overview)
        ]
    }
    return numbers, partial(draw_ahead, overview)
