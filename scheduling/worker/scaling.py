"""How many workers a pool is worth: by the predicted slot time of what is ready, never fewer than what runs fills.

Pure: the clock's readings are given.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScaleRule:
    """Between ``least`` and ``most`` workers of ``slots`` slots each, so many that what is ready is done within
    ``target_seconds``. Fewer only once fewer would have done for ``patience_seconds``.

    Raises ValueError for bounds that leave no number.
    """

    least: int
    most: int
    slots: int
    target_seconds: float
    patience_seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.most < 1:
            raise ValueError(f"Between {self.least} and {self.most} workers there is no number to choose.")
        if self.slots < 1 or self.target_seconds <= 0 or self.patience_seconds < 0:
            raise ValueError("Slots and the target are above 0, patience is not below.")

    def wanted(self, *, ready_seconds: float, in_flight: int) -> int:
        """The workers for ``ready_seconds`` of slot time that wait while ``in_flight`` messages have slots."""
        by_work = math.ceil(ready_seconds / (self.slots * self.target_seconds))
        by_flight = math.ceil(in_flight / self.slots)
        return min(self.most, max(self.least, by_work, by_flight))


class Patience:
    """The greatest number that was wanted within the last ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Falling numbers, each with the last moment at which it was wanted.
        self._wanted: deque[tuple[int, float]] = deque()

    def settle(self, wanted: int, *, now: float) -> int:
        """``wanted`` at ``now``, in seconds of any clock that only goes on; what to do with it."""
        while self._wanted and self._wanted[-1][0] <= wanted:
            self._wanted.pop()
        self._wanted.append((wanted, now))
        while now - self._wanted[0][1] > self._seconds:
            self._wanted.popleft()
        return self._wanted[0][0]
