"""Backoff as a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from scheduling.kit.retry import (
    MAX_RETRY_AFTER_SECONDS,
    RetryPolicy,
    is_quarantined,
    policy_on_plan,
    retry_after_seconds,
    retry_delay_seconds,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def middle(low: float, high: float) -> float:
    return (low + high) / 2


@pytest.mark.parametrize(
    ("failed", "max_retries", "retry_after", "expected"),
    [
        (1, 3, None, 60.0),
        (2, 3, None, 120.0),
        (3, 3, None, 240.0),
        (4, 3, None, None),  # at most four attempts
        (1, 0, None, None),  # no retries at all
        (5, 9, None, 240.0),  # the last delay repeats
        (1, 3, 5.0, 5.0),  # a Retry-After takes precedence
        (1, 3, -1.0, 0.0),  # but a negative one does not
        (1, 3, 1e9, MAX_RETRY_AFTER_SECONDS),  # nor zero
        (4, 3, 5.0, None),  # and an exhausted job stays exhausted
        (2, 3, float("nan"), 120.0),  # a value that is not a duration is ignored
        (2, 3, float("inf"), 120.0),
    ],
)
def test_delay_follows_the_policy(
    failed: int, max_retries: int, retry_after: float | None, expected: float | None
) -> None:
    policy = RetryPolicy(max_retries=max_retries)
    delay = retry_delay_seconds(policy, failed_attempts=failed, uniform=middle, retry_after_seconds=retry_after)
    assert delay == expected


def test_jitter_stays_within_a_tenth() -> None:
    delays = [
        retry_delay_seconds(RetryPolicy(), failed_attempts=1, uniform=pick)
        for pick in (lambda low, high: low, lambda low, high: high)
    ]
    assert delays == pytest.approx([54.0, 66.0])


@pytest.mark.parametrize(("crashes", "expected"), [(0, False), (2, False), (3, True), (4, True)])
def test_third_crash_quarantines_the_job(crashes: int, expected: bool) -> None:
    assert is_quarantined(crashes) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("999999999", MAX_RETRY_AFTER_SECONDS),  # a server cannot hold a job forever
        (format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300.0),
        ("Thu, 01 Jan 2026 13:00:00 +0100", 0.0),  # noon, here
        ("Thursday, 01-Jan-26 12:00:30 GMT", 30.0),  # the two obsolete formats
        ("Thu Jan  1 12:00:45 2026", 45.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),  # in the past
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_SECONDS),
        # An unreadable header leaves the kind's own backoff.
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("²", None),
        ("١٢", None),
        ("9" * 5_000, None),
        ("Thu, 99 Jan 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_header_is_seconds_or_a_date(header: str | None, expected: float | None) -> None:
    assert retry_after_seconds(header, NOW) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, (3, (60.0, 120.0))),
        ({"mail": {"max_retries": 1}}, (1, (60.0, 120.0))),  # narrower
        ({"mail": {"max_retries": 9}}, (3, (60.0, 120.0))),  # a maximum raises nothing
        ({"mail": {"max_retries": 0}}, (0, (60.0, 120.0))),
        ({"mail": {"delays_seconds": [5, 10]}}, (3, (5, 10))),
        ({"*": {"max_retries": 2}}, (2, (60.0, 120.0))),  # every kind
        ({"*": {"max_retries": 1}, "mail": {"max_retries": 2}}, (2, (60.0, 120.0))),  # except by its own rule
        ({"*": {"max_retries": 1, "delays_seconds": [7]}, "mail": {"max_retries": 2}}, (2, (7,))),  # value by value
        ({"other": {"max_retries": 0}}, (3, (60.0, 120.0))),
    ],
)
def test_retry_rule_of_plan_narrows_the_policy_of_a_kind(
    rules: dict[str, Any], expected: tuple[int, tuple[float, ...]]
) -> None:
    policy = policy_on_plan(RetryPolicy(max_retries=3, delays_seconds=(60.0, 120.0)), rules, "mail")
    assert (policy.max_retries, policy.delays_seconds) == expected
