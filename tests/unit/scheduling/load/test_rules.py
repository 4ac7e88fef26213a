"""Rules of load states: when one rises and falls, and what a value stands for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.load.rules import CALM, FALL_SECONDS, RISE_SECONDS, SIGNALS, Course, Level, level_of, step


@pytest.mark.parametrize("name", SIGNALS)
def test_thresholds_of_a_signal_are_in_order_and_begin_its_states(name: str) -> None:
    signal = SIGNALS[name]
    is_low_bad = signal.thresholds[0] > signal.thresholds[-1]
    assert list(signal.thresholds) == sorted(signal.thresholds, reverse=is_low_bad)
    for number, threshold in enumerate(signal.thresholds, 1):
        better = threshold * (1.01 if is_low_bad else 0.99)
        assert (signal.level_of(threshold), signal.level_of(better)) == (Level(number), Level(number - 1))
        calm = threshold / CALM * 1.01 if is_low_bad else threshold * CALM * 0.99
        assert signal.level_of(calm, margin=CALM) == Level(number - 1)


def test_state_rises_only_after_worse_values_have_held() -> None:
    course = Course()
    for _ in range(2):
        course = step(course, {"oldest_wait": 40.0}, 1.0)
        assert course.level is Level.NORMAL
    assert step(course, {"oldest_wait": 40.0}, 1.0).level is Level.OVERLOADED


def test_one_normal_value_begins_the_rise_anew() -> None:
    course = step(step(Course(), {"tick": 900.0}, 2.0), {"tick": 10.0}, 1.0)
    assert step(course, {"tick": 900.0}, 2.0).level is Level.NORMAL


def test_state_rises_to_the_least_that_all_values_stood_for() -> None:
    course = step(step(Course(), {"oldest_wait": 6.0}, 2.0), {"oldest_wait": 200.0}, 2.0)
    assert course.level is Level.BUSY


def test_state_falls_by_one_after_calm_values() -> None:
    course = Course(Level.BROWN_OUT)
    course = step(course, {}, FALL_SECONDS)
    assert course == Course(Level.OVERLOADED)


def test_value_just_below_the_threshold_keeps_the_state() -> None:
    course = step(Course(Level.BUSY), {"oldest_wait": 4.9}, 10 * FALL_SECONDS)
    assert course.level is Level.BUSY


def test_worst_value_decides() -> None:
    assert level_of({"oldest_wait": 1.0, "disk": 0.9, "broker": 60.0}) is Level.OVERLOADED
    assert level_of({}) is Level.NORMAL


def test_broker_away_refuses_nothing() -> None:
    assert level_of({"broker": 2_000.0}) is Level.BUSY


values = st.fixed_dictionaries({"oldest_wait": st.floats(0, 1_000), "memory": st.floats(0, 64)})


@given(st.lists(st.tuples(values, st.floats(0, 5)), max_size=60))
def test_state_never_rises_sooner_nor_falls_by_more_than_its_times_allow(
    turns: list[tuple[dict[str, float], float]],
) -> None:
    course = Course()
    held = 0.0
    for signals, elapsed in turns:
        before, course = course, step(course, signals, elapsed)
        held = 0.0 if course.level != before.level else held + elapsed
        if course.level > before.level:
            assert before.rising_seconds + elapsed >= RISE_SECONDS
            assert course.level <= level_of(signals)
        if course.level < before.level:
            assert course.level == before.level - 1
            assert before.falling_seconds + elapsed >= FALL_SECONDS
