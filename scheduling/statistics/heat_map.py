"""Heat map of ended executions: one measure, by rows and hours. Colours stand for quantiles, so rare rows are visible.

A time of 24 hours has a column for each hour, one of 7 days a column for four hours; hours are those of UTC.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import add
from typing import Any
from uuid import UUID

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scheduling.console.wording import duration_words
from scheduling.models import SeriesHour, Worker
from scheduling.statistics.histogram import percentile
from scheduling.statistics.series import read_hours
from tenants.access.caller import Access
from tenants.access.permissions import Permission
from tenants.database.clock import read_clock
from tenants.models import Tenant

CLASSES = 5
ROW_LIMIT = 20
# Units of the map; the page scales them.
CELL_WIDTH, CELL_HEIGHT, GAP = 24.0, 16.0, 2.0
Rows = SeriesHour.Scope


class HeatMeasure(models.TextChoices):
    """What the colours stand for."""

    ENDED = "ended", gettext_lazy("Ended runs")
    FAILURES = "failures", gettext_lazy("Failed runs")
    WAIT_P95 = "wait_p95", gettext_lazy("Wait, 95th percentile")
    RUN_P95 = "run_p95", gettext_lazy("Run time, 95th percentile")
    SLOT_SECONDS = "slot_seconds", gettext_lazy("Slot time")

    @property
    def is_percentile(self) -> bool:
        return self in (HeatMeasure.WAIT_P95, HeatMeasure.RUN_P95)


# The columns of each measure: only they are read.
_COLUMNS = {
    HeatMeasure.ENDED: ("completed", "failed"),
    HeatMeasure.FAILURES: ("failed",),
    HeatMeasure.WAIT_P95: ("wait",),
    HeatMeasure.RUN_P95: ("run",),
    HeatMeasure.SLOT_SECONDS: ("busy_us",),
}


class HeatSpan(models.TextChoices):
    """The time that a map covers."""

    DAY = "24h", gettext_lazy("Last 24 hours")
    WEEK = "7d", gettext_lazy("Last 7 days")

    @property
    def hours_per_column(self) -> int:
        return 1 if self is HeatSpan.DAY else 4

    @property
    def columns(self) -> int:
        return 24 if self is HeatSpan.DAY else 42


@dataclass(frozen=True, slots=True)
class HeatChoice:
    """What a map shows: a measure by rows over a time, of one tenant or of all."""

    measure: HeatMeasure = HeatMeasure.ENDED
    rows: Rows = Rows.KIND
    span: HeatSpan = HeatSpan.DAY
    tenant: Tenant | None = None

    def words(self, value: float | None) -> str:
        """Return a value of the measure in words."""
        is_count = self.measure in (HeatMeasure.ENDED, HeatMeasure.FAILURES)
        return f"{value or 0:,.0f}" if is_count else duration_words(value)


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One cell: its value, and its colour class: 0 without a value, CLASSES for the greatest values."""

    x: float
    heat: int
    since: datetime
    until: datetime
    value: float | None
    words: str


@dataclass(frozen=True, slots=True)
class HeatRow:
    """Row of the map. ``name`` is the kind, the queue, the tenant's slug or the worker's id; ``label`` is shown."""

    name: str
    label: str
    cells: list[HeatCell]

    @property
    def summary(self) -> str:
        greatest = max(self.cells, key=lambda cell: cell.value or 0)
        return _("%(name)s: at most %(value)s.") % {"name": self.label, "value": greatest.words}


@dataclass(frozen=True, slots=True)
class HeatClass:
    """Colour class with the least value that belongs to it, in words."""

    heat: int
    words: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The map: its columns, its rows, the colour classes for the legend, and the number of hidden rows."""

    choice: HeatChoice
    columns: Sequence[datetime]
    rows: list[HeatRow]
    classes: list[HeatClass]
    hidden: int
    width: float
    height: float = CELL_HEIGHT
    cell_width: float = CELL_WIDTH - GAP


def may_show(rows: Rows, tenant: Tenant | None, access: Access) -> bool:
    """Return whether the caller may see these rows: those of tenants and workers are for platform staff."""
    return rows in (Rows.KIND, Rows.QUEUE) or (tenant is None and access.may(Permission.PLATFORM_VIEW))


def read_heat(choice: HeatChoice, now: datetime | None = None) -> HeatMap:
    """Return the map of a choice, the rows with the greatest values, in at most two queries over hourly rollups."""
    hours = choice.span.hours_per_column
    this = (now or read_clock()).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first = this - timedelta(hours=this.hour % hours + hours * (choice.span.columns - 1))
    sums: dict[str, dict[int, Sequence[int]]] = defaultdict(dict)
    rows = read_hours(choice.rows, since=first, tenant_id=choice.tenant.pk if choice.tenant else None)
    for name, hour, *found in rows.values_list("name", "hour", *_COLUMNS[choice.measure]):
        counts = found[0] if choice.measure.is_percentile else [sum(found)]
        column = int((hour - first) / timedelta(hours=hours))
        known = sums[name].get(column)
        sums[name][column] = [*map(add, known, counts)] if known else counts
    values = {
        name: [_value(choice.measure, cells.get(n)) for n in range(choice.span.columns)] for name, cells in sums.items()
    }
    ranked = sorted(values, key=lambda name: (-sum(value or 0 for value in values[name]), name))
    shown = {name: values[name] for name in ranked[:ROW_LIMIT]}
    columns = [first + timedelta(hours=hours * n) for n in range(choice.span.columns)]
    return draw_heat(choice, columns, shown, hidden=len(ranked) - len(shown))


def _value(measure: HeatMeasure, counts: Sequence[int] | None) -> float | None:
    """Return the value of a cell by the sum of its rows: a histogram, or one number."""
    if counts is None:
        return None
    if measure.is_percentile:
        return percentile(counts, 0.95)
    return counts[0] / 1e6 if measure == HeatMeasure.SLOT_SECONDS else counts[0]


def draw_heat(
    choice: HeatChoice, columns: Sequence[datetime], values: Mapping[str, Sequence[float | None]], *, hidden: int = 0
) -> HeatMap:
    """Return the heat map of these values by row."""
    bounds = quantile_bounds([value for row in values.values() for value in row if value])
    names = _name_rows(choice.rows, values)
    width = timedelta(hours=choice.span.hours_per_column)
    rows = [
        HeatRow(
            *names[name],
            [
                HeatCell(n * CELL_WIDTH, _heat(value, bounds), since, since + width, value, choice.words(value))
                for n, (since, value) in enumerate(zip(columns, row, strict=True))
            ],
        )
        for name, row in values.items()
        if name in names
    ]
    classes = [HeatClass(_heat(least, bounds), choice.words(least)) for least in bounds]
    return HeatMap(choice, columns, rows, classes, hidden, CELL_WIDTH * len(columns))


def quantile_bounds(values: Sequence[float], classes: int = CLASSES) -> list[float]:
    """Return the least value of each class, for classes that contain about equally many of the positive values.

    Equal values are in the same class, so there may be fewer than ``classes`` classes.
    """
    known = sorted(value for value in values if value > 0)
    if not known:
        return []
    return sorted({known[len(known) * number // classes] for number in range(classes)})


def _heat(value: float | None, bounds: Sequence[float]) -> int:
    """Return the colour class of a value; the class of the greatest values is always CLASSES."""
    return bisect_right(bounds, value) + CLASSES - len(bounds) if value else 0


def _name_rows(rows: Rows, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the name and the label of each row; a deleted tenant or worker has none."""
    if rows == Rows.TENANT:
        found: Iterable[Any] = Tenant.objects.filter(pk__in=[UUID(name) for name in names])
        return {str(tenant.pk): (tenant.slug, tenant.name) for tenant in found}
    if rows == Rows.WORKER:
        found = Worker.objects.filter(pk__in=[UUID(name) for name in names])
        return {str(worker.pk): (str(worker.pk), f"{worker.hostname} {worker.pid}") for worker in found}
    return {name: (name, name) for name in names}
