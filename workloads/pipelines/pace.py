"""How many entities are worked on at once: as many as the setting says, fewer while memory or an endpoint is short.

Pure: the clock and the memory in use are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

# Above this share of what the kind's class of memory allows, one entity less is begun.
MEMORY_SHARE = 0.8


@dataclass(slots=True)
class Pace:
    """Halved by a push-back, one less while memory is short, one more after as many successes as it is wide."""

    most: int
    width: int = 0
    _successes: int = 0
    _narrowed_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.width = self.width or self.most

    def succeed(self) -> None:
        """A step went well."""
        self._successes += 1
        if self._successes >= self.width:
            self._successes = 0
            self.width = min(self.most, self.width + 1)

    def push_back(self, *, begun_at: float, now: float) -> None:
        """An endpoint answered that it is asked too much, or asks to be left alone for a while.

        Steps that were under way already when it last did say nothing new.
        """
        self._successes = 0
        if begun_at >= self._narrowed_at:
            self._narrowed_at = now
            self.width = max(1, self.width // 2)

    def fit(self, *, used_mib: float, allowed_mib: float) -> None:
        """Hear how much memory is in use."""
        if used_mib > MEMORY_SHARE * allowed_mib:
            self._successes = 0
            self.width = max(1, self.width - 1)
