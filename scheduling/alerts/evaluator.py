"""Duty of dispatchers that reads the measures and evaluates the alerts.

Measures are read before the lock is taken, each in a transaction of its own, so that a slow one delays nothing else.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta

from django.db import DatabaseError, connection

from scheduling.alerts.causes import count_causes
from scheduling.alerts.evaluation import Reading, evaluate
from scheduling.alerts.grouping import flush
from scheduling.alerts.incidents import count_incident, flush_incidents
from scheduling.alerts.measures import ALERT_ACTOR, Measure, measures
from scheduling.alerts.rules import Sample
from scheduling.dispatch.leadership import try_to_lead
from scheduling.models import AlertClock
from tenants.context import acting_as, all_tenants
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7
from tenants.database.locks import LockClass
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

STATEMENT_TIMEOUT = {"statement_timeout": "2000"}
# The measures of one turn take at most about this time; the others come first in the next one.
READ_SECONDS = 4.0
STALE_AFTER = timedelta(seconds=10)
# After a step of a clock nothing changes for this time.
CLOCK_STEP_SECONDS = 30.0
FROZEN = timedelta(seconds=60)
# That no dispatcher has evaluated for this long is an incident, unless it could not because of the database.
UNWATCHED = timedelta(seconds=15)
# A measure that has failed so often in a row is itself an alert.
FAILURES = 3


class Evaluator:
    """Duty of a dispatcher: one of them evaluates the rules every ALERT_EVALUATION_SECONDS."""

    def __init__(self) -> None:
        self.id = uuid7()
        self._read_at: dict[str, float] = {}
        self._failures: Counter[str] = Counter()
        self._seen: tuple[datetime, float] | None = None
        self._began_at = -math.inf

    def interval_seconds(self) -> float:
        """Return the seconds between two turns."""
        seconds: float = platform_settings.ALERT_EVALUATION_SECONDS
        return seconds

    def take_turn(self) -> int:
        """Evaluate what is due; return the number of alerts that have changed, 0 if another dispatcher evaluates."""
        began_before, self._began_at = self._began_at, time.monotonic()
        with all_tenants():
            now, clock = read_clock(), AlertClock.objects.get()
        has_stepped = self._has_stepped(now)
        interval = timedelta(seconds=self.interval_seconds())
        gap = None if clock.evaluated_at is None else now - clock.evaluated_at
        was_stopped = self._began_at - began_before > UNWATCHED.total_seconds()
        if gap is not None and gap > UNWATCHED and was_stopped and not has_stepped:
            count_incident("unwatched", f"{gap.total_seconds():.0f} s")
        flush_incidents()
        if gap is not None and timedelta() <= gap < 0.8 * interval:
            return 0
        was_away = has_stepped or gap is None or gap > max(STALE_AFTER, 2 * interval)
        is_settling = was_away or (clock.settling_until or now) > now
        readings = [] if has_stepped else list(self._read(skips_heartbeats=is_settling))
        with acting_as(ALERT_ACTOR), all_tenants():
            if not try_to_lead(LockClass.ALERTS):
                return 0
            now, clock = read_clock(), AlertClock.objects.select_for_update(no_key=True).get()
            if was_away:
                clock.settling_until = now + timedelta(seconds=platform_settings.LEASE_SECONDS)
            if has_stepped:
                clock.frozen_until = now + FROZEN
            since = clock.evaluated_at if clock.evaluated_at and clock.evaluated_at <= now else now - STALE_AFTER
            fresh = [reading for reading in readings if reading.at >= max(since, now - STALE_AFTER)]
            changed = 0 if clock.frozen_until and now < clock.frozen_until else evaluate(fresh, now)
            clock.evaluated_at, clock.evaluated_by = now, self.id
            clock.cause_id = count_causes(clock.cause_id, now)
            clock.save()
            flush(now)
        for reading in fresh:
            self._read_at[reading.measure.name] = time.monotonic()
        return changed

    def _has_stepped(self, now: datetime) -> bool:
        """Return whether the clock of PostgreSQL was set since the last look, by the monotonic clock."""
        moment, seen = time.monotonic(), self._seen
        self._seen = now, moment
        if seen is None or abs((now - seen[0]).total_seconds() - (moment - seen[1])) <= CLOCK_STEP_SECONDS:
            return False
        count_incident("clock_set")
        return True

    def _read(self, *, skips_heartbeats: bool) -> Iterator[Reading]:
        """Yield a reading of each due measure: first of the broker, which others wait for, then by the last reading."""
        began = time.monotonic()
        by_age = sorted(measures().values(), key=lambda each: self._read_at.get(each.name, 0.0))
        for measure in sorted(by_age, key=lambda each: each.name != "broker_away"):
            due_at = self._read_at.get(measure.name, -measure.seconds) + measure.seconds - self.interval_seconds() / 2
            if began < due_at or (measure.needs_heartbeats and skips_heartbeats):
                continue
            if time.monotonic() - began > READ_SECONDS:
                return
            if (reading := self._read_one(measure)) is not None:
                yield reading
        if unreadable := self._unreadable():
            with all_tenants():
                yield Reading(measures()["check"], unreadable, read_clock(), is_partial=True)

    def _read_one(self, measure: Measure) -> Reading | None:
        """Return a reading, or None if the measure cannot be read: its alerts keep their state then."""
        try:
            with all_tenants():
                at = read_clock()
            with nullcontext() if measure.is_unscoped else all_tenants(STATEMENT_TIMEOUT):
                samples = list(measure.read(at))
        except Exception as error:
            if isinstance(error, DatabaseError) and not connection.is_usable():
                raise
            logger.exception("alerts.measure_failed", extra={"measure": measure.name})
            self._failures[measure.name] += 1
            return None
        self._failures.pop(measure.name, None)
        return Reading(measure, [*samples, *(self._unreadable() if measure.name == "check" else ())], at)

    def _unreadable(self) -> list[Sample]:
        return [
            Sample(f"check:measure.{name}", 2.0, name) for name, count in self._failures.items() if count >= FAILURES
        ]
