"""Canaries: messages that a worker sends itself through the broker, to detect that it no longer consumes.

A half-open connection leaves a worker that heartbeats and consumes nothing; from outside it looks idle. A worker whose
children are all busy is not late, nor is one whose broker accepts no canary either.
"""

from __future__ import annotations

from dataclasses import dataclass

# A check that comes later was not observing all the time: the process or its machine stood still.
LONGEST_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class CanaryWatch:
    """The verdict on a worker's canaries, from periodic checks; times are monotonic seconds.

    ``unread_seconds`` counts the time in which a canary was out while a child was free to read it. One canary may be
    lost with the broker's memory, so at least two must have been sent before a worker is late. Before the first answer
    it is never late: where canaries cannot work at all, no worker shall restart for ever.
    """

    interval_seconds: float
    limit_seconds: float
    unanswered: int = 0
    unread_seconds: float = 0.0
    is_armed: bool = False
    _sent_at: float | None = None
    _looked_at: float | None = None

    def is_due(self, now: float, *, has_free_child: bool) -> bool:
        """Return whether to send a canary now; none follows an unread one that no child could have read."""
        if self.unanswered and not has_free_child:
            return False
        return self._sent_at is None or now - self._sent_at >= self.interval_seconds

    def note_sent(self, now: float) -> None:
        """Record that the broker accepted a canary."""
        self._sent_at = now
        self.unanswered += 1

    def note_refused(self, now: float) -> None:
        """Record that the broker refused it: it is unavailable, and canaries that were out may be lost."""
        self._sent_at = now
        self._forget()

    def note_answered(self) -> None:
        """Record that a child read the newest canary."""
        self.is_armed = True
        self._forget()

    def _forget(self) -> None:
        self.unanswered = 0
        self.unread_seconds = 0.0

    def is_late(self, now: float, *, has_free_child: bool) -> bool:
        """Check whether canaries have been unread for too long; return the verdict."""
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, LONGEST_LOOK_SECONDS)
        self._looked_at = now
        if not self.is_armed or not self.unanswered or not has_free_child:
            self.unread_seconds = 0.0
            return False
        self.unread_seconds += passed
        return self.unread_seconds > self.limit_seconds and self.unanswered > 1
