"""Beat with a heartbeat, so that everybody can see whether the platform's upkeep is asked for at all."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.db import connection
from django_celery_beat.schedulers import DatabaseScheduler

from scheduling.conf import PROCESSOR_INVALID, SCHEMA_INVALID, heartbeat_seconds
from scheduling.models import ProcessHeartbeat
from scheduling.services.processes import ProcessPulse
from scheduling.worker.connections import CONNECTION_ERRORS
from tenants.starting import UnfitStartError, require_fit_start

logger = logging.getLogger(__name__)


class BeatingScheduler(DatabaseScheduler):
    """The schedule of the database, and a row that says when beat last looked at it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pulse = ProcessPulse(ProcessHeartbeat.Role.BEAT)
        self._next_beat = 0.0
        # Celery makes one more for its banner, which reads nothing.
        if not kwargs.get("lazy"):
            _require_fit_start()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Ask for what is due; beat, whatever comes of it."""
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + heartbeat_seconds()
            try:
                self._pulse.beat()
            except CONNECTION_ERRORS:
                logger.warning("beat.database_away", exc_info=True)
                connection.close()
        return float(super().tick(*args, **kwargs))


def _require_fit_start() -> None:
    try:
        require_fit_start(bears={PROCESSOR_INVALID, SCHEMA_INVALID})
    except UnfitStartError as error:
        raise SystemExit(str(error)) from error
