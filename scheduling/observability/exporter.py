"""HTTP endpoint for the metrics of a process that has no web server and shares no metrics folder."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from scheduling.observability.metrics import scrape_registry
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)


class _SilentHandler(WSGIRequestHandler):
    """Request handler that logs no requests, because metrics are scraped every few seconds."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Do nothing instead of logging the request."""


def export_counters() -> None:
    """Serve the metrics on METRICS_PORT from a thread; do nothing if no port is set."""
    port = platform_settings.METRICS_PORT
    if not port:
        return
    server = make_server("0.0.0.0", port, answer_scrape, ThreadingWSGIServer, handler_class=_SilentHandler)  # noqa: S104
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    logger.info("metrics.exported", extra={"port": port})


def answer_scrape(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Return the metrics if the request has METRICS_TOKEN, else answer 401; without a configured token always 401."""
    offered, token = environ.get("HTTP_AUTHORIZATION", ""), platform_settings.METRICS_TOKEN
    # WSGI passes headers as Latin-1.
    if not token or not secrets.compare_digest(offered.encode("latin-1"), f"Bearer {token}".encode()):
        start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain")])
        return [b"Unauthorized\n"]
    answer: Iterable[bytes] = make_wsgi_app(scrape_registry())(environ, start_response)
    return answer
