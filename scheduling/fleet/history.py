"""History of one worker: its load, memory and throughput over the last hour or day, from its minutes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scheduling.console.wording import rate_words
from scheduling.models import WorkerMinute
from scheduling.statistics.minute_charts import MinuteChart, draw_values
from tenants.database.clock import read_clock

# By the value of the URL's parameter `range`, the default first: title, length of a bin, number of bins.
RANGES = {
    "hour": (gettext_lazy("Last hour"), timedelta(minutes=1), 60),
    "day": (gettext_lazy("Last 24 hours"), timedelta(minutes=15), 96),
}


@dataclass(frozen=True, slots=True)
class TitledChart:
    """A chart with its title and what its values are."""

    name: str
    title: str
    note: str
    chart: MinuteChart


def worker_charts(worker_id: UUID, *, chosen: str) -> list[TitledChart]:
    """Return the charts of a worker over the range ``chosen``, in two queries."""
    _title, length, bins = RANGES[chosen]
    # The current minute is not over.
    until = read_clock().replace(second=0, microsecond=0)
    starts = [until - length * (bins - index) for index in range(bins)]
    by_bin: dict[datetime, list[Any]] = defaultdict(list)
    rows = WorkerMinute.objects.filter(worker_id=worker_id, minute__gte=starts[0], minute__lt=until)
    for row in rows.only("minute", "heartbeats", "busy", "memory_kib", "begun"):
        by_bin[starts[(row.minute - starts[0]) // length]].append(row)
    found = [(at, by_bin.get(at, [])) for at in starts]
    busy = [(at, _mean(rows)) for at, rows in found]
    memory = [(at, max((row.memory_kib / 1_024 for row in rows), default=None)) for at, rows in found]
    begun = [(at, sum(row.begun for row in rows) / len(rows) if rows else None) for at, rows in found]
    return [
        TitledChart("load", _("Load"), _("slots in use, on average"), draw_values(busy, rate_words)),
        TitledChart(
            "memory",
            _("Memory"),
            _("resident, of all its processes; shared pages count in each"),
            draw_values(memory, lambda mebibytes: f"{mebibytes:,.0f} MiB"),
        ),
        TitledChart("begun", _("Throughput"), _("executions begun a minute"), draw_values(begun, rate_words)),
    ]


def _mean(rows: list[Any]) -> float | None:
    """Return the mean of the slots in use over the heartbeats, or None without any."""
    heartbeats = sum(row.heartbeats for row in rows)
    return sum(row.busy for row in rows) / heartbeats if heartbeats else None
