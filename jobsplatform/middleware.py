"""Middleware of the site: access log, content security policy, messages of the console, request rates.

Each request costs a number of units, which are taken from the token buckets of its caller before the view runs. A
request with an API key uses the buckets of the key and of its tenant; a person's request those of the person and the
tenant; a request without credentials that of its address. All buckets of a request need one round trip to Redis, and a
request that costs nothing needs none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, override
from uuid import UUID

import structlog
from csp.constants import HEADER
from csp.utils import build_policy
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

from scheduling.fairness.gcra import Grant, Rate
from scheduling.limits import rate_buckets
from scheduling.limits.rate_buckets import Bucket
from tenants.access.addresses import client_address
from tenants.access.caller import Access, access_of
from tenants.api.problems import problem_response
from tenants.database.platform_settings import platform_settings
from tenants.exports.service import FORMAT
from tenants.limits.declared import HEAVY, LIST, READ, WRITE, LimitReached, cost_of
from tenants.limits.errors import RequestRateError
from tenants.limits.tenancy_limits import KEY_REQUESTS, REQUEST_LIMITS, SESSION_REQUESTS, TENANT_REQUESTS, RequestLimits
from tenants.limits.usage import CachedLimits
from tenants.middleware import unavailable_response
from tenants.url_prefixes import API_PREFIX, CONSOLE_PREFIX

logger = structlog.stdlib.get_logger("jobsplatform.access")

# Characters of a path in a line; longer ones are cut.
MAX_PATH_CHARACTERS = 512
# Polled by orchestrators and monitoring.
FREE_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})
# For a rate of 0, which only another plan changes.
NEVER_RETRY_AFTER_SECONDS = 3_600
MAX_REFUSED_SUBMITTERS = 10_000


class AccessLogMiddleware:
    """Outermost middleware, which logs every response.

    The query string is not logged, because it may contain secrets.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.monotonic()
        response = self.get_response(request)
        tenant = getattr(getattr(request, "access", None), "tenant", None)
        write = logger.debug if request.path in FREE_PATHS else logger.info
        write(
            "request.ended",
            method=request.method,
            path=request.path[:MAX_PATH_CHARACTERS],
            status=response.status_code,
            seconds=round(time.monotonic() - began, 4),
            request_id=getattr(request, "request_id", ""),
            **({"tenant_id": str(tenant.pk)} if tenant else {}),
        )
        return response


class ContentSecurityMiddleware:
    """Middleware that sets the content security policy of the settings on responses that have none.

    The library's middleware builds the header for each response, with nonces and exceptions that the platform does not
    use; that takes as long as resolving the view.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        # Django's error pages contain scripts.
        if not (settings.DEBUG and response.status_code in {404, 500}):
            response.headers.setdefault(HEADER, self._policy)
        return response


class ConsoleMessageMiddleware(MessageMiddleware):
    """Django's message middleware for requests to the console only; the API has no messages."""

    @override
    def __call__(self, request: HttpRequest) -> Any:
        is_console = request.path_info.startswith(CONSOLE_PREFIX)
        return super().__call__(request) if is_console else self.get_response(request)


# Callers whose last submission in this process created no new job: it was refused, or repeated a key. Submissions have
# a bucket of their own, from which these take nothing: without this they would be unlimited.
_refused_submitters: set[object] = set()
_limits = CachedLimits("request_limits", REQUEST_LIMITS)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A token bucket that a request uses, with its rate and burst."""

    policy: str
    owner: object
    per_minute: int
    burst: int
    limit_key: str = ""

    @property
    def rate(self) -> Rate | None:
        return Rate.per_minute(self.per_minute, self.burst)

    @classmethod
    def of_limits(cls, limits: RequestLimits, owner: object, allowed: Mapping[str, int]) -> _Drawn:
        """Return the bucket of an owner, with the values that ``allowed`` has for these limits."""
        per_minute = limits.per_minute.key
        return cls(limits.name, owner, allowed[per_minute], allowed[limits.burst.key], per_minute)


@dataclass(frozen=True, slots=True)
class _Charge:
    """Result of charging a request: the response headers, and the error if a bucket did not have enough tokens."""

    headers: Mapping[str, str]
    refusal: RequestRateError | None = None
    # The caller, if the view costs nothing.
    submitter: object = None


class RequestRateMiddleware:
    """Middleware that charges each request once; it must be inside `TenantMiddleware`, which identifies the caller."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if _charge_of(request) is None and (refused := _charge_and_refuse(request, READ)) is not None:
            # No view was reached: none exists, or another middleware refused the request.
            response = refused
        charge = _charge_of(request)
        if charge is not None:
            has_made_jobs = response.status_code < HTTPStatus.BAD_REQUEST and bool(getattr(response, "new_jobs", 0))
            _note_submission(charge, has_made_jobs=has_made_jobs)
            for name, value in charge.headers.items():
                response.headers[name] = value
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> HttpResponseBase | None:
        """Take the view's cost from the caller's buckets; return a 429 response if they do not have enough."""
        if _charge_of(request) is not None:  # a request after a long poll is handled again
            return None
        match = request.resolver_match
        cost = cost_of(view, request.method or "", (match.url_name if match else None) or "")
        if cost == LIST and FORMAT in request.GET:
            cost = HEAVY
        return _charge_and_refuse(request, cost)


def _charge_of(request: HttpRequest) -> _Charge | None:
    return getattr(request, "rate_charge", None)


def _charge_and_refuse(request: HttpRequest, cost: int) -> HttpResponseBase | None:
    try:
        charge = _charge(request, cost)
    except (OperationalError, InterfaceError) as error:
        return unavailable_response(request, error)
    request.rate_charge = charge  # type: ignore[attr-defined]
    return None if charge.refusal is None else _refuse(request, charge.refusal)


def _charge(request: HttpRequest, cost: int) -> _Charge:
    if request.path_info in FREE_PATHS:
        return _Charge({})
    submitter = None if cost else _caller_of(request)
    if submitter is not None and submitter not in _refused_submitters:
        return _Charge({}, submitter=submitter)
    return replace(_take(_drawn_by(request), cost or WRITE), submitter=submitter)


def _caller_of(request: HttpRequest) -> object:
    """Return the id of the request's API key or person, or None without credentials."""
    key = access_of(request).api_key
    return request.user.pk if key is None else key.pk


def _note_submission(charge: _Charge, *, has_made_jobs: bool) -> None:
    """Remember a caller whose submission created no job: its next submissions cost units until one creates a job."""
    if charge.submitter is None:
        return
    if has_made_jobs:
        _refused_submitters.discard(charge.submitter)
    elif len(_refused_submitters) < MAX_REFUSED_SUBMITTERS:
        _refused_submitters.add(charge.submitter)


def _drawn_by(request: HttpRequest) -> list[_Drawn]:
    """Return the token buckets that the request's caller uses."""
    access = access_of(request)
    if access.api_key is not None:
        tenant_id = access.api_key.tenant_id
        allowed = _allowed(access, tenant_id)
        own = _Drawn.of_limits(KEY_REQUESTS, access.api_key.pk, allowed)
        return [own] if tenant_id is None else [own, _Drawn.of_limits(TENANT_REQUESTS, tenant_id, allowed)]
    has_session = request.path_info.startswith((API_PREFIX, CONSOLE_PREFIX)) and request.user.is_authenticated
    if not has_session:
        return [_Drawn("address", client_address(request), *platform_settings.ANONYMOUS_REQUEST_RATE)]
    # Platform staff draw on no tenant's bucket.
    tenant = access.tenant if access.platform_role is None else None
    allowed = _allowed(access, None if tenant is None else tenant.pk)
    own = _Drawn.of_limits(SESSION_REQUESTS, request.user.pk, allowed)
    return [own] if tenant is None else [own, _Drawn.of_limits(TENANT_REQUESTS, tenant.pk, allowed)]


def _allowed(access: Access, tenant_id: UUID | None) -> Mapping[str, int]:
    """Return the tenant's values of the request limits; the defaults if the request has no tenant or was refused."""
    found = {} if tenant_id is None or access.scope is None else _limits.get(tenant_id)
    values = {limit.key: found[limit.key].allowed if limit.key in found else limit.default for limit in REQUEST_LIMITS}
    return {key: value or 0 for key, value in values.items()}


def _take(drawn: Sequence[_Drawn], cost: int) -> _Charge:
    rates = [one.rate for one in drawn]
    buckets = [
        Bucket(f"request:{one.policy}:{one.owner}", rate) for one, rate in zip(drawn, rates, strict=True) if rate
    ]
    if len(buckets) < len(drawn):
        closed = next(one for one, rate in zip(drawn, rates, strict=True) if rate is None)
        return _refused(closed, NEVER_RETRY_AFTER_SECONDS, {})
    # A request that costs more than the bucket's burst empties it, instead of being refused forever.
    units = min(cost, *(bucket.rate.burst for bucket in buckets))
    grants = rate_buckets.take_whole(buckets, units)
    headers = _headers(drawn, buckets, grants)
    if grants[0].granted == units:
        return _Charge(headers)
    waits = [grant.wait_us(bucket.rate, units) for grant, bucket in zip(grants, buckets, strict=True)]
    longest = waits.index(max(waits))
    return _refused(drawn[longest], max(1, math.ceil(waits[longest] / 1_000_000)), headers)


def _headers(drawn: Sequence[_Drawn], buckets: Sequence[Bucket], grants: Sequence[Grant]) -> dict[str, str]:
    """Return the two rate limit headers of the IETF draft: the policies, and what is left of each."""
    left = [
        f'"{one.policy}";r={grant.remaining};t={math.ceil(grant.backlog_us / 1_000_000)}'
        for one, bucket, grant in zip(drawn, buckets, grants, strict=True)
    ]
    policies = [f'"{one.policy}";q={one.per_minute};w=60' for one in drawn]
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


def _refused(drawn: _Drawn, seconds: int, headers: Mapping[str, str]) -> _Charge:
    resets_at = datetime.now(UTC) + timedelta(seconds=seconds)
    reached = LimitReached(drawn.limit_key, "units/min", drawn.per_minute, drawn.per_minute, resets_at)
    refusal = RequestRateError(
        "Requests may cost %(per_minute)s units a minute; try again in %(seconds)s s.",
        {"per_minute": f"{drawn.per_minute:,}", "seconds": seconds},
        retry_after_seconds=seconds,
        limit=reached if drawn.limit_key else None,
    )
    return _Charge(headers, refusal)


def _refuse(request: HttpRequest, refusal: RequestRateError) -> HttpResponse:
    if not request.path_info.startswith(CONSOLE_PREFIX):
        return problem_response(refusal)
    seconds = refusal.retry_after_seconds
    page = render_to_string("tenants/admin/rate_limited.html", {"seconds": seconds})
    return HttpResponse(page, status=429, headers={"Retry-After": str(seconds)})
