"""Link from a wait that the console shows to a job that waited as long, whose page links to its trace."""

from __future__ import annotations

from bisect import bisect_left
from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from scheduling.shares.raw import fetch_rows
from scheduling.statistics.histogram import BOUNDS
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.database.sql import load_sql

# The time of the numbers that link here, and the most executions that are searched.
SEARCHED, MOST = timedelta(hours=1), 20_000
MOST_US = 2**62
_FIND = load_sql(__file__)["find_job_by_wait"]


@require_safe
def wait_page(request: HttpRequest) -> HttpResponse:
    """Redirect to a job of the queue whose wait is in the same bucket, or to the jobs of the queue if there is none."""
    queue = request.GET.get("queue", "")[:60]
    try:
        job_id = find_job(queue, float(request.GET.get("seconds", "")))
    except ValueError:
        job_id = None
    if job_id is not None:
        return redirect("admin:scheduling_job_change", job_id)
    messages.info(request, _("No job that ended recently waited that long."))
    return redirect(f"{reverse('admin:scheduling_job_changelist')}?{urlencode({'queue': queue})}")


def find_job(queue: str, seconds: float) -> UUID | None:
    """Return a job of the viewer's scope that waited in this queue as long as the bucket of ``seconds``."""
    # A percentile is above the lower bound of its bucket, and at most its upper one, which the next bucket begins with.
    # Of the last bucket, it is the lower one.
    bucket = bisect_left(BOUNDS, seconds) if seconds < BOUNDS[-1] else len(BOUNDS)
    low, *high = (0.0, *BOUNDS)[bucket : bucket + 2]
    bounds = {"from_us": int(low * 1e6), "below_us": int(high[0] * 1e6) if high else MOST_US}
    values = {"since": uuid7_floor(read_clock() - SEARCHED), "most": MOST, "queue": queue, **bounds}
    return next((found.job_id for found in fetch_rows(_FIND, values)), None)
