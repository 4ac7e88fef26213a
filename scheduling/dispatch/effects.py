"""Duties of effects outside the database: the outbox and compensations, which share one look for work."""

from __future__ import annotations

import time
from typing import Any

from psycopg.rows import namedtuple_row

from scheduling.compensation.duty import COMPENSATION_SECONDS, compensate
from scheduling.conf import BY_INDEX
from scheduling.outbox.pending import PendingCounter
from scheduling.outbox.relay import RELAY_SECONDS, OutboxRelay
from tenants.context import query_cross_tenant
from tenants.database.sql import load_sql

_FIND = load_sql(__file__)["find_effects"]
# Between two looks that find nothing; a message is at most so much late.
IDLE_SECONDS = 1.0
# Both duties run within this time of each other, on one thread.
_SHARED_SECONDS = 0.25


class EffectDuties:
    """The two duties. While there is nothing to do, they run one statement a second together."""

    def __init__(self) -> None:
        self._relay, self._counter = OutboxRelay(), PendingCounter()
        self._look: Any = None
        self._looked_at = 0.0

    def relay(self) -> int:
        """Submit delivery jobs for messages that are due; return how many."""
        look = self._read()
        self._counter.take_turn(has_pending=look.has_pending)
        return self._relay.take_turn() if look.has_due else 0

    def compensate(self) -> int:
        """Submit the compensations that are due; return how many."""
        return compensate() if self._read().has_compensations else 0

    def relay_seconds(self) -> float:
        """Return the seconds until the outbox's next turn."""
        return RELAY_SECONDS if self._look is not None and self._look.has_due else IDLE_SECONDS

    def compensation_seconds(self) -> float:
        """Return the seconds until the next turn of compensations."""
        return COMPENSATION_SECONDS if self._look is not None and self._look.has_compensations else IDLE_SECONDS

    def _read(self) -> Any:
        now = time.monotonic()
        if self._look is None or now - self._looked_at > _SHARED_SECONDS:
            (self._look,) = query_cross_tenant(_FIND, {}, settings=BY_INDEX, row_factory=namedtuple_row)
            self._looked_at = now
        return self._look
