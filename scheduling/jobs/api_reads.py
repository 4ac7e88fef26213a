"""HTTP reads of one job: cached answers about ended jobs, entity tags, and long polling for changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from scheduling.api.filters import QuerySerializer
from scheduling.exceptions import JobNotFoundError
from scheduling.execution.logs.api import MAX_WAIT_SECONDS, QueryNumberField
from scheduling.jobs.lifecycle import TERMINAL_STATES
from scheduling.jobs.queries import read_mark
from scheduling.jobs.serializers import Reveals
from scheduling.models import Job
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.access.reauthorization import is_still_authorized
from tenants.cache.bounded_cache import BoundedCache
from tenants.console.polled_parts import etag_of
from tenants.context import tenant_context

MAX_PAYLOAD_BYTES: Final = 4 * 1024
MAX_ANSWER_CHARACTERS: Final = 16 * 1024
# The longest time in seconds that an answer about a pruned job may be served.
KEPT_SECONDS: Final = 60.0

_kept: BoundedCache[tuple[UUID, UUID, Reveals], CachedJobResponse] = BoundedCache(most=500, seconds=KEPT_SECONDS)


@dataclass(frozen=True, slots=True)
class CachedJobResponse:
    """A response about one job: its representation and its ETag."""

    tag: str
    shown: dict[str, Any]


def find_cached_response(access: Access, job_id: UUID, *, reveals: Reveals) -> CachedJobResponse | None:
    """Return the cached response about a job of the caller's own tenant, or None; None for a narrowed role."""
    tenant_id = None if access.narrowing is not None else access.own_tenant_id
    return None if tenant_id is None else _kept.get((tenant_id, job_id, reveals))


def cache_response(access: Access, job: Job, answer: CachedJobResponse, *, reveals: Reveals) -> None:
    """Cache the response about a job that has ended, is small and belongs to the caller's own tenant.

    A schedule's name can change, so jobs of schedules are not cached.
    """
    tenant_id = access.own_tenant_id
    if tenant_id is None or tenant_id != job.tenant_id or not job.is_terminal or answer.shown["schedule"] is not None:
        return
    if job.payload_bytes > MAX_PAYLOAD_BYTES or len(json.dumps(answer.shown, default=str)) > MAX_ANSWER_CHARACTERS:
        return
    _kept.put((tenant_id, job.id, reveals), answer)


def clear() -> None:
    """Remove every cached answer; for tests."""
    _kept.clear()


# In seconds, below the time-outs of proxies.
MAX_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS = 60, 30


class JobWaitQuerySerializer(QuerySerializer):
    """The longest time to wait for a change of the job."""

    wait = QueryNumberField(
        min_value=0,
        max_value=MAX_WAIT_SECONDS,
        default=0,
        help_text=(
            "Seconds to wait for a change from `If-None-Match`, or from the current state; an ended job is "
            "returned at once."
        ),
    )


class JobEndQuerySerializer(QuerySerializer):
    """The longest time to wait for the job's end."""

    timeout = QueryNumberField(
        min_value=0,
        max_value=MAX_TIMEOUT_SECONDS,
        default=DEFAULT_TIMEOUT_SECONDS,
        help_text="Seconds after which the job is returned in its current state.",
    )


IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="ETag of the client's copy; 304 if it is current."
)


def job_etag(job: Job, *, reveals: Reveals) -> str:
    """Return the job's weak ETag; responses with the same one may differ only in the estimates for a waiting job."""
    return f"W/{etag_of(f'{job.mark}:{reveals}')}"


def is_etag_current(request: Request, tag: str) -> bool | None:
    """Return whether the client's copy has this ETag; None if the client sent no ETag."""
    given = parse_etags(request.headers.get("If-None-Match", ""))
    if not given:
        return None
    return given == ["*"] or tag.removeprefix("W/") in {each.removeprefix("W/") for each in given}


def has_changed(request: HttpRequest, job: Job) -> bool:
    """Return whether a long poll must end: the job has changed or is gone, or the caller lost its permission."""
    if not is_still_authorized(request, Permission.JOBS_VIEW):
        return True
    with tenant_context(job.tenant_id):
        try:
            return read_mark(job.id) != job.mark
        except JobNotFoundError:
            return True


def has_ended(request: HttpRequest, job: Job) -> bool:
    """Return whether a long poll must end: the job has ended or is gone, or the caller lost its permission."""
    if not is_still_authorized(request, Permission.JOBS_VIEW):
        return True
    with tenant_context(job.tenant_id):
        return not Job.objects.filter(id=job.id).exclude(state__in=TERMINAL_STATES).exists()
