"""One line for each request: what was asked, by which tenant, how it ended, how long it took."""

import time
from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponseBase

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
