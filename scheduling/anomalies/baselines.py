"""Upkeep of what is usual: summaries of series by the hour, ranges learned from them, and lasting changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from scheduling.anomalies.detector import (
    SCALES,
    WEEKLY_HOURS,
    Counts,
    Hour,
    Learned,
    Measure,
    Usual,
    find_shift,
    learn,
    observe,
    range_at,
)
from scheduling.models import Anomaly, SeriesBaseline, SeriesSummary
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql

# Most series: platform-wide ones before kinds of tenants, with more runs before others.
MOST_SERIES = 500
LEARNED_PER_STEP = 25
# Minutes of kinds are kept three days; those of an hour are complete some minutes after it.
KEPT_HOURS, COMPLETE_AFTER = 71, timedelta(minutes=5)
HISTORY = timedelta(days=28)
# A level that has lasted so long is the new usual one.
SETTLED = timedelta(days=1)
_SQL = load_sql(__file__)
_HOUR = timedelta(hours=1)

type Key = tuple[Any, ...]


def tend_baselines(budget: UpkeepBudget) -> UpkeepStep:
    """Summarize the next hour; if none is left, learn the next series, and at last find lasting changes."""
    with all_tenants():
        now = read_clock()
        this = hour_number(now - COMPLETE_AFTER)
        hour = max(int(budget.cursor.get("hour", 0)), this - KEPT_HOURS)
        if hour < this:
            counts = {"series_summarized": summarize_hour(hour_start(hour))}
            return UpkeepStep(counts, has_more=True, cursor={"hour": hour + 1})
        learned = learn_series(now)
        counts = {"series_learned": learned}
        if learned < LEARNED_PER_STEP:
            counts["level_changes"] = note_changes(now)
        return UpkeepStep(counts, has_more=learned >= LEARNED_PER_STEP, cursor={"hour": hour})


def summarize_hour(since: datetime) -> int:
    """Store the summary of each series for an hour, in the scope of all tenants; return their number."""
    values = {"since": since, "until": since + _HOUR, "series": MOST_SERIES}
    summaries = []
    for key, rows in groupby(fetch_all(_SQL["minutes_of_hour"], values, is_planned=True), _key):
        minutes = [Counts()] * 60
        for row in rows:
            minutes[int((row.minute - since).total_seconds() // 60)] = counts_of(row)
        numbers = {measure: [round(x, 4) for x in hour] for measure, hour in observe(minutes).items()}
        summaries.append(SeriesSummary(**_fields(key), hour=since, numbers=numbers))
    SeriesSummary.objects.bulk_create(
        summaries, update_conflicts=True, unique_fields=["scope", "tenant", "name", "hour"], update_fields=["numbers"]
    )
    return len(summaries)


def learn_series(now: datetime) -> int:
    """Learn what is usual for the next series that are due, in the scope of all tenants; return their number."""
    this = hour_number(now - COMPLETE_AFTER)
    values = {"now": now, "until": hour_start(this), "weekly": WEEKLY_HOURS, "limit": LEARNED_PER_STEP}
    due = fetch_all(_SQL["series_to_learn"], values, is_planned=True)
    for row in due:
        key = _key(row)
        changes = Anomaly.objects.filter(**_fields(key), is_change=True, seen_at__gt=now - HISTORY)
        settled = {
            one.measure: hour_number(one.began_at)
            for one in changes.order_by("began_at")
            if one.seen_at - one.began_at >= SETTLED
        }
        for measure, hours in read_history(key, now - HISTORY).items():
            first = settled.get(measure, 0)
            found = learn(measure, {at: hour for at, hour in hours.items() if at >= first}, this)
            if found is not None:
                SeriesBaseline.objects.update_or_create(
                    **_fields(key),
                    measure=measure,
                    defaults={
                        "ranges": [list(usual) for usual in found.ranges],
                        "below": found.below,
                        "above": found.above,
                        "hours": found.hours,
                        "learned_at": now,
                    },
                )
    return len(due)


def note_changes(now: datetime) -> int:
    """Store lasting changes of levels and end those that are over, in the scope of all tenants; return their number."""
    this = hour_number(now - COMPLETE_AFTER)
    recent: dict[Key, dict[Measure, dict[int, Hour]]] = defaultdict(lambda: defaultdict(dict))
    for row in SeriesSummary.objects.filter(hour__gte=now - 2 * SETTLED).iterator():
        for measure, numbers in row.numbers.items():
            recent[_key(row)][Measure(measure)][hour_number(row.hour)] = Hour(*numbers)
    open_ones = {(*_key(row), row.measure): row for row in Anomaly.objects.filter(is_change=True, ended_at=None)}
    found = 0
    for baseline in SeriesBaseline.objects.iterator():
        measure, key = Measure(baseline.measure), (*_key(baseline), baseline.measure)
        learned, hours = learned_of(baseline), recent[_key(baseline)][measure]
        shift = find_shift(measure, learned, hours, this)
        former = open_ones.pop(key, None)
        if shift is None:
            if former:
                Anomaly.objects.filter(pk=former.pk).update(ended_at=now)
            continue
        found += 1
        back, last = SCALES[measure].back, max(hours)
        usual = range_at(learned, last)
        facts = {"value": back(hours[last].median), "low": back(usual.low), "high": back(usual.high)}
        seen = {**facts, "score": shift[1], "seen_at": now}
        Anomaly.objects.update_or_create(
            **_fields(_key(baseline)),
            measure=measure,
            is_change=True,
            ended_at=None,
            defaults=seen,
            create_defaults={**seen, "began_at": hour_start(shift[0])},
        )
    Anomaly.objects.filter(pk__in=[row.pk for row in open_ones.values()]).update(ended_at=now)
    return found


def read_history(key: Key, since: datetime) -> Mapping[Measure, Mapping[int, Hour]]:
    """Return the summaries of a series by measure and hour."""
    found: dict[Measure, dict[int, Hour]] = defaultdict(dict)
    for row in SeriesSummary.objects.filter(**_fields(key), hour__gte=since):
        for measure, numbers in row.numbers.items():
            found[Measure(measure)][hour_number(row.hour)] = Hour(*numbers)
    return found


def learned_of(row: SeriesBaseline) -> Learned:
    """Return what a stored baseline holds."""
    return Learned([Usual(*numbers) for numbers in row.ranges], row.below, row.above, row.hours)


def counts_of(row: Any) -> Counts:
    """Return the counts of a row of a minute."""
    return Counts(row.ended, row.failed, row.wait, row.run, row.result_bytes)


def hour_number(at: datetime) -> int:
    """Return the hours since 1970."""
    return int(at.timestamp() // 3_600)


def hour_start(hour: int) -> datetime:
    """Return the time at which an hour since 1970 begins."""
    return datetime.fromtimestamp(hour * 3_600, UTC)


def _key(row: Any) -> Key:
    return (row.scope, row.tenant_id, row.name)


def _fields(key: Key) -> dict[str, Any]:
    return dict(zip(("scope", "tenant_id", "name"), key, strict=True))
