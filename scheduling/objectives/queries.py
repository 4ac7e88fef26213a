"""Standing of objectives: jobs in time, the budget that is left, and how fast it is spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from scheduling.models import Objective, ObjectiveHour, ObjectiveMinute
from scheduling.objectives.rules import Counts, Excuse, steady_burn
from tenants.database.clock import read_clock

# Times over which the burn rate is measured, each with a short one that notices its end.
FAST, SLOW = (timedelta(hours=1), timedelta(minutes=5)), (timedelta(hours=6), timedelta(minutes=30))


@dataclass(frozen=True, slots=True)
class Standing:
    """An objective with its counts: of the window of its budget, and burn rates of 1 and 6 hours."""

    objective: Objective
    counts: Counts
    burn_hour: float
    burn_six_hours: float
    fast_burn: float
    slow_burn: float

    @property
    def budget_left(self) -> float:
        return self.counts.budget_left(self.objective.target_share)


def read_standings(objectives: Sequence[Objective], now: datetime | None = None) -> list[Standing]:
    """Return the standing of each objective, in two queries over their counts by minute and hour."""
    now = now or read_clock()
    ids = [objective.pk for objective in objectives]
    recent = ObjectiveMinute.objects.filter(objective__in=ids, minute__gt=now - SLOW[0])
    minutes = _rows_of(recent.values_list("objective", "minute", "good", "late", "excused"))
    windowed = ObjectiveHour.objects.filter(objective__in=ids, hour__gt=now - timedelta(days=28))
    hours = _rows_of(windowed.values_list("objective", "hour", "good", "late", "excused"))
    return [_standing(each, minutes.get(each.pk, []), hours.get(each.pk, []), now) for each in objectives]


def _standing(objective: Objective, minutes: list[Any], hours: list[Any], now: datetime) -> Standing:
    long, short, slow_long, slow_short = (_sum(minutes, now - length) for length in (*FAST, *SLOW))
    target = objective.target_share
    return Standing(
        objective,
        _sum(hours, now - timedelta(days=objective.window_days)),
        burn_hour=long.burn(target),
        burn_six_hours=slow_long.burn(target),
        fast_burn=steady_burn(long, short, target),
        slow_burn=steady_burn(slow_long, slow_short, target),
    )


def _rows_of(rows: Iterable[tuple[UUID, datetime, int, int, Mapping[str, int]]]) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = {}
    for objective_id, *row in rows:
        found.setdefault(objective_id, []).append(row)
    return found


def _sum(rows: Iterable[Any], since: datetime) -> Counts:
    chosen = [row for row in rows if row[0] > since]
    excused = {why.value: sum(row[3].get(why, 0) for row in chosen) for why in Excuse}
    return Counts(sum(row[1] for row in chosen), sum(row[2] for row in chosen), {k: n for k, n in excused.items() if n})
