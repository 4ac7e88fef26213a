"""The number of entities that a run processes at once: it is reduced while memory or an endpoint is short.

The code is pure: the time and the memory in use are passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

# Above this share of the memory of the kind's class, one entity less is begun.
MEMORY_SHARE = 0.8


@dataclass(slots=True)
class AdaptiveConcurrency:
    """The current number (``width``) of entities that a run processes at once, at most ``most``.

    An overloaded endpoint halves it, and each check that finds too much memory in use reduces it by one. After as many
    successful steps as it is wide, it grows by one.
    """

    most: int
    width: int = 0
    _successes: int = 0
    _narrowed_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.width = self.width or self.most

    def succeed(self) -> None:
        """Count a successful step; after ``width`` of them the width grows by one."""
        self._successes += 1
        if self._successes >= self.width:
            self._successes = 0
            self.width = min(self.most, self.width + 1)

    def push_back(self, *, begun_at: float, now: float) -> None:
        """Halve the width, because an endpoint has limited its rate or asked for a pause.

        A step that began before the last halving does not halve it again.
        """
        self._successes = 0
        if begun_at >= self._narrowed_at:
            self._narrowed_at = now
            self.width = max(1, self.width // 2)

    def fit(self, *, used_mib: float, allowed_mib: float) -> None:
        """Reduce the width by one if too much memory is in use."""
        if used_mib > MEMORY_SHARE * allowed_mib:
            self._successes = 0
            self.width = max(1, self.width - 1)
