"""The generic cell rate algorithm: a rate with bursts, kept as one number.

That number is the theoretical arrival time (TAT): when the bucket will be full again. Each token advances it by one
interval; it lies at most ``burst`` intervals ahead of now. In any window of length t at most ``burst + t / interval``
tokens are granted. Times are integer microseconds of any one clock.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """One token every ``interval_us``, and up to ``burst`` at once."""

    interval_us: int
    burst: int

    @classmethod
    def per_minute(cls, tokens: int, burst: int) -> Rate | None:
        """Return the rate for so many tokens a minute, rounded down; None if no tokens are granted at all."""
        return cls(-(-MINUTE_US // tokens), burst) if tokens > 0 and burst > 0 else None

    @classmethod
    def of_queue(cls, per_minute: int, burst: int | None) -> Rate:
        """Return a queue's rate, both numbers at least 1; the default burst is one second's tokens, and at least two.

        A tick may come a quarter of a second late, which a burst of one would not make up for.
        """
        return cls(-(-MINUTE_US // per_minute), burst or max(2, -(-per_minute // 60)))

    @property
    def horizon_us(self) -> int:
        """Return how far the arrival time may lie ahead: an empty bucket is full again after this."""
        return self.interval_us * self.burst


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a request for tokens.

    ``backlog_us`` is how far the arrival time lies ahead after it, ``remaining`` the tokens that would be granted then.
    """

    granted: int
    backlog_us: int
    remaining: int

    @classmethod
    def of(cls, rate: Rate, granted: int, backlog_us: int) -> Grant:
        """Return the grant after which the arrival time lies so far ahead."""
        return cls(granted, backlog_us, (rate.horizon_us - backlog_us) // rate.interval_us)

    def wait_us(self, rate: Rate, nth: int = 1) -> int:
        """Return the microseconds until the ``nth`` token from now is available; 0 if it is."""
        return max(0, self.backlog_us + nth * rate.interval_us - rate.horizon_us)


def take(tat_us: int, now_us: int, rate: Rate, wanted: int) -> Grant:
    """Grant as many of ``wanted`` tokens as are available; the new arrival time is now plus the grant's backlog.

    An arrival time beyond the horizon, from a changed rate or a clock set back, is cut to it.
    """
    backlog = min(max(0, tat_us - now_us), rate.horizon_us)
    granted = min(max(0, wanted), (rate.horizon_us - backlog) // rate.interval_us)
    return Grant.of(rate, granted, backlog + granted * rate.interval_us)


def give_back(tat_us: int, now_us: int, rate: Rate, tokens: int) -> Grant:
    """Return tokens that were taken and not used."""
    backlog = min(max(0, tat_us - now_us), rate.horizon_us)
    return Grant.of(rate, 0, max(0, backlog - tokens * rate.interval_us))
