"""When a failed attempt is tried again; pure arithmetic over the kind's policy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

DEFAULT_DELAYS_SECONDS = (60.0, 120.0, 240.0)
# A uniform factor keeps jobs that failed together from returning together.
JITTER_RANGE = (0.9, 1.1)
# Longer than any back-off that makes sense; a server's Retry-After cannot park a job for ever.
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
MAX_CRASHES = 3
# No date is longer, and no number of seconds that makes sense.
_MAX_HEADER_CHARACTERS = 40
# The name under which a plan says something of every kind.
EVERY_KIND = "*"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``max_retries`` retries follow the first attempt; the last delay repeats if it must."""

    max_retries: int = 3
    delays_seconds: Sequence[float] = DEFAULT_DELAYS_SECONDS


def policy_on_plan(policy: RetryPolicy, rules: Mapping[str, Any], kind: str) -> RetryPolicy:
    """A kind's own policy as a plan's rules leave it.

    A rule of the kind's name comes before that of ``*``, one value at a time. ``max_retries`` is a ceiling: it never
    raises the kind's own number; ``delays_seconds`` replaces the kind's.
    """
    rule = {**rules.get(EVERY_KIND, {}), **rules.get(kind, {})}
    return RetryPolicy(
        max_retries=min(policy.max_retries, rule.get("max_retries", policy.max_retries)),
        delays_seconds=tuple(rule.get("delays_seconds", policy.delays_seconds)),
    )


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
    if retry_after_seconds is not None and math.isfinite(retry_after_seconds):
        return min(max(retry_after_seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
    return plain_delay_seconds(policy, failed_attempts) * uniform(*JITTER_RANGE)


def plain_delay_seconds(policy: RetryPolicy, failed_attempts: int) -> float:
    """The policy's own wait after so many failures, without jitter; nothing where it names none."""
    delays = policy.delays_seconds or (0.0,)
    return delays[min(failed_attempts, len(delays)) - 1]


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """The wait that an HTTP ``Retry-After`` asks for, from 0 to a day; None where it says nothing readable.

    It is a whole number of seconds or an HTTP date in any of its three spellings; ``now`` is aware.
    """
    text = (header or "").strip()
    if not text or len(text) > _MAX_HEADER_CHARACTERS or not text.isascii():
        return None
    if text.isdigit():
        return min(float(text), MAX_RETRY_AFTER_SECONDS)
    try:
        at = parsedate_to_datetime(text)
        seconds = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def is_quarantined(crash_count: int) -> bool:
    """Whether a job that killed its worker ``crash_count`` times may not run again."""
    return crash_count >= MAX_CRASHES
