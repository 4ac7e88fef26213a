"""Admission under load: tiers give way from the lowest up, and return from the highest down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduling.fairness.admission import GAIN, LOSS, WHOLE, adjust

TIERS = ["sandbox", "team", "professional"]


def test_lowest_tier_loses_first_and_whole_before_the_next() -> None:
    admitted: dict[str, int] = {}
    seen = []
    for _ in range(7):
        admitted = adjust(admitted, ["sandbox", "team"], [])
        seen.append((admitted.get("sandbox", WHOLE), admitted.get("team", WHOLE)))
    assert seen == [(80, 100), (60, 100), (40, 100), (20, 100), (0, 100), (0, 80), (0, 60)]


def test_tier_that_was_refused_last_returns_first() -> None:
    admitted = adjust({"sandbox": 0, "team": 95}, [], TIERS)
    assert admitted == {"sandbox": 0}
    assert adjust(admitted, [], TIERS) == {"sandbox": GAIN}


def test_tiers_that_may_not_be_refused_now_do_not_lose() -> None:
    assert adjust({"sandbox": 0}, ["sandbox"], []) == {"sandbox": 0}
    assert adjust({}, [], []) == {}


def test_longer_time_moves_further() -> None:
    assert adjust({}, ["sandbox"], [], seconds=2.0) == {"sandbox": WHOLE - 2 * LOSS}


turns = st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 5.0)), max_size=80)


@given(turns)
def test_no_tier_is_refused_before_a_lower_one(turns: list[tuple[int, float]]) -> None:
    admitted: dict[str, int] = {}
    for pressed, seconds in turns:
        admitted = adjust(admitted, TIERS[:pressed], TIERS[pressed:] if not pressed else [], seconds=seconds)
        parts = [admitted.get(tier, WHOLE) for tier in TIERS]
        assert all(0 <= part <= WHOLE for part in parts)
        assert parts == sorted(parts)
