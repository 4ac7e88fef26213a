"""Duty of a dispatcher that measures the load and stores the states."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from scheduling.dispatch.leadership import try_to_lead
from scheduling.load.models import PLATFORM, LoadState
from scheduling.load.queries import read_policies
from scheduling.load.rules import Course, Level, step
from scheduling.load.service import release_level
from scheduling.load.shedding import next_admitted
from scheduling.load.signals import read_database, read_surroundings
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.locks import LockClass
from tenants.models import Tier

MEASURE_SECONDS = 1.0
# A measurement of another dispatcher within this part of the interval is not repeated.
FRESH_PART = 0.8
# Pause after a measurement, in multiples of its duration, and the longest one: under load measurements are slow, and
# needed.
REST, MOST_PAUSE_SECONDS = 20, 5.0
# A longer pause between two measurements counts as this time, so that a set clock changes no state.
LONGEST_SECONDS = 5.0
_MEASURED = (
    "level",
    "since",
    "signals",
    "rising_to",
    "rising_seconds",
    "falling_seconds",
    "measured_at",
    "admitted",
)
BECAUSE = "its end time was reached"


class LoadWatch:
    """Duty that measures every MEASURE_SECONDS, or less often if measuring is slow; one dispatcher does so for all."""

    def __init__(self) -> None:
        self._took_seconds = 0.0

    def interval_seconds(self) -> float:
        """Return the seconds until the next measurement."""
        return min(max(MEASURE_SECONDS, REST * self._took_seconds), MOST_PAUSE_SECONDS)

    def take_turn(self) -> None:
        """Measure, and store the states, unless another dispatcher has done so just before."""
        surroundings = read_surroundings()
        began = time.monotonic()
        with all_tenants():
            if try_to_lead(LockClass.LOAD) and not _is_fresh(now := read_clock()):
                found = read_database()
                _store({**found, PLATFORM: found[PLATFORM] | surroundings}, now)
        self._took_seconds = time.monotonic() - began


def _is_fresh(now: datetime) -> bool:
    measured_at = LoadState.objects.filter(scope=PLATFORM).values_list("measured_at", flat=True).first()
    return measured_at is not None and 0 <= (now - measured_at).total_seconds() < FRESH_PART * MEASURE_SECONDS


def _store(found: Mapping[str, Mapping[str, float]], now: datetime) -> None:
    """Write the states after this measurement; those of deleted pools go."""
    rows = LoadState.objects.select_for_update(no_key=True).in_bulk()
    LoadState.objects.exclude(scope__in=found).delete()
    for row in rows.values():
        if row.scope in found and row.forced_until is not None and row.forced_until <= now:
            release_level(scope=row.scope, reason=BECAUSE)
    policies, tiers = read_policies(), list(Tier.objects.order_by("rank").values_list("slug", flat=True))
    states = []
    for scope, signals in found.items():
        row = rows.get(scope) or LoadState(scope=scope, since=now, measured_at=now)
        elapsed = min(max((now - row.measured_at).total_seconds(), 0.0), LONGEST_SECONDS)
        course = step(
            Course(Level(row.level), Level(row.rising_to), row.rising_seconds, row.falling_seconds), signals, elapsed
        )
        if course.level != row.level:
            row.since = now
        row.level, row.rising_to = course.level, course.rising_to
        row.rising_seconds, row.falling_seconds = course.rising_seconds, course.falling_seconds
        forced = row.applying(now) if row.forced_level is not None else None
        row.admitted = next_admitted(row.admitted, signals, forced, policies, tiers, elapsed)
        row.signals, row.measured_at = {name: round(value, 3) for name, value in signals.items()}, now
        states.append(row)
    LoadState.objects.bulk_create(states, update_conflicts=True, unique_fields=["scope"], update_fields=_MEASURED)
