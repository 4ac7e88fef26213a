"""Whether an ASGI request has access, looked up before Django has its body."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.handlers.asgi import ASGIRequest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from tenants.bodies import MAX_ANONYMOUS_BYTES, limit_of_route
from tenants.exceptions import DatabaseUnavailableError
from tenants.middleware import API_PREFIX, CONSOLE_PREFIX, find_access


def body_limit_of(scope: dict[str, Any]) -> int:
    """Return how many bytes a body may have: its route's limit if the credentials are valid, else 64 KiB.

    Raise `DatabaseUnavailableError` if the credentials cannot be looked up.
    """
    request = ASGIRequest(scope, BytesIO())
    if not request.path_info.startswith((API_PREFIX, CONSOLE_PREFIX)):
        return MAX_ANONYMOUS_BYTES
    SessionMiddleware(_no_response).process_request(request)
    AuthenticationMiddleware(_no_response).process_request(request)
    try:
        has_access = find_access(request).scope is not None
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailableError from error
    return limit_of_route(request.path_info, request.method) if has_access else MAX_ANONYMOUS_BYTES


def _no_response(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()
