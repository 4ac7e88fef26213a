"""Cron expressions: syntax, description, and least interval."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.schedules.recurrence import Cron, CronInvalidError
from scheduling.schedules.recurrence.cron import ALIASES, words_of_interval
from tests.examples import scaled

# Wall-clock times have no zone.
NEW_YEAR = datetime(2024, 1, 1)  # noqa: DTZ001
MINUTE, HOUR, DAY, YEAR = 60, 3_600, 86_400, 31_536_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must have five fields"),
        ("* * * *", "must have five fields"),
        ("*/10 * * * * *", "must have five fields"),  # with seconds
        ("@reboot", "no such alias. The aliases are @hourly"),
        ("60 * * * *", "Bad minute"),
        ("* 24 * * *", "Bad hour"),
        ("* * 0 * *", "Bad day-of-month"),
        ("* * * 13 *", "Bad month"),
        ("* * * * 8", "Bad day-of-week"),
        ("*/0 * * * *", "Bad minute"),
        ("9-5 * * * *", "Bad minute"),
        ("1,,2 * * * *", "Bad minute"),
        ("-1 * * * *", "Bad minute"),
        ("* * * * L", "Bad day-of-week"),
        ("* * * * MON#6", "Bad day-of-week"),
        ("٣ * * * *", "digits"),  # a digit of another script
        ("0 0 * * MÖN", "digits"),
        ("0 0 * * *; DROP", "must have five fields"),
        ("0 0 30 2 *", "never fires"),
        ("0 0 30,31 2 *", "never fires"),
        ("0 0 31 2,4,6,9,11 *", "never fires"),
        ("0 0 31 FEB *", "never fires"),
        ("0 0 */10 2 MON#5", "never fires"),  # the 1st, 11th, 21st or 31st, and a fifth Monday
        ("0 99 30 2 *", "Bad hour"),  # two faults: the syntax error is reported
        ("0 " * 101, "at most 200"),
        (f"*/{'9' * 150} * * * *", None),  # unusual, and it means minute 0
    ],
)
def test_invalid_or_never_firing_cron_is_refused_with_a_reason(text: str, why: str | None) -> None:
    if why is None:
        Cron.parse(text)
        return
    with pytest.raises(CronInvalidError, match=why):
        Cron.parse(text)


@pytest.mark.parametrize(
    ("text", "words", "least_seconds"),
    [
        ("* * * * *", "Every minute", MINUTE),
        ("*/5 * * * *", "Every 5 minutes", 5 * MINUTE),
        ("0,30 * * * *", "Every 30 minutes", 30 * MINUTE),
        ("0 * * * *", "Every hour", HOUR),
        ("30 * * * *", "At minute 30 of every hour", HOUR),
        ("0 */6 * * *", "Every 6 hours", 6 * HOUR),
        ("*/5 * * * MON", "Every fifth minute of every hour on Monday", 5 * MINUTE),
        ("@hourly", "Every hour", HOUR),
        (" @Daily ", "At 00:00 every day", DAY),
        ("*/7 * * * *", "Every seventh minute of every hour", 4 * MINUTE),  # from minute 56 to the full hour
        ("2,59 * * * *", "At minutes 2 and 59 of every hour", 3 * MINUTE),
        ("0 9 * * MON-FRI", "At 09:00 on Monday through Friday", DAY),
        ("30 23,0 * * *", "At 00:30 and 23:30 every day", HOUR),  # across midnight
        ("30 23,0 1 * *", "At 00:30 and 23:30 on the first day of every month", 23 * HOUR),  # no midnight between days
        ("0 0 1,31 * *", "At 00:00 on the first and the 31th day of month", DAY),
        ("0 9 L * *", "At 09:00 on the last day of every month", 28 * DAY),
        ("0 9 * * 5L", "At 09:00 on the last Friday of the month", 28 * DAY),
        ("0 0 1 JAN *", "At 00:00 on January 1", YEAR),
        ("0 0 29 2 *", "At 00:00 on February 29", 4 * YEAR + DAY),
    ],
)
def test_cron_has_a_description_and_a_least_interval(text: str, words: str, least_seconds: int) -> None:
    cron = Cron.parse(text)
    assert cron.words == words
    assert cron.least_interval_seconds() == least_seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "Every second"),
        (90, "Every 90 seconds"),
        (5_400, "Every 90 minutes"),
        (DAY, "Every day"),
        (HOUR, "Every hour"),
    ],
)
def test_interval_is_named_in_its_largest_unit(seconds: int, words: str) -> None:
    assert str(words_of_interval(seconds)) == words


def test_alias_is_stored_as_its_five_fields() -> None:
    assert {alias: Cron.parse(alias).expression for alias in ALIASES} == ALIASES


def test_equal_expressions_have_one_canonical_form() -> None:
    assert Cron.parse("  0  9\t* * mon ") == Cron.parse("0 9 * * MON")


@settings(max_examples=scaled(30), deadline=None)
@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=4),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    days=st.sampled_from(["*", "1,31", "L", "*/2", "15"]),
    weekdays=st.sampled_from(["*", "MON-FRI", "SUN,MON", "FRI#2"]),
)
def test_least_interval_equals_the_least_of_years_of_fires(
    minutes: set[int], hours: set[int], days: str, weekdays: str
) -> None:
    text = f"{','.join(map(str, minutes))} {','.join(map(str, hours))} {days} * {weekdays}"
    cron = Cron.parse(text)
    times = list(islice(cron.times_after(NEW_YEAR), 2_000))
    seen = min(later - earlier for earlier, later in pairwise(times))
    least = timedelta(seconds=cron.least_interval_seconds())
    assert least <= seen
    # Two thousand fires of at most twelve a day span at least five months, which show every pattern above.
    assert least == seen or times[-1] - times[0] < timedelta(days=400)


@settings(deadline=None)
@given(st.text(alphabet="0123456789*,/-#LWMONJAN \t", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        cron = Cron.parse(text)
    except CronInvalidError:
        return
    assert cron.words
    assert cron.least_interval_seconds() >= MINUTE
    assert len(list(islice(cron.times_after(NEW_YEAR), 3))) > 0
