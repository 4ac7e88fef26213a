"""Arithmetic of the rate: never more than burst + rate × t, and never less than stated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.gcra import MINUTE_US, Grant, Rate, give_back, take

SECOND = 1_000_000
RATE = Rate(interval_us=SECOND, burst=5)


@pytest.mark.parametrize(
    ("tokens", "burst", "rate"),
    [
        (60, 5, Rate(SECOND, 5)),
        # Rounded so that it is never faster than configured.
        (7, 1, Rate(8_571_429, 1)),
        (100_000_000, 1, Rate(1, 1)),
        (0, 5, None),
        (60, 0, None),
    ],
)
def test_rate_per_minute_has_an_interval(tokens: int, burst: int, rate: Rate | None) -> None:
    assert Rate.per_minute(tokens, burst) == rate


@pytest.mark.parametrize(
    ("tat", "now", "wanted", "granted", "backlog"),
    [
        # An unused bucket is full.
        (0, 100, 1, 1, SECOND),
        (0, 100, 5, 5, 5 * SECOND),
        # If too many are requested, the first are granted.
        (0, 100, 9, 5, 5 * SECOND),
        # An empty bucket grants nothing and states the wait.
        (100 + 5 * SECOND, 100, 1, 0, 5 * SECOND),
        # One token has returned; a microsecond earlier none has.
        (5 * SECOND, SECOND, 3, 1, 5 * SECOND),
        (5 * SECOND, SECOND - 1, 3, 0, 4 * SECOND + 1),
        # A request for zero tokens takes nothing.
        (3 * SECOND, 0, 0, 0, 3 * SECOND),
        # Far ahead after a larger burst or another clock: clipped, so that no request waits forever.
        (99 * SECOND, 0, 1, 0, 5 * SECOND),
    ],
)
def test_request_is_granted_up_to_the_remaining_bucket(
    tat: int, now: int, wanted: int, granted: int, backlog: int
) -> None:
    assert take(tat, now, RATE, wanted) == Grant.of(RATE, granted, backlog)


def test_grant_has_remaining_tokens_and_wait_times() -> None:
    grant = take(0, 0, RATE, 4)
    assert (grant.remaining, grant.wait_us(RATE)) == (1, 0)
    empty = take(4 * SECOND, 0, RATE, 9)
    assert (empty.granted, empty.remaining) == (1, 0)
    assert [empty.wait_us(RATE, nth) for nth in (1, 2, 5)] == [SECOND, 2 * SECOND, 5 * SECOND]


def test_returned_tokens_can_be_taken_again_up_to_the_burst() -> None:
    taken = take(0, 0, RATE, 3)
    assert give_back(taken.backlog_us, 0, RATE, 3) == Grant(0, 0, RATE.burst)
    assert give_back(taken.backlog_us, 0, RATE, 1).remaining == 3
    assert give_back(0, 0, RATE, 50).remaining == 5


WISHES = st.lists(st.tuples(st.integers(0, 5 * MINUTE_US), st.integers(0, 40)), min_size=1, max_size=60)


@given(WISHES, st.integers(1, 10_000), st.integers(1, 50))
def test_window_never_exceeds_burst_plus_rate(wishes: list[tuple[int, int]], tokens: int, burst: int) -> None:
    rate = Rate.per_minute(tokens, burst)
    assert rate is not None
    tat, grants = 0, []
    now = 0
    for pause, wanted in wishes:
        now += pause
        grant = take(tat, now, rate, wanted)
        tat = now + grant.backlog_us
        grants.append((now, grant.granted))
    for first in range(len(grants)):
        total = 0
        for at, granted in grants[first:]:
            total += granted
            window = at - grants[first][0]
            assert total <= burst + tokens * window / MINUTE_US


@given(WISHES, st.integers(1, 10_000), st.integers(1, 50))
def test_request_after_the_stated_wait_is_granted(wishes: list[tuple[int, int]], tokens: int, burst: int) -> None:
    rate = Rate.per_minute(tokens, burst)
    assert rate is not None
    tat, now = 0, 0
    for pause, wanted in wishes:
        now += pause
        grant = take(tat, now, rate, wanted)
        tat = now + grant.backlog_us
        wait = grant.wait_us(rate)
        assert take(tat, now + wait, rate, 1).granted == 1
        if wait:
            assert take(tat, now + wait - 1, rate, 1).granted == 0
