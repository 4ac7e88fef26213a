"""The generic cell rate algorithm: a rate limit with bursts, whose state is one number.

That number is the theoretical arrival time (TAT): when the bucket will be full again. Each token advances it by one
interval; it lies at most ``burst`` intervals ahead of now. In any window of length t at most ``burst + t / interval``
tokens are granted. Times are integer microseconds of any one clock.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate of one token every ``interval_us`` microseconds, and up to ``burst`` tokens at once."""

    interval_us: int
    burst: int

    @classmethod
    def per_minute(cls, tokens: int, burst: int) -> Rate | None:
        """Build the rate for so many tokens a minute, rounded down; return None if no tokens are granted at all."""
        return cls(-(-MINUTE_US // tokens), burst) if tokens > 0 and burst > 0 else None

    @classmethod
    def of_queue(cls, per_minute: int, burst: int | None) -> Rate:
        """Build a queue's rate; both numbers are at least 1.

        The default burst is the tokens of one second, and at least two: a tick may come a quarter of a second late,
        which a burst of one would not make up for.
        """
        return cls(-(-MINUTE_US // per_minute), burst or max(2, -(-per_minute // 60)))

    @property
    def horizon_us(self) -> int:
        """Return how many microseconds the arrival time may be ahead; after this time an empty bucket is full again."""
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
        """Return the microseconds until the ``nth`` next token is available; 0 if it is available now."""
        return max(0, self.backlog_us + nth * rate.interval_us - rate.horizon_us)


def take(tat_us: int, now_us: int, rate: Rate, wanted: int) -> Grant:
    """Grant as many of ``wanted`` tokens as are available; the new arrival time is now plus the grant's backlog.

    An arrival time beyond the horizon, after a change of the rate or of the clock, is cut to it.
    """
    backlog = min(max(0, tat_us - now_us), rate.horizon_us)
    granted = min(max(0, wanted), (rate.horizon_us - backlog) // rate.interval_us)
    return Grant.of(rate, granted, backlog + granted * rate.interval_us)


def give_back(tat_us: int, now_us: int, rate: Rate, tokens: int) -> Grant:
    """Give back tokens that were taken and not used; return the grant with the reduced backlog."""
    backlog = min(max(0, tat_us - now_us), rate.horizon_us)
    return Grant.of(rate, 0, max(0, backlog - tokens * rate.interval_us))
