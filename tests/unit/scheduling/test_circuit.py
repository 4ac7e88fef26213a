"""The breaker's rules as tables, and what holds whatever ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.circuit import CircuitPolicy, CircuitStanding, CircuitState, Ending, follow

POLICY = CircuitPolicy(failures=3, window_seconds=60.0, cool_down_seconds=30.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROBE = UUID(int=1)


def ending(fingerprint: str, second: float = 0.0, job_id: UUID | None = None) -> Ending:
    return Ending(job_id or uuid4(), fingerprint, "Down", "is down", NOW + timedelta(seconds=second))


def run(letters: str, policy: CircuitPolicy = POLICY) -> CircuitStanding | None:
    """A letter is a failure of that fingerprint, a dot a success, a dash a minute and a half."""
    endings, second = [], 0.0
    for letter in letters:
        if letter == "-":
            second += 90
        else:
            endings.append(ending("" if letter == "." else letter, second))
    return follow(None, endings, policy, NOW)


@pytest.mark.parametrize(
    ("endings", "state", "failures"),
    [
        ("", None, 0),
        ("..", None, 0),
        ("aa", CircuitState.COUNTING, 2),
        ("aaa", CircuitState.OPEN, 3),
        # A success ends the row, and so does another cause.
        ("aa.aa", CircuitState.COUNTING, 2),
        ("aabaa", CircuitState.COUNTING, 2),
        ("aabbb", CircuitState.OPEN, 3),
        # Beyond the window the row begins anew.
        ("aa-a", CircuitState.COUNTING, 1),
        # What was under way when it opened says nothing more.
        ("aaa.", CircuitState.OPEN, 3),
        ("aaabbbb", CircuitState.OPEN, 3),
    ],
)
def test_so_many_failures_of_one_cause_in_a_row_open_it(
    endings: str, state: CircuitState | None, failures: int
) -> None:
    standing = run(endings)
    assert (standing.state if standing else None, standing.failures if standing else 0) == (state, failures)


def test_an_open_breaker_says_until_when() -> None:
    standing = run("aaa")
    assert standing is not None
    assert (standing.opened_at, standing.until) == (NOW, NOW + timedelta(seconds=30))


def test_without_a_number_of_failures_none_opens() -> None:
    standing = run("a" * 50, CircuitPolicy(0, 60.0, 30.0))
    assert standing is not None
    assert standing.state is CircuitState.COUNTING


def half_open() -> CircuitStanding:
    return CircuitStanding(CircuitState.HALF_OPEN, 3, "a", "Down", "is down", NOW, NOW, NOW, PROBE)


@pytest.mark.parametrize(
    ("fingerprint", "job_id", "state"),
    [
        ("", PROBE, CircuitState.CLOSING),
        ("a", PROBE, CircuitState.OPEN),
        ("b", PROBE, CircuitState.OPEN),
        # Only the job that was let through decides.
        ("", uuid4(), CircuitState.HALF_OPEN),
        ("a", uuid4(), CircuitState.HALF_OPEN),
    ],
)
def test_the_job_that_tries_decides_alone(fingerprint: str, job_id: UUID, state: CircuitState) -> None:
    later = NOW + timedelta(hours=1)
    standing = follow(half_open(), [ending(fingerprint, job_id=job_id)], POLICY, later)
    assert standing is not None
    assert standing.state is state
    if state is CircuitState.OPEN:
        assert (standing.until, standing.probe_job_id) == (later + timedelta(seconds=30), None)


@given(st.text(alphabet="ab.", max_size=40))
def test_it_opens_exactly_where_so_many_of_one_cause_stand_in_a_row(endings: str) -> None:
    standing = run(endings)
    is_open = standing is not None and standing.state is CircuitState.OPEN
    assert is_open == ("aaa" in endings or "bbb" in endings)


@given(st.text(alphabet="ab.-", max_size=40), st.integers(0, 40))
def test_news_may_come_in_any_portions(endings: str, cut: int) -> None:
    events, second = [], 0.0
    for letter in endings:
        if letter == "-":
            second += 90
        else:
            events.append(ending("" if letter == "." else letter, second, UUID(int=7)))
    whole = follow(None, events, POLICY, NOW)
    assert follow(follow(None, events[:cut], POLICY, NOW), events[cut:], POLICY, NOW) == whole
