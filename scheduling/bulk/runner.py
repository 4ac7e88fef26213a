"""Runner of bulk operations: a thread with its own database connection in the dispatcher's process.

A turn changes up to a thousand jobs; inside the dispatcher's loop it would delay every tick.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import InternalError, connection

from scheduling.bulk.turns import open_operations, try_turn
from scheduling.worker.process_state import CONNECTION_ERRORS

logger = logging.getLogger(__name__)

# An operation starts within a second of its request.
LOOK_SECONDS = 0.3
AWAY_SECONDS = 2.0


class BulkRunner:
    """Loop that runs the turns of unfinished operations until the event ``stopped`` is set; see :meth:`run`."""

    def __init__(self, stopped: threading.Event, turn: Callable[[], None] = lambda: None) -> None:
        self._stopped = stopped
        self._turn = turn

    def run(self) -> None:
        """Run turns until ``stopped`` is set, then return after the current turn."""
        while not self._stopped.is_set():
            self._turn()
            try:
                has_more = self.take_turns()
            except (*CONNECTION_ERRORS, InternalError):
                logger.warning("bulk_runner.database_away", exc_info=True)
                connection.close()
                self._stopped.wait(AWAY_SECONDS)
            else:
                if not has_more:
                    self._stopped.wait(LOOK_SECONDS)
        connection.close()

    def take_turns(self) -> bool:
        """Run one turn of each unfinished operation; return whether any of them can continue without a pause."""
        has_more = False
        for opened in open_operations():
            if self._stopped.is_set():
                return False
            self._turn()
            has_more = try_turn(opened) or has_more
        return has_more
