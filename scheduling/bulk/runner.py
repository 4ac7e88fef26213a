"""Runner of bulk operations, on a thread and a connection of its own beside the dispatcher's loop.

A turn changes a thousand jobs; inside the loop it would delay every tick.
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
    """Loop over open operations; :meth:`run` returns once ``stopped`` is set, after the current turn."""

    def __init__(self, stopped: threading.Event, turn: Callable[[], None] = lambda: None) -> None:
        self._stopped = stopped
        self._turn = turn

    def run(self) -> None:
        """Run turns until stopped."""
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
        """Run a turn of each open operation, one after another; return whether any has another turn at once."""
        has_more = False
        for opened in open_operations():
            if self._stopped.is_set():
                return False
            self._turn()
            has_more = try_turn(opened) or has_more
        return has_more
