"""Rules of alerts without a database: hysteresis, time, active hours, and rules that are of no use."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.alerts.rules import (
    FIRING,
    PENDING,
    RESOLVED,
    AlertState,
    Sample,
    Tick,
    find_faults,
    is_active,
    matches,
    step,
)
from scheduling.models import AlertRule

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday
ACME, GLOBEX = UUID(int=1), UUID(int=2)
RULE = AlertRule(
    name="wait",
    measure="oldest_wait",
    per="queue",
    comparison="gt",
    threshold=300,
    clear_threshold=120,
    for_seconds=30,
    clear_seconds=60,
)


def altered(rule: AlertRule, **changes: Any) -> AlertRule:
    changed = copy(rule)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def run(rule: AlertRule, values: list[float | None], elapsed: float = 5.0) -> list[AlertState | None]:
    """Return the state after each value; a resolved alert is followed by none."""
    states: list[AlertState | None] = []
    state: AlertState | None = None
    for value in values:
        before = None if state is None or state.state == RESOLVED else state
        state = step(Tick(NOW, elapsed), before, value, rule)
        states.append(state)
    return states


def names(states: list[AlertState | None]) -> list[str | None]:
    return [None if state is None else state.state for state in states]


def test_alert_fires_after_its_time_and_not_before() -> None:
    assert names(run(RULE, [301.0] * 8)) == [PENDING] * 6 + [FIRING] * 2


def test_rule_without_time_fires_at_once() -> None:
    assert names(run(altered(RULE, for_seconds=0), [301.0])) == [FIRING]


def test_pending_alert_that_clears_is_gone() -> None:
    assert names(run(RULE, [301.0, 301.0, 300.0])) == [PENDING, PENDING, None]


def test_hysteresis_keeps_firing_between_thresholds() -> None:
    rule = altered(RULE, for_seconds=0)
    states = run(rule, [301.0] + [200.0] * 50)
    assert set(names(states)) == {FIRING}
    assert names(run(rule, [301.0] + [120.0] * 12))[-2:] == [FIRING, RESOLVED]


def test_missing_value_is_clear() -> None:
    rule = altered(RULE, for_seconds=0, clear_seconds=10)
    assert names(run(rule, [301.0, None, None])) == [FIRING, FIRING, RESOLVED]


def test_value_that_returns_starts_the_time_of_clearing_again() -> None:
    rule = altered(RULE, for_seconds=0, clear_seconds=10)
    assert names(run(rule, [301.0, 0.0, 301.0, 0.0, 0.0])) == [FIRING, FIRING, FIRING, FIRING, RESOLVED]


def test_peak_is_the_worst_value_of_either_direction() -> None:
    assert run(altered(RULE, for_seconds=0), [301.0, 500.0, 310.0])[-1].peak == 500  # type: ignore[union-attr]
    low = altered(RULE, for_seconds=0, comparison="lt", threshold=0.8, clear_threshold=None)
    assert run(low, [0.7, 0.2, 0.5])[-1].peak == 0.2  # type: ignore[union-attr]


def test_held_time_of_a_firing_alert_counts_from_its_firing() -> None:
    states = run(RULE, [301.0] * 9)
    assert states[6].held_seconds == 0  # type: ignore[union-attr]
    assert states[8].held_seconds == 10  # type: ignore[union-attr]


def test_muted_hours_neither_begin_nor_advance_but_keep_a_firing_alert() -> None:
    muted = altered(RULE, active_days=[1])
    assert step(Tick(NOW, 5.0), None, 301.0, muted) is None
    pending = AlertState(PENDING, 301.0, 301.0, held_seconds=29.0)
    assert step(Tick(NOW, 5.0), pending, 302.0, muted) == replace(pending, value=302.0, peak=302.0)
    firing = AlertState(FIRING, 301.0, 301.0)
    assert step(Tick(NOW, 5.0), firing, 302.0, muted).state == FIRING  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        # Berlin, summer time since 29 March 2026: 09:00 is 07:00 UTC; in winter it is 08:00 UTC.
        (datetime(2026, 3, 27, 7, 30, tzinfo=UTC), False),
        (datetime(2026, 3, 27, 8, 30, tzinfo=UTC), True),
        (datetime(2026, 3, 30, 7, 30, tzinfo=UTC), True),
        (datetime(2026, 3, 30, 15, 0, tzinfo=UTC), False),
        (datetime(2026, 3, 28, 8, 30, tzinfo=UTC), False),  # a Saturday
    ],
)
def test_hours_follow_zone_over_dst(at: datetime, expected: bool) -> None:
    hours = altered(RULE, active_days=[1, 2, 3, 4, 5], active_from=time(9), active_until=time(17), zone="Europe/Berlin")
    assert is_active(hours, at) is expected


def test_hours_over_midnight_belong_to_the_day_of_their_start() -> None:
    hours = altered(RULE, active_days=[3], active_from=time(22), active_until=time(6))
    night = datetime(2026, 3, 4, 23, 0, tzinfo=UTC)
    assert is_active(hours, night)
    assert is_active(hours, night + timedelta(hours=6))
    assert not is_active(hours, night + timedelta(hours=8))
    assert not is_active(hours, night - timedelta(hours=20))


def test_rule_of_a_tenant_matches_its_own_objects_only() -> None:
    shared = Sample("kind:noop", 1.0)
    own, foreign = (
        Sample(f"kind:noop@{ACME}", 1.0, tenant_id=ACME),
        Sample(f"kind:noop@{GLOBEX}", 1.0, tenant_id=GLOBEX),
    )
    of_platform = altered(RULE, per="kind")
    of_acme = altered(RULE, per="kind", tenant_id=ACME)
    assert [matches(of_platform, each) for each in (shared, own, foreign)] == [True, False, False]
    assert [matches(of_acme, each) for each in (shared, own, foreign)] == [False, True, False]


def test_scope_of_a_rule_is_its_object_or_a_parent() -> None:
    cause = Sample("cause:abc", 1.0, parents=("kind:noop", "queue:pipeline"))
    rule = altered(RULE, per="cause", only_kind="noop")
    assert matches(rule, cause)
    assert not matches(altered(rule, only_queue="other"), cause)
    assert not matches(altered(RULE, per="queue"), cause)
    assert matches(altered(RULE, only_queue="pipeline"), Sample("queue:pipeline", 1.0))
    assert not matches(altered(RULE, only_tenant=ACME), Sample("queue:pipeline", 1.0))


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"threshold": 1.0, "clear_threshold": None}, [("threshold", "never")]),
        ({"threshold": 0.001, "clear_threshold": None}, [("threshold", "always")]),
        ({"comparison": "lt", "threshold": 0.0, "clear_threshold": None}, [("threshold", "never")]),
        ({"clear_threshold": 0.9}, [("clear_threshold", "clear")]),
        ({"comparison": "lt", "clear_threshold": 0.1}, [("clear_threshold", "clear")]),
        ({"active_from": time(9)}, [("active_from", "hours")]),
        ({"active_from": time(9), "active_until": time(10), "for_seconds": 3_600}, [("for_seconds", "never")]),
        ({"active_from": time(23), "active_until": time(1), "for_seconds": 3_600}, []),
    ],
)
def test_faults_name_rule_that_never_fires(changes: dict[str, object], faults: list[tuple[str, str]]) -> None:
    clear = {} if changes.get("comparison") == "lt" else {"clear_threshold": 0.4}
    share = altered(RULE, **{"threshold": 0.5, "clear_threshold": None, **clear, **changes})  # type: ignore[arg-type]
    assert [(fault.field, fault.code) for fault in find_faults(share, floor=0.01, most=1.0)] == faults


@given(st.lists(st.one_of(st.none(), st.floats(0, 1_000)), max_size=60), st.integers(0, 60), st.integers(0, 60))
def test_alert_fires_only_after_values_beyond_the_threshold_for_the_whole_time(
    values: list[float | None], for_seconds: int, clear_seconds: int
) -> None:
    rule = altered(RULE, for_seconds=for_seconds, clear_seconds=clear_seconds)
    states = run(rule, values)
    beyond = 0
    was_firing = False
    for value, state in zip(values, states, strict=True):
        beyond = beyond + 1 if value is not None and value > rule.threshold else 0
        is_firing = state is not None and state.state == FIRING
        if is_firing and not was_firing:
            assert (beyond - 1) * 5 >= for_seconds
        if state is not None and state.state == RESOLVED:
            assert was_firing
        was_firing = is_firing
