"""Concurrency of a run's entities: the setting's maximum, reduced while memory or an endpoint is short.

Pure: the clock and the memory in use are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

# Above this share of the memory of the kind's class, one entity less is begun.
MEMORY_SHARE = 0.8


@dataclass(slots=True)
class AdaptiveConcurrency:
    """Width of a run: halved by a push-back, one less while memory is short, one more after as many successes as it is
    wide.
    """

    most: int
    width: int = 0
    _successes: int = 0
    _narrowed_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.width = self.width or self.most

    def succeed(self) -> None:
        """Record a successful step."""
        self._successes += 1
        if self._successes >= self.width:
            self._successes = 0
            self.width = min(self.most, self.width + 1)

    def push_back(self, *, begun_at: float, now: float) -> None:
        """Halve the width after an endpoint limited its rate or asked for a pause.

        Steps that had begun before the last halving do not halve it again.
        """
        self._successes = 0
        if begun_at >= self._narrowed_at:
            self._narrowed_at = now
            self.width = max(1, self.width // 2)

    def fit(self, *, used_mib: float, allowed_mib: float) -> None:
        """Reduce the width if too much memory is in use."""
        if used_mib > MEMORY_SHARE * allowed_mib:
            self._successes = 0
            self.width = max(1, self.width - 1)
