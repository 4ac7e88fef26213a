"""Doing the dispatcher's duties, on a thread and a connection of their own beside its loop.

A duty that waits for a lock, or is long, keeps no tick waiting.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from django.db import connection

from scheduling.conf import lease_seconds
from scheduling.worker.duties import DUTIES, Duty, DutyRoster
from tenants.database.errors import ConnectionLostError

logger = logging.getLogger(__name__)

# No duty is later than this by the loop alone.
LOOK_SECONDS = 0.05
MIN_BACK_OFF_SECONDS = 0.1
MAX_BACK_OFF_SECONDS = 2.0


class DutyRunner:
    """One loop; :meth:`run` returns once ``stopped`` is set, after the duty that it is in."""

    def __init__(
        self, stopped: threading.Event, duties: Sequence[Duty] = DUTIES, turn: Callable[[], None] = lambda: None
    ) -> None:
        self._stopped = stopped
        self._turn = turn
        self._duties = DutyRoster(duties, turn)
        self._back_off_seconds = MIN_BACK_OFF_SECONDS

    def run(self) -> None:
        """Do duties until stopped; wait out a database that is away."""
        self._duties.put_off_rescue(lease_seconds())
        while not self._stopped.is_set():
            self._turn()
            try:
                self._duties.run_due()
                self._back_off_seconds = MIN_BACK_OFF_SECONDS
            except ConnectionLostError:
                logger.warning("duties.database_away", exc_info=True)
                self._reconnect_later()
            self._stopped.wait(LOOK_SECONDS)
        connection.close()

    def _reconnect_later(self) -> None:
        connection.close()
        self._stopped.wait(self._back_off_seconds)
        self._back_off_seconds = min(2 * self._back_off_seconds, MAX_BACK_OFF_SECONDS)
        self._duties.put_off_rescue(lease_seconds())
