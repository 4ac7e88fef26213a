"""Numbers of executions that ended in the last 24 hours, by kind and hour, from the rollups."""

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
    """Number of executions of a kind that ended in one hour, and how many of them failed."""

    ended: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class KindRow:
    """Counts of one kind for each hour, oldest first."""

    kind: str
    hours: list[HourCount]

    @property
    def ended(self) -> int:
        return sum(hour.ended for hour in self.hours)


@dataclass(frozen=True, slots=True)
class KindHours:
    """Counts of the kinds with the most ended executions; ``hidden`` is the number of other kinds."""

    hours: Sequence[datetime]
    lines: list[KindRow]
    hidden: int


def read_kind_hours(now: datetime | None = None) -> KindHours:
    """Return the counts of the last 24 hours by kind, in two queries over a few hundred rows."""
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
