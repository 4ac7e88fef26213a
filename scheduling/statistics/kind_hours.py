"""Ended executions by kind and hour of the last day, from the rollups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, Sum

from scheduling.models import KindHour
from scheduling.statistics.throughput import FAILED
from tenants.database.clock import read_clock

HOURS = 24
KIND_LIMIT = 20


@dataclass(frozen=True, slots=True)
class HourCount:
    """Executions of a kind that ended in an hour, and those that failed."""

    ended: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class KindRow:
    """Hours of one kind, oldest first."""

    kind: str
    hours: list[HourCount]

    @property
    def ended(self) -> int:
        return sum(hour.ended for hour in self.hours)


@dataclass(frozen=True, slots=True)
class KindHours:
    """Busiest kinds of the day; ``hidden`` is the number of others."""

    hours: Sequence[datetime]
    lines: list[KindRow]
    hidden: int


def read_kind_hours(now: datetime | None = None) -> KindHours:
    """Return the kinds by hour, in two statements over a few hundred rows."""
    now = now or read_clock()
    this = now.replace(minute=0, second=0, microsecond=0)
    hours = [this - timedelta(hours=ago) for ago in reversed(range(HOURS))]
    counts: dict[str, dict[datetime, HourCount]] = defaultdict(dict)
    rows = KindHour.objects.filter(hour__gte=hours[0]).exclude(outcome="").order_by().values_list("kind", "hour")
    sums = rows.annotate(ended=Sum("executions"), failed=Sum("executions", filter=Q(outcome__in=FAILED), default=0))
    for kind, hour, ended, failed in sums:
        counts[kind][hour] = HourCount(ended, failed)
    lines = [KindRow(kind, [found.get(hour, HourCount()) for hour in hours]) for kind, found in counts.items()]
    lines.sort(key=lambda line: (-line.ended, line.kind))
    return KindHours(hours, lines[:KIND_LIMIT], max(0, len(lines) - KIND_LIMIT))
