"""A port of its own for the counters of a process that serves no HTTP, where no other process shares its folder."""

from __future__ import annotations

import logging

from prometheus_client import start_http_server

from scheduling.conf import metrics_port
from scheduling.observability.metrics import scrape_registry

logger = logging.getLogger(__name__)


def export_counters() -> None:
    """Answer scrapes on METRICS_PORT from a thread of this process; without a port nothing is opened."""
    if (port := metrics_port()) is None:
        return
    start_http_server(port, registry=scrape_registry())
    logger.info("metrics.exported", extra={"port": port})
