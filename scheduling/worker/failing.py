"""Ticks that fail: each pool backs off by itself, is logged once, and has its bad rows looked for."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)

# What is no pool's: a round outside of ticks.
ROUND = 0
MIN_BACK_OFF_SECONDS = 0.1
MAX_BACK_OFF_SECONDS = 2.0
# So many ticks fail in a row, some three seconds, before the rows that they fold are halved; and again after as many.
HALVED_AFTER = 5


class FailingPools:
    """The pools whose last ticks failed, and how many these were."""

    def __init__(self) -> None:
        self._failures: Counter[int] = Counter()
        self._until: dict[int, float] = {}

    def seconds_left(self, pool_id: int, now: float) -> float:
        """Return how long the pool still waits; 0.0 if it may be ticked now."""
        return max(0.0, self._until.get(pool_id, now) - now)

    def back_off_seconds(self, pool_id: int) -> float:
        """Return how long the pool waits after its last failure."""
        return min(MAX_BACK_OFF_SECONDS, MIN_BACK_OFF_SECONDS * 2.0 ** min(self._failures[pool_id] - 1, 10))

    def note_failure(self, pool_id: int, now: float, error: Exception) -> bool:
        """Count a failure, log the first with its error, and return whether to look for bad rows now."""
        self._failures[pool_id] += 1
        self._until[pool_id] = now + self.back_off_seconds(pool_id)
        if self._failures[pool_id] == 1:
            logger.error("dispatcher.failed", extra={"pool_id": pool_id}, exc_info=error)
        return self._failures[pool_id] % HALVED_AFTER == 0

    def note_success(self, pool_id: int) -> None:
        """Forget the failures of a pool, and log how many there were."""
        if failures := self._failures.pop(pool_id, 0):
            logger.warning("dispatcher.recovered", extra={"pool_id": pool_id, "failures": failures})
            del self._until[pool_id]
