"""The rate's arithmetic: never more than burst + rate × t, and never less than is promised."""

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
        # Rounded so that it is never faster than was said.
        (7, 1, Rate(8_571_429, 1)),
        (100_000_000, 1, Rate(1, 1)),
        (0, 5, None),
        (60, 0, None),
    ],
)
def test_a_rate_a_minute_has_an_interval(tokens: int, burst: int, rate: Rate | None) -> None:
    assert Rate.per_minute(tokens, burst) == rate


@pytest.mark.parametrize(
    ("tat", "now", "wanted", "granted", "backlog"),
    [
        # A bucket that was never used is full.
        (0, 100, 1, 1, SECOND),
        (0, 100, 5, 5, 5 * SECOND),
        # Of too many the first ones are granted.
        (0, 100, 9, 5, 5 * SECOND),
        # An empty one grants nothing, and says so.
        (100 + 5 * SECOND, 100, 1, 0, 5 * SECOND),
        # One token has come back, a microsecond before it nothing has.
        (5 * SECOND, SECOND, 3, 1, 5 * SECOND),
        (5 * SECOND, SECOND - 1, 3, 0, 4 * SECOND + 1),
        # A look takes nothing.
        (3 * SECOND, 0, 0, 0, 3 * SECOND),
        # Left far ahead by a larger burst or another clock: cut, so that nobody waits for ever.
        (99 * SECOND, 0, 1, 0, 5 * SECOND),
    ],
)
def test_a_wish_is_granted_as_far_as_the_bucket_goes(
    tat: int, now: int, wanted: int, granted: int, backlog: int
) -> None:
    assert take(tat, now, RATE, wanted) == Grant(granted, backlog)


def test_it_says_what_is_left_and_when_the_next_ones_come() -> None:
    grant = take(0, 0, RATE, 4)
    assert (grant.remaining(RATE), grant.wait_us(RATE)) == (1, 0)
    empty = take(4 * SECOND, 0, RATE, 9)
    assert (empty.granted, empty.remaining(RATE)) == (1, 0)
    assert [empty.wait_us(RATE, nth) for nth in (1, 2, 5)] == [SECOND, 2 * SECOND, 5 * SECOND]


def test_what_is_given_back_can_be_had_again_and_no_more() -> None:
    taken = take(0, 0, RATE, 3)
    assert give_back(taken.backlog_us, 0, RATE, 3) == Grant(0, 0)
    assert give_back(taken.backlog_us, 0, RATE, 1).remaining(RATE) == 3
    assert give_back(0, 0, RATE, 50).remaining(RATE) == 5


WISHES = st.lists(st.tuples(st.integers(0, 5 * MINUTE_US), st.integers(0, 40)), min_size=1, max_size=60)


@given(WISHES, st.integers(1, 10_000), st.integers(1, 50))
def test_no_window_ever_has_more_than_burst_and_rate(wishes: list[tuple[int, int]], tokens: int, burst: int) -> None:
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
def test_whoever_waits_as_long_as_told_is_granted(wishes: list[tuple[int, int]], tokens: int, burst: int) -> None:
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
