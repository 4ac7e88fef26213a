"""Rules of the breaker as tables, and their invariants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.breakers.rules import (
    FORCED,
    MAX_COOL_DOWN_SECONDS,
    CircuitName,
    CircuitPolicy,
    CircuitRecord,
    CircuitState,
    ExecutionEnd,
    next_breaker_state,
)

POLICY = CircuitPolicy(failures=3, window_seconds=60.0, cool_down_seconds=30.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROBE = UUID(int=1)
TENANTS = {letter: UUID(int=number) for number, letter in enumerate("ABC", start=1)}
OWN_KIND = CircuitName(TENANTS["A"], "embed")
OWN_API = CircuitName(TENANTS["A"], "embed", "api.example.com")
SHARED_API = CircuitName(None, "embed", "api.example.com")


def ending(
    fingerprint: str,
    second: float = 0.0,
    job_id: UUID | None = None,
    tenant_id: UUID = TENANTS["A"],
    retry_after_seconds: float | None = None,
) -> ExecutionEnd:
    at = NOW + timedelta(seconds=second)
    return ExecutionEnd(tenant_id, job_id or uuid4(), fingerprint, "Down", "is down", at, retry_after_seconds)


def run(letters: str, policy: CircuitPolicy = POLICY, name: CircuitName = OWN_KIND) -> CircuitRecord | None:
    """Fold results: a letter is a failure with that fingerprint, a dot a success, a dash a minute and a half."""
    endings, second = [], 0.0
    for letter in letters:
        if letter == "-":
            second += 90
        else:
            endings.append(ending("" if letter == "." else letter, second))
    return next_breaker_state(name, None, endings, policy, NOW)


def run_shared(letters: str, policy: CircuitPolicy = POLICY) -> CircuitRecord | None:
    """Fold results: a letter is a failure of that tenant, a dot a success of another one."""
    endings = [
        ending("", tenant_id=TENANTS["C"]) if letter == "." else ending("f", tenant_id=TENANTS[letter])
        for letter in letters
    ]
    return next_breaker_state(SHARED_API, None, endings, policy, NOW)


@pytest.mark.parametrize(
    ("endings", "state", "failures"),
    [
        ("", None, 0),
        ("..", None, 0),
        ("aa", CircuitState.COUNTING, 2),
        ("aaa", CircuitState.OPEN, 3),
        # A success ends the series, and so does another cause.
        ("aa.aa", CircuitState.COUNTING, 2),
        ("aabaa", CircuitState.COUNTING, 2),
        ("aabbb", CircuitState.OPEN, 3),
        # Beyond the window the series starts again.
        ("aa-a", CircuitState.COUNTING, 1),
        # Results of jobs that were running when it opened do not count.
        ("aaa.", CircuitState.OPEN, 3),
        ("aaabbbb", CircuitState.OPEN, 3),
    ],
)
def test_breaker_opens_after_consecutive_failures_of_one_cause(
    endings: str, state: CircuitState | None, failures: int
) -> None:
    standing = run(endings)
    assert (standing.state if standing else None, standing.failures if standing else 0) == (state, failures)


@pytest.mark.parametrize(
    ("endings", "state", "failures"),
    [
        # Timeouts, resets and refusals of one host are one cause.
        ("abc", CircuitState.OPEN, 3),
        ("ab.c", CircuitState.COUNTING, 1),
        ("ab-c", CircuitState.COUNTING, 1),
    ],
)
def test_named_dependency_is_the_cause_of_every_failure(endings: str, state: CircuitState, failures: int) -> None:
    standing = run(endings, name=OWN_API)
    assert standing is not None
    assert (standing.state, standing.failures) == (state, failures)


@pytest.mark.parametrize(
    ("endings", "failures_to_open", "is_open"),
    [
        # One tenant never opens a shared breaker, regardless of the number of its failures.
        ("AAAAAAAAAAAAAAAAAAAA", 3, False),
        ("AAAAAAAAAAAAAAAAAAAA", 10, False),
        ("A", 1, False),
        # Two do if neither has more than half of the failures, rounded up.
        ("AB", 1, True),
        ("AB", 2, True),
        ("AAB", 3, True),
        ("AAAB", 4, False),
        ("AAABB", 4, True),
        ("AAAAAAAABBBB", 10, False),
        ("AAAAAAAABBBBB", 10, True),
        ("ABCABCABCA", 10, True),
        # A success of any tenant ends the series.
        ("AA.B", 3, False),
        ("ABABA.BABA", 10, False),
    ],
)
def test_shared_breaker_opens_by_failures_of_several_tenants(
    endings: str, failures_to_open: int, is_open: bool
) -> None:
    standing = run_shared(endings, CircuitPolicy(failures_to_open, 60.0, 30.0))
    assert standing is not None
    assert (standing.state is CircuitState.OPEN) == is_open


def test_open_breaker_has_an_end() -> None:
    standing = run("aaa")
    assert standing is not None
    assert (standing.opened_at, standing.until) == (NOW, NOW + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("retry_after", "cool_down"),
    [
        (None, 30),
        # It lengthens the cool-down and never shortens it.
        (0, 30),
        (-5, 30),
        (29, 30),
        (300, 300),
        # Jobs are never held back for a day.
        (86_400, MAX_COOL_DOWN_SECONDS),
    ],
)
def test_retry_after_extends_the_cool_down(retry_after: float | None, cool_down: float) -> None:
    endings = [ending("a"), ending("a"), ending("a", retry_after_seconds=retry_after)]
    standing = next_breaker_state(OWN_API, None, endings, POLICY, NOW)
    assert standing is not None
    assert standing.until == NOW + timedelta(seconds=cool_down)


def test_breaker_without_failure_threshold_never_opens() -> None:
    for name in (OWN_KIND, OWN_API, SHARED_API):
        standing = run("a" * 50, CircuitPolicy(0, 60.0, 30.0), name)
        assert standing is not None
        assert standing.state is CircuitState.COUNTING


def half_open() -> CircuitRecord:
    return CircuitRecord(CircuitState.HALF_OPEN, 3, "a", "Down", "is down", NOW, NOW, NOW, PROBE)


@pytest.mark.parametrize("name", [OWN_KIND, OWN_API, SHARED_API])
@pytest.mark.parametrize(
    ("fingerprint", "job_id", "state"),
    [
        ("", PROBE, CircuitState.CLOSING),
        ("a", PROBE, CircuitState.OPEN),
        ("b", PROBE, CircuitState.OPEN),
        # Only the probe job decides.
        ("", uuid4(), CircuitState.HALF_OPEN),
        ("a", uuid4(), CircuitState.HALF_OPEN),
    ],
)
def test_only_the_probe_job_decides_about_a_half_open_breaker(
    name: CircuitName, fingerprint: str, job_id: UUID, state: CircuitState
) -> None:
    later = NOW + timedelta(hours=1)
    standing = next_breaker_state(name, half_open(), [ending(fingerprint, job_id=job_id)], POLICY, later)
    assert standing is not None
    assert standing.state is state
    if state is CircuitState.OPEN:
        assert (standing.until, standing.probe_job_id) == (later + timedelta(seconds=30), None)


def test_retry_after_of_probe_job_extends_the_cool_down() -> None:
    news = [ending("a", job_id=PROBE, retry_after_seconds=120)]
    standing = next_breaker_state(OWN_API, half_open(), news, POLICY, NOW)
    assert standing is not None
    assert standing.until == NOW + timedelta(seconds=120)


@pytest.mark.parametrize("state", FORCED)
@given(letters=st.text(alphabet="ab.-", max_size=20))
def test_forced_state_is_not_changed_by_results(state: CircuitState, letters: str) -> None:
    forced = CircuitRecord(state, 0, "", "", "", NOW)
    endings = [ending("" if letter == "." else letter) for letter in letters]
    assert next_breaker_state(OWN_API, forced, endings, POLICY, NOW) == forced


@given(st.text(alphabet="ab.", max_size=40))
def test_breaker_opens_exactly_at_the_threshold_of_one_cause(endings: str) -> None:
    standing = run(endings)
    is_open = standing is not None and standing.state is CircuitState.OPEN
    assert is_open == ("aaa" in endings or "bbb" in endings)


@given(st.text(alphabet="ABC.", max_size=60), st.integers(1, 10))
def test_shared_breaker_stays_closed_until_several_tenants_fail(letters: str, failures: int) -> None:
    standing = run_shared(letters, CircuitPolicy(failures, 60.0, 30.0))
    if standing is not None and standing.state is CircuitState.OPEN:
        assert any(
            len(set(row)) > 1 and len(row) >= failures and max(row.count(letter) for letter in "ABC") < len(row)
            for row in letters.split(".")
        )


@given(st.text(alphabet="ab.-", max_size=40), st.integers(0, 40), st.sampled_from([OWN_KIND, OWN_API, SHARED_API]))
def test_state_is_independent_of_how_results_are_batched(endings: str, cut: int, name: CircuitName) -> None:
    events, second = [], 0.0
    for letter in endings:
        if letter == "-":
            second += 90
        else:
            whose = TENANTS["A" if letter == "a" else "B"]
            events.append(ending("" if letter == "." else letter, second, UUID(int=7), whose))
    whole = next_breaker_state(name, None, events, POLICY, NOW)
    assert (
        next_breaker_state(name, next_breaker_state(name, None, events[:cut], POLICY, NOW), events[cut:], POLICY, NOW)
        == whole
    )
