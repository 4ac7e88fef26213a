"""Heat map of ended executions by kind and hour; colours stand for quantiles, so that rare kinds stay visible."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import zip_longest

from django.http import HttpRequest, HttpResponseBase
from django.template.loader import render_to_string
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from scheduling.statistics.kind_hours import HourCount, KindHours, read_kind_hours
from tenants.console.polled_parts import CachedPart, part_response

TEMPLATE = "scheduling/dashboards/parts/overview_kinds.html"
_kept = CachedPart("kinds")
CLASSES = 5
# Units of the map; the page scales them.
CELL_WIDTH, CELL_HEIGHT, GAP = 24.0, 16.0, 2.0


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One hour of a kind: its position in the row, its colour class and its counts.

    Class 0 means that no execution ended, class CLASSES is that of the greatest numbers.
    """

    x: float
    heat: int
    count: HourCount
    title: str


@dataclass(frozen=True, slots=True)
class HeatRow:
    """Row of the map: the hours of one kind."""

    kind: str
    cells: list[HeatCell]
    summary: str


@dataclass(frozen=True, slots=True)
class HeatClass:
    """Colour class with the range of the numbers of executions that belong to it; the last one has no end."""

    heat: int
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The heat map: its hours, its rows, the colour classes for the legend, and the number of hidden kinds."""

    hours: Sequence[datetime]
    rows: list[HeatRow]
    bounds: list[HeatClass]
    hidden: int
    width: float = CELL_WIDTH * 24
    height: float = CELL_HEIGHT
    cell_width: float = CELL_WIDTH - GAP


@require_safe
def kinds_fragment(request: HttpRequest) -> HttpResponseBase:
    """Return the HTML of the map, or of its table with ``view=table``; answer 304 if the browser's copy is current."""
    is_table = request.GET.get("view") == "table"
    part = _kept.get(partial(_render, is_table=is_table), variant="table" if is_table else "")
    return part_response(request, part.body, etag=part.etag)


def _render(*, is_table: bool) -> SafeString:
    return render_to_string(TEMPLATE, {"heat": draw_heat(read_kind_hours()), "is_table": is_table})


def draw_heat(kinds: KindHours) -> HeatMap:
    """Return the heat map of these counts."""
    bounds = quantile_bounds([hour.ended for line in kinds.lines for hour in line.hours])
    rows = [
        HeatRow(
            kind=line.kind,
            cells=[_cell(index, kinds.hours[index], hour, bounds) for index, hour in enumerate(line.hours)],
            summary=_("%(kind)s: %(ended)s runs in 24 hours, at most %(most)s in one hour.")
            % {"kind": line.kind, "ended": f"{line.ended:,}", "most": f"{max(hour.ended for hour in line.hours):,}"},
        )
        for line in kinds.lines
    ]
    ends = [following - 1 for following in bounds[1:]]
    classes = [HeatClass(_heat(least, bounds), least, most) for least, most in zip_longest(bounds, ends)]
    return HeatMap(kinds.hours, rows, classes, kinds.hidden)


def quantile_bounds(values: Sequence[int], classes: int = CLASSES) -> list[int]:
    """Return the least value of each class, for classes that contain about equally many of the positive values.

    Equal values are in the same class, so there may be fewer than ``classes`` classes.
    """
    known = sorted(value for value in values if value > 0)
    if not known:
        return []
    return sorted({known[len(known) * number // classes] for number in range(classes)})


def _cell(index: int, hour: datetime, count: HourCount, bounds: Sequence[int]) -> HeatCell:
    facts = {"hour": f"{hour:%H:%M}", "ended": f"{count.ended:,}", "failed": f"{count.failed:,}"}
    title = _("%(hour)s: %(ended)s ended, %(failed)s failed") % facts
    return HeatCell(index * CELL_WIDTH, _heat(count.ended, bounds), count, title)


def _heat(value: int, bounds: Sequence[int]) -> int:
    """Return the colour class of a value; the class of the greatest values is always CLASSES."""
    return bisect_right(bounds, value) + CLASSES - len(bounds) if value else 0
