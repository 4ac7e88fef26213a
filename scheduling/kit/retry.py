"""Retry delays of failed attempts; pure arithmetic over the kind's policy."""

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
# Longer than any sensible back-off; a server's Retry-After cannot delay a job for ever.
MAX_RETRY_AFTER_SECONDS = 24 * 3600.0
MAX_CRASHES = 3
# Longer than any date, and any sensible number of seconds.
_MAX_HEADER_CHARACTERS = 40
# The name of a plan's rule for every kind.
EVERY_KIND = "*"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A retry policy: ``max_retries`` retries follow the first attempt; the last delay repeats."""

    max_retries: int = 3
    delays_seconds: Sequence[float] = DEFAULT_DELAYS_SECONDS


def policy_on_plan(policy: RetryPolicy, rules: Mapping[str, Any], kind: str) -> RetryPolicy:
    """Return a copy of a kind's policy with a plan's rules applied.

    A rule for the kind precedes that for ``*``, value by value. ``max_retries`` is a ceiling: it never raises the
    kind's own number; ``delays_seconds`` replaces the kind's.
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
    """Return the seconds until the next attempt after ``failed_attempts`` failures; None if no retries are left.

    A ``retry_after_seconds`` that the other side requested replaces the policy's delay, is never shortened by jitter,
    and is capped at a day.
    """
    if failed_attempts > policy.max_retries:
        return None
    if retry_after_seconds is not None and math.isfinite(retry_after_seconds):
        return min(max(retry_after_seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
    return plain_delay_seconds(policy, failed_attempts) * uniform(*JITTER_RANGE)


def plain_delay_seconds(policy: RetryPolicy, failed_attempts: int) -> float:
    """Return the policy's delay in seconds after ``failed_attempts`` failures, without jitter; 0.0 without delays."""
    delays = policy.delays_seconds or (0.0,)
    return delays[min(failed_attempts, len(delays)) - 1]


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Return the wait in seconds of an HTTP ``Retry-After``, from 0 to a day; None if it is missing or unreadable.

    It is a whole number of seconds or an HTTP date in any of its three notations; ``now`` is aware.
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
    """Return whether a job that killed its worker ``crash_count`` times may not run again."""
    return crash_count >= MAX_CRASHES
