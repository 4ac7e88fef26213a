"""Duty of a dispatcher that compares the last minutes of each series with what is usual."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import scalar_row

from scheduling.anomalies.baselines import Key, counts_of, hour_number, learned_of
from scheduling.anomalies.detector import (
    CONFIRMED,
    SCALES,
    WINDOWS,
    Counts,
    Learned,
    Measure,
    Usual,
    Verdict,
    Window,
    hour_of_week,
    judge,
    windows_of,
)
from scheduling.dispatch.leadership import try_to_lead
from scheduling.models import Anomaly, RollupClock
from scheduling.statistics.throughput import STALE_AFTER
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.locks import LockClass
from tenants.database.prepared import fetch_all, fetch_one
from tenants.database.sql import load_sql

LOOK_SECONDS = 30.0
# Looks are two seconds after full and half minutes, when the executions until then are counted.
COUNTED_AFTER, LEAST_SECONDS = 2.0, 5.0
CALM = timedelta(minutes=5)
# What is usual is read again after this time.
KEPT_SECONDS = 300.0
# After the next look, minutes are read again; executions are counted so late at most.
_NEXT_LOOK, _LATE = timedelta(seconds=3 * LOOK_SECONDS), timedelta(seconds=10)
_MINUTE = timedelta(minutes=1)
_AGES = range(max(WINDOWS))
_NOTED = ["seen_at", "score", "value", "low", "high"]
_SQL = load_sql(__file__)


class AnomalyWatch:
    """Duty that judges each series every LOOK_SECONDS; a deviation is stored when confirmed, and ends after CALM."""

    def __init__(self) -> None:
        self._seen: dict[Key, int] = {}
        self._looked_at: datetime | None = None
        self._minutes: dict[datetime, dict[Key, Counts]] = {}
        self._usual: list[tuple[Key, Measure, Learned]] = []
        self._read_at: tuple[int, float] = (-1, 0.0)

    def interval_seconds(self) -> float:
        """Return the seconds until the next look, at least LEAST_SECONDS."""
        return LEAST_SECONDS + LOOK_SECONDS - (time.time() - COUNTED_AFTER + LEAST_SECONDS) % LOOK_SECONDS

    def take_turn(self) -> int:
        """Judge all series; return the number of open deviations, 0 if another dispatcher judges or counts are late."""
        with all_tenants():
            if not try_to_lead(LockClass.ANOMALIES):
                return 0
            now, clock = read_clock(), RollupClock.objects.first()
            as_of = clock.folded_at if clock else None
            if as_of is None or now - as_of > STALE_AFTER:
                return 0
            if fetch_one(_SQL["has_late_counts"], {"as_of": as_of}, scalar_row, is_planned=True):
                return 0
            return self._judge(as_of)

    def _judge(self, as_of: datetime) -> int:
        if self._looked_at is None or not timedelta() <= as_of - self._looked_at <= _NEXT_LOOK:
            self._seen, self._minutes = {}, {}
        judged = self._usual_at(as_of)
        this = as_of.replace(second=0, microsecond=0)
        self._read_minutes(this)
        self._looked_at = as_of
        elapsed = (as_of - this) / _MINUTE
        recent = [self._minutes.get(this - _MINUTE * age, {}) for age in _AGES]
        open_ones = {_key(row): row for row in Anomaly.objects.filter(ended_at=None, is_change=False)}
        seen: dict[Key, int] = {}
        windows: dict[Key, list[Window]] = {}
        noted = []
        for key, measure, learned in judged:
            series, usual = key[:3], learned.ranges[0]
            if series not in windows:
                windows[series] = windows_of([minute.get(series, Counts()) for minute in recent], elapsed)
            verdict = judge(measure, learned, usual, windows[series])
            if verdict and (looks := verdict.confirm(self._seen.get(key, 0))):
                seen[key] = looks
                if looks >= CONFIRMED:
                    open_ones[key] = _continued(open_ones.get(key), key, usual, verdict, as_of)
                    noted.append(open_ones[key])
        self._seen = seen
        Anomaly.objects.bulk_create(noted, update_conflicts=True, unique_fields=["id"], update_fields=_NOTED)
        over = [row.pk for row in open_ones.values() if row.seen_at <= as_of - CALM]
        Anomaly.objects.filter(pk__in=over).update(ended_at=as_of)
        return len(open_ones) - len(over)

    def _usual_at(self, as_of: datetime) -> list[tuple[Key, Measure, Learned]]:
        hour, moment = hour_of_week(hour_number(as_of - _MINUTE)), time.monotonic()
        if self._read_at[0] != hour or moment - self._read_at[1] > KEPT_SECONDS:
            self._usual = [
                (_key(row), Measure(row.measure), learned_of(row))
                for row in fetch_all(_SQL["usual_now"], {"hour": hour, "as_of": as_of}, is_planned=True)
            ]
            self._read_at = hour, moment
            # There may be others now, whose minutes were not read.
            self._minutes = {}
        return self._usual

    def _read_minutes(self, this: datetime) -> None:
        """Read the minutes that may have changed since the last look, and forget those before the windows."""
        since = oldest = this - _MINUTE * (len(_AGES) - 1)
        if self._minutes and self._looked_at:
            since = max(oldest, (self._looked_at - _LATE).replace(second=0, microsecond=0))
        self._minutes = {at: counts for at, counts in self._minutes.items() if oldest <= at < since}
        values = {"since": since, "until": this + _MINUTE}
        for row in fetch_all(_SQL["recent_minutes"], values, is_planned=True):
            self._minutes.setdefault(row.minute, {})[row.scope, row.tenant_id, row.name] = counts_of(row)


def _continued(former: Anomaly | None, key: Key, usual: Usual, verdict: Verdict, as_of: datetime) -> Anomaly:
    """Return a new deviation or the continuation of one; it keeps the worst value."""
    score = verdict.score or 0.0
    scope, tenant_id, name, measure = key
    anomaly = former or Anomaly(scope=scope, tenant_id=tenant_id, name=name, measure=measure, began_at=as_of, score=0.0)
    anomaly.seen_at = as_of
    if abs(score) > abs(anomaly.score):
        back = SCALES[Measure(measure)].back
        anomaly.score, anomaly.value = score, verdict.value
        anomaly.low, anomaly.high = back(usual.low), back(usual.high)
    return anomaly


def _key(row: Any) -> Key:
    return (row.scope, row.tenant_id, row.name, row.measure)
