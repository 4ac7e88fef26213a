"""Size limits of a request's URL, host and headers, which both web servers check before anything else.

They are checked before other code parses or logs these parts. The servers have their own limits; these are the same
under both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import structlog

logger = structlog.stdlib.get_logger("jobsplatform.request_heads")

# Path and query: gunicorn's own limit of a request line.
MAX_TARGET_BYTES = 8190
# The longest host name, with a port.
MAX_HOST_BYTES = 253 + len(":65535")
MAX_HEADER_BYTES = 16 * 1024

_REFUSALS = {
    HTTPStatus.REQUEST_URI_TOO_LONG: ("uri_too_long", f"The URL is longer than {MAX_TARGET_BYTES} bytes."),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "headers_too_large",
        f"The headers are larger than {MAX_HEADER_BYTES} bytes.",
    ),
    HTTPStatus.BAD_REQUEST: ("host_invalid", f"The host is longer than {MAX_HOST_BYTES} bytes."),
}
MEDIA_TYPE = "application/problem+json"

type StartResponse = Callable[..., Any]
type WSGIApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def refusal_of(*, target: int, host: int, headers: int) -> tuple[HTTPStatus, bytes] | None:
    """Return status and problem document that refuse a request of these sizes in bytes, or None if they are allowed."""
    if target > MAX_TARGET_BYTES:
        status = HTTPStatus.REQUEST_URI_TOO_LONG
    elif host > MAX_HOST_BYTES:
        status = HTTPStatus.BAD_REQUEST
    elif headers > MAX_HEADER_BYTES:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    else:
        return None
    code, title = _REFUSALS[status]
    logger.info("request.refused", status=status.value, code=code)
    body = {
        "type": f"urn:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": title,
        "errors": [],
    }
    return status, json.dumps(body).encode()


class RequestHeadLimiter:
    """WSGI application that wraps another and passes on only requests whose URL, host and headers are not too large."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        refused = refusal_of(
            target=len(environ.get("PATH_INFO", "")) + len(environ.get("QUERY_STRING", "")),
            host=len(environ.get("HTTP_HOST", "")),
            headers=sum(len(name) + len(value) for name, value in environ.items() if name.startswith("HTTP_")),
        )
        if refused is None:
            return self._application(environ, start_response)
        status, body = refused
        headers = [("Content-Type", MEDIA_TYPE), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]
