"""Middleware of the site: a line of the log for each request, content security, messages of the console."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, override

import structlog
from csp.constants import HEADER
from csp.utils import build_policy
from django.conf import settings
from django.contrib.messages.middleware import MessageMiddleware
from django.http import HttpRequest, HttpResponseBase

from tenants.middleware import CONSOLE_PREFIX

logger = structlog.stdlib.get_logger("jobsplatform.access")

# Asked every few seconds by machines.
QUIET_PATHS = frozenset({"/health/live", "/health/ready", "/metrics"})
# Characters of a path in a line; longer ones are cut.
MAX_PATH_CHARACTERS = 512


class AccessLogMiddleware:
    """Outermost, so that whatever answers is seen. The query stays out: it may hold what nobody should read."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.monotonic()
        response = self.get_response(request)
        tenant = getattr(getattr(request, "access", None), "tenant", None)
        write = logger.debug if request.path in QUIET_PATHS else logger.info
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
    """Writes the policy of the settings, where an answer has none of its own.

    The library's middleware makes the text anew for each answer, with nonces and exceptions that nothing here has;
    that takes as long as to find the view.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        # Django's pages about an error, which have scripts in them.
        if not (settings.DEBUG and response.status_code in {404, 500}):
            response.headers.setdefault(HEADER, self._policy)
        return response


class ConsoleMessageMiddleware(MessageMiddleware):
    """Django's, for the console alone: the API has no such messages, and need not prepare for some."""

    @override
    def __call__(self, request: HttpRequest) -> Any:
        is_console = request.path_info.startswith(CONSOLE_PREFIX)
        return super().__call__(request) if is_console else self.get_response(request)
