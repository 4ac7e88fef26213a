"""Missed fires and jitter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.schedules.recurrence import CatchUpPolicy, jitter_seconds, sort_due
from scheduling.schedules.recurrence.policies import CATCH_UP_LIMIT, GRACE

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def ago(*minutes: float) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(minutes=minute) for minute in minutes)


@pytest.mark.parametrize(
    ("policy", "due", "made", "missed"),
    [
        ("none", (), (), ()),
        ("none", (0.5, 0), (0.5, 0), ()),  # both within the grace of a minute
        ("none", (1,), (1,), ()),  # exactly at its end
        ("none", (60, 30, 0), (0,), (60, 30)),
        ("latest", (60, 30, 0), (30, 0), (60,)),
        ("latest", (60, 30), (30,), (60,)),
        ("all", (60, 30, 0), (60, 30, 0), ()),
    ],
)
def test_missed_fires_are_handled_by_the_catch_up_policy(
    policy: str, due: tuple[float, ...], made: tuple[float, ...], missed: tuple[float, ...]
) -> None:
    sorted_due = sort_due(ago(*due), now=NOW, policy=CatchUpPolicy(policy))
    assert (sorted_due.made, sorted_due.missed) == (ago(*made), ago(*missed))


@given(st.sets(st.integers(0, 400)), st.sampled_from(list(CatchUpPolicy)))
def test_due_fire_is_made_or_missed_and_punctual_fire_is_made(minutes: set[int], policy: CatchUpPolicy) -> None:
    due = ago(*sorted(minutes, reverse=True))
    result = sort_due(due, now=NOW, policy=policy)
    assert result.missed + result.made == due
    assert all(NOW - time > GRACE for time in result.missed)
    assert sum(NOW - time > GRACE for time in result.made) <= CATCH_UP_LIMIT


@given(st.uuids(), st.datetimes(timezones=st.just(UTC)), st.integers(0, 3600))
def test_jitter_is_bounded_and_deterministic(schedule_id: UUID, time: datetime, at_most: int) -> None:
    delay = jitter_seconds(schedule_id, time, at_most)
    assert 0 <= delay <= at_most
    assert delay == jitter_seconds(schedule_id, time, at_most)


def test_jitter_spreads_fires_of_the_same_time() -> None:
    delays = {jitter_seconds(UUID(int=number), NOW, 3600) for number in range(100)}
    assert len(delays) > 90
