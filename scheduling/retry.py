"""When a failed attempt is tried again; pure arithmetic over the kind's policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

DEFAULT_DELAYS_SECONDS = (60.0, 120.0, 240.0)
# A uniform factor keeps jobs that failed together from returning together.
JITTER_RANGE = (0.9, 1.1)
# Longer than any back-off that makes sense; a server's Retry-After cannot park a job for ever.
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
MAX_CRASHES = 3


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``max_retries`` retries follow the first attempt; the last delay repeats if it must."""

    max_retries: int = 3
    delays_seconds: Sequence[float] = DEFAULT_DELAYS_SECONDS


def retry_delay_seconds(
    policy: RetryPolicy,
    *,
    failed_attempts: int,
    uniform: Callable[[float, float], float],
    retry_after_seconds: float | None = None,
) -> float | None:
    """Seconds until the next attempt after ``failed_attempts`` failures; None when spent.

    A ``retry_after_seconds`` asked for by the other side replaces the policy's delay, is
    never shortened by jitter, and is capped at a day.
    """
    if failed_attempts > policy.max_retries:
        return None
    if retry_after_seconds is not None:
        return min(max(retry_after_seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
    delays = policy.delays_seconds or (0.0,)
    return delays[min(failed_attempts, len(delays)) - 1] * uniform(*JITTER_RANGE)


def is_quarantined(crash_count: int) -> bool:
    """Whether a job that killed its worker ``crash_count`` times may not run again."""
    return crash_count >= MAX_CRASHES
