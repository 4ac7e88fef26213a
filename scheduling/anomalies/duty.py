"""Duty of a dispatcher that compares the last minutes of each series with what is usual."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import scalar_row

from scheduling.anomalies.baselines import counts_of, hour_number
from scheduling.anomalies.detector import (
    CONFIRMED,
    SCALES,
    WINDOWS,
    Counts,
    Learned,
    Measure,
    Usual,
    Verdict,
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
_MINUTE = timedelta(minutes=1)
_SQL = load_sql(__file__)


class AnomalyWatch:
    """Duty that judges each series every LOOK_SECONDS; a deviation is stored when confirmed, and ends after CALM."""

    def __init__(self) -> None:
        self._seen: dict[Any, int] = {}
        self._looked_at: datetime | None = None
        self._usual: list[Any] = []
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
        if self._looked_at is None or as_of - self._looked_at > 3 * timedelta(seconds=LOOK_SECONDS):
            self._seen = {}
        self._looked_at = as_of
        this = as_of.replace(second=0, microsecond=0)
        elapsed = (as_of - this) / _MINUTE
        minutes = _read_minutes(this)
        open_ones = {_key(row): row for row in Anomaly.objects.filter(ended_at=None, is_change=False)}
        seen: dict[Any, int] = {}
        windows: dict[Any, Any] = {}
        for row in self._usual_at(as_of):
            key, measure, usual = _key(row), Measure(row.measure), Usual(*row.ranges[0])
            if key[:3] not in windows:
                windows[key[:3]] = windows_of(
                    [minutes[key[:3]].get(this - _MINUTE * n, Counts()) for n in _AGES], elapsed
                )
            learned = Learned([usual], row.below, row.above, row.hours)
            verdict = judge(measure, learned, usual, windows[key[:3]])
            if verdict and (looks := verdict.confirm(self._seen.get(key, 0))):
                seen[key] = looks
                if looks >= CONFIRMED:
                    open_ones[key] = _note(open_ones.get(key), row, usual, verdict, as_of)
        self._seen = seen
        over = [row.pk for row in open_ones.values() if row.seen_at <= as_of - CALM]
        Anomaly.objects.filter(pk__in=over).update(ended_at=as_of)
        return len(open_ones) - len(over)

    def _usual_at(self, as_of: datetime) -> list[Any]:
        hour, moment = hour_of_week(hour_number(as_of - _MINUTE)), time.monotonic()
        if self._read_at[0] != hour or moment - self._read_at[1] > KEPT_SECONDS:
            self._usual = fetch_all(_SQL["usual_now"], {"hour": hour, "as_of": as_of}, is_planned=True)
            self._read_at = hour, moment
        return self._usual


_AGES = range(max(WINDOWS))


def _read_minutes(this: datetime) -> dict[Any, dict[datetime, Counts]]:
    """Return the counts of each series by minute."""
    found: dict[Any, dict[datetime, Counts]] = defaultdict(dict)
    values = {"since": this - _MINUTE * (len(_AGES) - 1), "until": this + _MINUTE}
    for row in fetch_all(_SQL["recent_minutes"], values, is_planned=True):
        found[row.scope, row.tenant_id, row.name][row.minute] = counts_of(row)
    return found


def _note(former: Anomaly | None, row: Any, usual: Usual, verdict: Verdict, as_of: datetime) -> Anomaly:
    """Store a deviation or its continuation; keep the worst value."""
    score = verdict.score or 0.0
    back = SCALES[Measure(row.measure)].back
    anomaly = former or Anomaly(
        scope=row.scope, tenant_id=row.tenant_id, name=row.name, measure=row.measure, began_at=as_of, score=0.0
    )
    anomaly.seen_at = as_of
    if abs(score) > abs(anomaly.score):
        anomaly.score, anomaly.value = score, verdict.value
        anomaly.low, anomaly.high = back(usual.low), back(usual.high)
    anomaly.save()
    return anomaly


def _key(row: Any) -> tuple[Any, ...]:
    return (row.scope, row.tenant_id, row.name, row.measure)
