"""Back-off as a table."""

from __future__ import annotations

import pytest

from scheduling.retry import MAX_RETRY_AFTER_SECONDS, RetryPolicy, is_quarantined, retry_delay_seconds


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
        (1, 3, 5.0, 5.0),  # the other side knows better
        (1, 3, -1.0, 0.0),  # but time does not run backwards
        (1, 3, 1e9, MAX_RETRY_AFTER_SECONDS),  # nor stand still
        (4, 3, 5.0, None),  # and a spent job stays spent
    ],
)
def test_the_delay_follows_the_policy(
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
def test_the_third_crash_quarantines(crashes: int, expected: bool) -> None:
    assert is_quarantined(crashes) is expected
