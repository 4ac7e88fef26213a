"""The access of an ASGI request, determined before Django reads the request's body."""

from __future__ import annotations

from io import BytesIO
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.asgi import ASGIRequest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from tenants.exceptions import DatabaseUnavailableError
from tenants.middleware import find_access
from tenants.requests.bodies import MAX_ANONYMOUS_BYTES, limit_of_route
from tenants.url_prefixes import API_PREFIX, CONSOLE_PREFIX


class BodyLimits(NamedTuple):
    """The maximum size of a request body in bytes, and the owner that its space is counted for.

    The owner is a tenant, or None for the platform.
    """

    limit: int
    owner: UUID | None = None


ANONYMOUS_BOUNDS = BodyLimits(MAX_ANONYMOUS_BYTES)


def body_limits_of(scope: dict[str, Any]) -> BodyLimits:
    """Return the limits of a request's body: those of its route if the credentials are valid, else 64 KiB.

    Raise `DatabaseUnavailableError` if the credentials cannot be looked up.
    """
    request = ASGIRequest(scope, BytesIO())
    if not request.path_info.startswith((API_PREFIX, CONSOLE_PREFIX)):
        return ANONYMOUS_BOUNDS
    SessionMiddleware(_no_response).process_request(request)
    AuthenticationMiddleware(_no_response).process_request(request)
    try:
        access = find_access(request)
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailableError from error
    if access.scope is None:
        return ANONYMOUS_BOUNDS
    return BodyLimits(limit_of_route(request.path_info, request.method), access.own_tenant_id)


def _no_response(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()
