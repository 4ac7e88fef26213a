"""Fires at clock changes and elsewhere: compared with a table, and with a minute-by-minute walk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.schedules.recurrence import (
    Cron,
    DstPolicy,
    Interval,
    Once,
    Recurrence,
    ZoneUnknownError,
    find_zone,
    preview_runs,
)
from tests.examples import scaled

MINUTE = timedelta(minutes=1)


def recurrence(text: str, zone: str, policy: str = "standard") -> Recurrence:
    return Recurrence(Cron.parse(text), find_zone(zone), DstPolicy(policy))


def shown(text: str, zone: str, policy: str, after: str, count: int) -> list[str]:
    """Return the next fires in local time, with the offset."""
    rule = recurrence(text, zone, policy)
    fires = islice(rule.fires_after(datetime.fromisoformat(after)), count)
    return [f"{fire.at.astimezone(rule.zone):%d %H:%M %z}" for fire in fires]


BERLIN, NEW_YORK, LORD_HOWE, APIA = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"
BERLIN_SPRING, BERLIN_AUTUMN = "2026-03-28T12:00:00+00:00", "2026-10-24T12:00:00+00:00"
NEW_YORK_SPRING, NEW_YORK_AUTUMN = "2026-03-08T00:00:00+00:00", "2026-11-01T00:00:00+00:00"
LORD_HOWE_SPRING, LORD_HOWE_AUTUMN = "2026-10-03T12:00:00+00:00", "2026-04-04T12:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "zone", "after", "policy", "expected"),
    [
        # 02:30 does not exist on 29 March: at 03:00, the first time after the gap, or not at all.
        ("30 2 * * *", BERLIN, BERLIN_SPRING, "standard", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("30 2 * * *", BERLIN, BERLIN_SPRING, "first", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("30 2 * * *", BERLIN, BERLIN_SPRING, "second", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("30 2 * * *", BERLIN, BERLIN_SPRING, "both", ["29 03:00 +0200", "30 02:30 +0200"]),
        ("30 2 * * *", BERLIN, BERLIN_SPRING, "skip", ["30 02:30 +0200", "31 02:30 +0200"]),
        # Several times in the gap, and one at its end, are one fire.
        ("0,20,40 2,3 * * *", BERLIN, BERLIN_SPRING, "standard", ["29 03:00 +0200", "29 03:20 +0200"]),
        # With a star the gap is empty: nothing is made up for.
        ("*/30 * * * *", BERLIN, "2026-03-29T00:15:00+00:00", "standard", ["29 01:30 +0100", "29 03:00 +0200"]),
        ("15 * * * *", BERLIN, "2026-03-29T00:00:00+00:00", "standard", ["29 01:15 +0100", "29 03:15 +0200"]),
        ("15 * * * *", BERLIN, "2026-03-29T00:00:00+00:00", "first", ["29 01:15 +0100", "29 03:00 +0200"]),
        # 02:30 occurs twice on 25 October.
        ("30 2 * * *", BERLIN, BERLIN_AUTUMN, "standard", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("30 2 * * *", BERLIN, BERLIN_AUTUMN, "first", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("30 2 * * *", BERLIN, BERLIN_AUTUMN, "second", ["25 02:30 +0100", "26 02:30 +0100"]),
        ("30 2 * * *", BERLIN, BERLIN_AUTUMN, "both", ["25 02:30 +0200", "25 02:30 +0100", "26 02:30 +0100"]),
        ("30 2 * * *", BERLIN, BERLIN_AUTUMN, "skip", ["25 02:30 +0200", "26 02:30 +0100"]),
        # With a star both passes count, so that half an hour stays half an hour.
        (
            "*/30 * * * *",
            BERLIN,
            "2026-10-24T23:45:00+00:00",
            "standard",
            ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100"],
        ),
        (
            "*/30 * * * *",
            BERLIN,
            "2026-10-24T23:45:00+00:00",
            "second",
            ["25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100"],
        ),
        # America: at 02:00, an hour's gap on 8 March and twice 01:00 to 02:00 on 1 November.
        ("30 2 * * *", NEW_YORK, NEW_YORK_SPRING, "standard", ["08 03:00 -0400", "09 02:30 -0400"]),
        ("30 1 * * *", NEW_YORK, NEW_YORK_AUTUMN, "standard", ["01 01:30 -0400", "02 01:30 -0500"]),
        ("30 1 * * *", NEW_YORK, NEW_YORK_AUTUMN, "both", ["01 01:30 -0400", "01 01:30 -0500", "02 01:30 -0500"]),
        # Lord Howe changes its clocks by half an hour.
        ("15 2 * * *", LORD_HOWE, LORD_HOWE_SPRING, "standard", ["04 02:30 +1100", "05 02:15 +1100"]),
        ("15 2 * * *", LORD_HOWE, LORD_HOWE_SPRING, "skip", ["05 02:15 +1100", "06 02:15 +1100"]),
        ("45 1 * * *", LORD_HOWE, LORD_HOWE_AUTUMN, "both", ["05 01:45 +1100", "05 01:45 +1030", "06 01:45 +1030"]),
        ("15 1 * * *", LORD_HOWE, LORD_HOWE_AUTUMN, "both", ["05 01:15 +1100", "06 01:15 +1030"]),
        # Apia skipped 30 December 2011.
        ("0 12 30 12 *", APIA, "2011-12-01T00:00:00+00:00", "standard", ["31 00:00 +1400", "30 12:00 +1400"]),
        ("0 12 30 12 *", APIA, "2011-12-01T00:00:00+00:00", "skip", ["30 12:00 +1400"]),
        ("0 12 * * *", APIA, "2011-12-29T00:00:00+00:00", "standard", ["29 12:00 -1000", "31 00:00 +1400"]),
        ("0 12 * * *", APIA, "2011-12-29T00:00:00+00:00", "skip", ["29 12:00 -1000", "31 12:00 +1400"]),
    ],
)
def test_clock_change_is_handled_by_the_policy(
    text: str, zone: str, after: str, policy: str, expected: list[str]
) -> None:
    assert shown(text, zone, policy, after, len(expected)) == expected


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe", "a" * 65, "Évian"])
def test_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(ZoneUnknownError):
        find_zone(name)


def walk(
    minutes: set[int], hours: set[int], zone: str, policy: str, after: datetime, until: datetime
) -> list[datetime]:
    """Return the fires that a minute-by-minute walk finds, with the local times already seen."""
    loose = policy == "standard" and len(minutes) == 60
    fires, place, seen = [], find_zone(zone), set()
    moment = after - timedelta(days=2)
    shown_last = moment.astimezone(place).replace(tzinfo=None)
    while moment <= until:
        civil = moment.astimezone(place).replace(tzinfo=None)
        leapt = [shown_last + MINUTE * n for n in range(1, max(int((civil - shown_last) / MINUTE), 1))]
        is_second, will_return = civil in seen, _returns(moment, civil, place)
        takes = {
            "first": not is_second,
            "skip": not is_second,
            "second": is_second or not will_return,
            "both": True,
            "standard": loose or not is_second,
        }[policy]
        makes_up = policy != "skip" and not loose
        if (_matches(civil, minutes, hours) and takes) or (
            makes_up and any(_matches(time, minutes, hours) for time in leapt)
        ):
            fires.append(moment)
        seen.add(civil)
        shown_last, moment = civil, moment + MINUTE
    return [fire for fire in fires if after < fire <= until]


def _matches(civil: datetime, minutes: set[int], hours: set[int]) -> bool:
    return civil.minute in minutes and civil.hour in hours


def _returns(moment: datetime, civil: datetime, place: object) -> bool:
    """Return whether the same local time occurs again within the next hours."""
    later = (moment + timedelta(minutes=step) for step in (30, 60, 120))
    return any(other.astimezone(place).replace(tzinfo=None) == civil for other in later)  # type: ignore[arg-type]


CHANGES = st.sampled_from(
    [
        (BERLIN, datetime(2026, 3, 29, tzinfo=UTC)),
        (BERLIN, datetime(2026, 10, 25, tzinfo=UTC)),
        (NEW_YORK, datetime(2026, 3, 8, 6, tzinfo=UTC)),
        (NEW_YORK, datetime(2026, 11, 1, 5, tzinfo=UTC)),
        (LORD_HOWE, datetime(2026, 10, 3, 15, tzinfo=UTC)),
        (LORD_HOWE, datetime(2026, 4, 4, 14, tzinfo=UTC)),
        ("Africa/Casablanca", datetime(2026, 2, 15, 1, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2026, 5, 1, tzinfo=UTC)),
        ("UTC", datetime(2026, 3, 29, tzinfo=UTC)),
    ]
)
MINUTES = st.one_of(st.just(set(range(60))), st.sets(st.integers(0, 59), min_size=1, max_size=4))
HOURS = st.sets(st.integers(0, 23), min_size=1)


def written(minutes: set[int], hours: set[int]) -> str:
    minute = "*" if len(minutes) == 60 else ",".join(map(str, sorted(minutes)))
    return f"{minute} {','.join(map(str, sorted(hours)))} * * *"


@settings(max_examples=scaled(30), deadline=None)
@given(change=CHANGES, minutes=MINUTES, hours=HOURS, policy=st.sampled_from([p.value for p in DstPolicy]))
def test_fires_equal_those_of_a_minute_by_minute_walk(
    change: tuple[str, datetime], minutes: set[int], hours: set[int], policy: str
) -> None:
    zone, around = change
    after, until = around - timedelta(hours=20), around + timedelta(hours=20)
    rule = recurrence(written(minutes, hours), zone, policy)
    found = [fire.at for fire in rule.fires_between(after, until, 10_000)]
    assert found == walk(minutes, hours, zone, policy, after, until)


@settings(max_examples=scaled(60), deadline=None)
@given(
    change=CHANGES,
    minutes=MINUTES,
    hours=HOURS,
    policy=st.sampled_from(list(DstPolicy)),
    cut_seconds=st.integers(-20 * 3600, 20 * 3600),
)
def test_fires_of_two_partial_ranges_equal_the_whole_in_order(
    change: tuple[str, datetime], minutes: set[int], hours: set[int], policy: DstPolicy, cut_seconds: int
) -> None:
    zone, around = change
    after, until = around - timedelta(hours=20), around + timedelta(hours=20)
    rule = recurrence(written(minutes, hours), zone, policy)
    whole = [fire.at for fire in rule.fires_between(after, until, 10_000)]
    cut = around + timedelta(seconds=cut_seconds)
    parts = [*rule.fires_between(after, cut, 10_000), *rule.fires_between(cut, until, 10_000)]
    assert [fire.at for fire in parts] == whole
    assert all(earlier < later for earlier, later in pairwise(whole))
    newest, has_older = rule.newest_between(after, until, 10)
    assert [fire.at for fire in newest] == whole[-10:]
    assert has_older == (len(whole) > 10)


def test_newest_of_many_missed_fires_are_found_directly() -> None:
    rule = recurrence("* * * * *", BERLIN)
    until = datetime(2026, 6, 1, tzinfo=UTC)
    newest, has_older = rule.newest_between(until - timedelta(days=3_650), until, 100)
    assert [fire.at for fire in newest] == [until - MINUTE * n for n in range(99, -1, -1)]
    assert has_older


NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)


def test_interval_keeps_its_pace_over_a_clock_change() -> None:
    times = Interval(6 * 3_600, NOON, find_zone(BERLIN))
    found = [fire.at for fire in times.fires_between(NOON, NOON + timedelta(days=2), 100)]
    assert found == [NOON + number * timedelta(hours=6) for number in range(1, 9)]
    assert times.fires_between(NOON - timedelta(seconds=1), NOON, 1)[0].at == NOON
    assert next(times.fires_after(NOON - timedelta(days=1))).at == NOON - timedelta(hours=18)
    notes = [run.note for run in preview_runs(times, after=NOON, count=3) if run.note]
    assert notes == ["The clocks have changed since the previous run: UTC+01:00 → UTC+02:00."]


def test_interval_ends_with_the_calendar() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    assert list(Interval(3_600, NOON, find_zone("UTC")).fires_after(end - timedelta(hours=1))) != []


def test_single_time_fires_once() -> None:
    times = Once(NOON, find_zone(BERLIN))
    assert [fire.at for fire in times.fires_after(NOON - MINUTE)] == [NOON]
    assert times.next_after(NOON) is None
    assert times.newest_between(NOON - timedelta(days=365), NOON, 5) == ([times.next_after(NOON - MINUTE)], False)
    assert (str(times.words), times.least_interval_seconds()) == ("Once at 2026-03-28 13:00", None)
