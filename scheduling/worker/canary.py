"""Whether a worker still reads its queues: it sends itself canaries through the broker and waits for a child's answer.

A half-open connection leaves a worker that beats and reads nothing; nobody else can tell it from an idle one. A
worker whose children are all busy is not late, nor is one whose broker takes no canary either.
"""

from __future__ import annotations

from dataclasses import dataclass

# A look that comes later than this was not watching all the time: the process, or its machine, stood still.
LONGEST_LOOK_SECONDS = 1.0


@dataclass(slots=True)
class CanaryWatch:
    """Judges by what is seen at each look; times are monotonic seconds.

    ``unread_seconds`` counts the time in which a canary was out while a child was free to read it. One canary may be
    lost with the broker's memory, so two must have been sent before anybody is late. Before the first answer nobody
    is late either: where canaries cannot work at all, no worker shall restart for ever.
    """

    interval_seconds: float
    limit_seconds: float
    unanswered: int = 0
    unread_seconds: float = 0.0
    is_armed: bool = False
    _sent_at: float | None = None
    _looked_at: float | None = None

    def is_due(self, now: float, *, has_free_child: bool) -> bool:
        """Whether to send a canary now; none is sent behind an unread one that no child could have read."""
        if self.unanswered and not has_free_child:
            return False
        return self._sent_at is None or now - self._sent_at >= self.interval_seconds

    def note_sent(self, now: float) -> None:
        """The broker took a canary."""
        self._sent_at = now
        self.unanswered += 1

    def note_refused(self, now: float) -> None:
        """The broker did not take it: it is away for everybody, and what was out may be lost."""
        self._sent_at = now
        self._forget()

    def note_answered(self) -> None:
        """A child read the newest canary."""
        self.is_armed = True
        self._forget()

    def _forget(self) -> None:
        self.unanswered = 0
        self.unread_seconds = 0.0

    def is_late(self, now: float, *, has_free_child: bool) -> bool:
        """Look: whether canaries have been left unread for too long."""
        passed = 0.0 if self._looked_at is None else min(now - self._looked_at, LONGEST_LOOK_SECONDS)
        self._looked_at = now
        if not self.is_armed or not self.unanswered or not has_free_child:
            self.unread_seconds = 0.0
            return False
        self.unread_seconds += passed
        return self.unread_seconds > self.limit_seconds and self.unanswered > 1
