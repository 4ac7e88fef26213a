"""Loop of the auditor process: it adds committed entries to the hash chains, prunes on request, and signs chain heads.

It has its own database login. Any number of auditors may run: each turn of a duty holds a lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import InternalError, connection

from scheduling.dispatch.duties import Duty, DutyRoster
from scheduling.fleet.processes import ProcessPulse
from scheduling.models import ProcessHeartbeat
from scheduling.worker.process_state import CONNECTION_ERRORS
from tenants.audit.heads import sign_heads
from tenants.audit.removals import carry_out_removals
from tenants.audit.sealing import seal_entries
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

# An entry is sealed within a second, even while other duties run.
SEAL_SECONDS = 0.25
REMOVAL_SECONDS = 1.0
# The owner of the tables can rewrite entries since the last signed head (docs/concepts/audit.md).
HEADS_SECONDS = 60.0
LOOK_SECONDS = 0.05
BACK_OFF_SECONDS = 1.0


class AuditorLoop:
    """Loop of an auditor process, which runs until the event ``stopped`` is set; see `run`."""

    def __init__(self, stopped: threading.Event, turn: Callable[[], None] = lambda: None) -> None:
        self._stopped = stopped
        self._turn = turn
        self._duties = DutyRoster(
            (
                Duty(
                    "heartbeat",
                    lambda: platform_settings.HEARTBEAT_SECONDS,
                    ProcessPulse(ProcessHeartbeat.Role.AUDITOR).beat,
                ),
                Duty("seal", lambda: SEAL_SECONDS, seal_entries),
                Duty("removals", lambda: REMOVAL_SECONDS, carry_out_removals),
                Duty("heads", lambda: HEADS_SECONDS, sign_heads),
            ),
            turn,
        )

    def run(self) -> None:
        """Run the duties until ``stopped`` is set; wait while the database is unavailable."""
        while not self._stopped.wait(LOOK_SECONDS):
            self._turn()
            try:
                self._duties.run_due()
            except (*CONNECTION_ERRORS, InternalError):
                logger.warning("auditor.database_away", exc_info=True)
                connection.close()
                self._stopped.wait(BACK_OFF_SECONDS)
        connection.close()
