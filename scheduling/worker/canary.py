"""The check of a worker's canaries: messages that it sends itself to detect that it no longer consumes.

With a half-open connection a worker sends heartbeats and consumes nothing; from outside it looks idle. A worker whose
children are all busy is not late, nor is one whose broker accepts no canary either.
"""

from __future__ import annotations

from dataclasses import dataclass

# A check that comes later was not observing all the time: the process or its machine stood still.
LONGEST_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class CanaryWatch:
    """The state of a worker's canaries, which shows whether the worker still consumes; times are monotonic seconds.

    ``unread_seconds`` counts the time in which a canary was unread while a child was free to read it. One canary may be
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
        """Return whether to send a canary now; while one is unread and no child is free to read it, none is due."""
        if self.unanswered and not has_free_child:
            return False
        return self._sent_at is None or now - self._sent_at >= self.interval_seconds

    def note_sent(self, now: float) -> None:
        """Record that the broker accepted a canary."""
        self._sent_at = now
        self.unanswered += 1

    def note_refused(self, now: float) -> None:
        """Record that the broker refused a canary: it is unavailable, and may have lost canaries sent before."""
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
        """Count the time since the last check, and return whether canaries have been unread for too long."""
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, LONGEST_LOOK_SECONDS)
        self._looked_at = now
        if not self.is_armed or not self.unanswered or not has_free_child:
            self.unread_seconds = 0.0
            return False
        self.unread_seconds += passed
        return self.unread_seconds > self.limit_seconds and self.unanswered > 1
