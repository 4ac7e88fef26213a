"""The tag of a job as it is answered, and whether the job is another one by now, or has ended."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from scheduling.api.serializers.jobs import Reveals
from scheduling.exceptions import JobNotFoundError
from scheduling.lifecycle import TERMINAL_STATES
from scheduling.models import Job
from scheduling.selectors.jobs import read_mark
from tenants.context import tenant_context
from tenants.live import tag_of
from tenants.permissions import Permission
from tenants.standing import still_may

IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of what is known already: 304 if it is so yet."
)


def tag_of_job(job: Job, *, reveals: Reveals) -> str:
    """A weak tag: two answers with the same one differ in nothing but the outlook of a job that waits."""
    return f"W/{tag_of(f'{job.mark}:{reveals}')}"


def is_same_tag(request: Request, tag: str) -> bool | None:
    """Whether the caller knows what has this tag; None where it does not say what it knows."""
    given = parse_etags(request.headers.get("If-None-Match", ""))
    if not given:
        return None
    return given == ["*"] or tag.removeprefix("W/") in {each.removeprefix("W/") for each in given}


def has_changed(request: HttpRequest, job: Job) -> bool:
    """Whether there is something to tell: the job is different, is gone, or the caller may ask no more."""
    if not still_may(request, Permission.JOBS_VIEW):
        return True
    with tenant_context(job.tenant_id):
        try:
            return read_mark(job.id) != job.mark
        except JobNotFoundError:
            return True


def has_ended(request: HttpRequest, job: Job) -> bool:
    """Whether there is something to tell: the job has ended, is gone, or the caller may ask no more."""
    if not still_may(request, Permission.JOBS_VIEW):
        return True
    with tenant_context(job.tenant_id):
        return not Job.objects.filter(id=job.id).exclude(state__in=TERMINAL_STATES).exists()
