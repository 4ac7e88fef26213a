"""Taking turns of bulk operations, on a thread and a connection of its own beside the dispatcher's loop.

A turn changes a thousand jobs; in the loop, each tick would wait for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import InternalError, connection

from scheduling.bulk.running import open_operations, try_turn
from scheduling.worker.connections import CONNECTION_ERRORS

logger = logging.getLogger(__name__)

# Somebody who has started an operation sees it go on within a second.
LOOK_SECONDS = 0.3
AWAY_SECONDS = 2.0


class BulkRunner:
    """One loop; :meth:`run` returns once ``stopped`` is set, after the turn that it is in."""

    def __init__(self, stopped: threading.Event, turn: Callable[[], None] = lambda: None) -> None:
        self._stopped = stopped
        self._turn = turn

    def run(self) -> None:
        """Take turns until stopped."""
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
        """A turn of each open operation, one after another; whether any has another at once."""
        has_more = False
        for opened in open_operations():
            if self._stopped.is_set():
                return False
            self._turn()
            has_more = try_turn(opened) or has_more
        return has_more
