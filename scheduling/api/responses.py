"""Answers that more than one view gives: a page of rows, a new job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import Serializer

from scheduling.exceptions import PayloadInvalidError
from scheduling.jobs.serializers import JobAnswerQuerySerializer, Reveals, show_job
from scheduling.limits.admission import RateStanding
from scheduling.models import Job
from tenants.access.caller import Access, access_of
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet
from tenants.api.walked_pages import WalkedPagination

MINIMAL = "return=minimal"
RATE_HEADERS = [
    OpenApiParameter(name, int, OpenApiParameter.HEADER, description=description, response=[200, 201])
    for name, description in (
        ("RateLimit-Limit", "Jobs that may be submitted at once after a time of rest."),
        ("RateLimit-Remaining", "Jobs that may be submitted now."),
        ("RateLimit-Reset", "Seconds until all may be submitted at once again."),
    )
]


def page_response(
    view: TenantViewSet,
    rows: QuerySet[Any],
    serializer: type[Serializer[Any]],
    *,
    walked: QuerySet[Any] | None = None,
) -> Response:
    """One page of ``rows`` by the view's own paging; ``walked`` are those that a filter without an index looks at."""
    if isinstance(view.paginator, WalkedPagination):
        view.paginator.walked = walked
    return view.get_paginated_response(serializer(view.paginate_queryset(rows), many=True).data)


def includes_waiting(request: Request) -> bool:
    """Return whether the request asks for the explanation of the job's wait; refuse other query parameters.

    Call it before the act: a refusal must not come after tokens were taken.
    """
    if not request.query_params:
        return False
    return bool(JobAnswerQuerySerializer.parse(request.query_params).validated_data["include"] == "waiting")


def job_response(
    request: Request,
    job: Job,
    *,
    has_waiting: bool,
    status: int = 200,
    headers: dict[str, str] | None = None,
    is_submitted: bool = False,
) -> Response:
    """Return a job as the answer to an act on it, with its payload for members of the tenant who may see it."""
    access = access_of(request._request)  # noqa: SLF001 - the middleware wrote on Django's request
    reveals = "nothing" if access.platform_role is not None else reveals_of(access)
    shown = show_job(job, reveals=reveals, is_submitted=is_submitted, has_waiting=has_waiting)
    return Response(shown, status=status, headers=headers)


def reveals_of(access: Access) -> Reveals:
    """What the caller's rights let an answer tell of a job."""
    if access.may(Permission.JOBS_REVEAL):
        return "everything"
    return "result" if access.may(Permission.JOBS_RESULTS) else "nothing"


@contextmanager
def masked_faults(access: Access) -> Iterator[None]:
    """A stored payload that is refused anew: its faults quote it, which is not for whoever may not see it."""
    try:
        yield
    except PayloadInvalidError as refusal:
        if access.may(Permission.JOBS_REVEAL):
            raise
        raise PayloadInvalidError from refusal


def new_job_response(request: Request, job: Job, *, has_waiting: bool, is_submitted: bool = False) -> Response:
    """Return 201 with the job and its address."""
    headers = {"Location": reverse("job-detail", args=[job.id], request=request)}
    return job_response(request, job, has_waiting=has_waiting, status=201, headers=headers, is_submitted=is_submitted)


def submission_response(request: Request, job: Job, *, created: bool, has_waiting: bool) -> Response:
    """Return the answer to a submission, 201 or 200: the job, or with `Prefer: return=minimal` (RFC 7240) its id."""
    if _prefers_minimal(request):
        # Below the address that was asked; to look it up among all addresses takes as long as to read the request.
        location = f"{request.scheme}://{request.get_host()}{request.path}{job.id}/"
        headers = {"Location": location, "Preference-Applied": MINIMAL}
        return Response({"id": job.id}, status=201 if created else 200, headers=headers)
    if created:
        return new_job_response(request, job, has_waiting=has_waiting, is_submitted=True)
    return job_response(request, job, has_waiting=has_waiting)


def _prefers_minimal(request: Request) -> bool:
    asked = request.headers.get("Prefer", "").replace(";", ",").split(",")
    return MINIMAL in (preference.strip().lower() for preference in asked)


def with_new_jobs(answer: Response, count: int) -> Response:
    """Return the answer with how many jobs the submission has made: after one that made none the next has a cost."""
    answer.new_jobs = count
    return answer


def with_rate(answer: Response, rate: RateStanding | None) -> Response:
    """The answer to a submission, with how the tenant's rate stands."""
    for name, value in (rate.headers() if rate else {}).items():
        answer[name] = value
    return answer
