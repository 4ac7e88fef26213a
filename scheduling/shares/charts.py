"""SVG charts of slots over time: an area for a tenant's use, a stepped line for its entitlement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from scheduling.shares.history import ShareHistory, ShareLine

# The charts' own units; the page scales them.
WIDTH, HEIGHT = 400.0, 44.0
# The line of the index keeps this distance from the edges.
MARGIN = 3.0
TABLE_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class ShareChart:
    """SVG paths of the chart of one tenant, scaled to its own maximum ``top``; ``summary`` describes it in words."""

    line: ShareLine
    used_path: str
    entitled_path: str
    top: float
    summary: str


@dataclass(frozen=True, slots=True)
class IndexChart:
    """SVG path of Jain's fairness index from 0 to 1, with gaps where no tenants competed."""

    path: str
    dots: list[tuple[float, float]]
    summary: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Means over some bins: slots used, and slots entitled to."""

    used: float
    entitled: float | None


@dataclass(frozen=True, slots=True)
class ShareTable:
    """The numbers of the charts as a table of at most `TABLE_COLUMNS` columns."""

    starts: list[datetime]
    rows: list[tuple[ShareLine, list[Cell]]]
    jain: list[float | None]


def draw_share(line: ShareLine) -> ShareChart:
    """Return the chart of a tenant."""
    top = max([*line.used, *line.entitled, 1e-9])
    step = WIDTH / len(line.used)

    def height(value: float) -> float:
        return HEIGHT - HEIGHT * value / top

    had = _("used %(used).1f slots on average") % {"used": line.used_slots}
    entitled = line.entitled_slots
    due = "" if entitled is None else _(", entitled to %(entitled).1f") % {"entitled": entitled}
    return ShareChart(
        line=line,
        used_path=_area([height(value) for value in line.used], step),
        entitled_path=_steps([height(value) for value in line.entitled], step),
        top=top,
        summary=f"{line.name}: {had}{due}.",
    )


def draw_index(history: ShareHistory) -> IndexChart:
    """Return the chart of Jain's index; a value without neighbours is drawn as a dot."""
    step = WIDTH / max(len(history.jain) - 1, 1)
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(history.jain):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((round(index * step, 2), round(MARGIN + (HEIGHT - 2 * MARGIN) * (1 - value), 2)))
    values = [value for value in history.jain if value is not None]
    summary = (
        _("Jain's index between %(least).3f and %(most).3f.") % {"least": min(values), "most": max(values)}
        if values
        else _("No competition.")
    )
    return IndexChart(
        path=" ".join("M" + " L".join(f"{x} {y}" for x, y in run) for run in runs if len(run) > 1),
        dots=[run[0] for run in runs if len(run) == 1],
        summary=summary,
    )


def tabulate(history: ShareHistory) -> ShareTable:
    """Return the table of the numbers in the charts; each column is the mean of several bins."""
    bins = len(history.lines[0].used) if history.lines else 0
    size = max(bins // TABLE_COLUMNS, 1)
    slices = [slice(start, start + size) for start in range(0, bins, size)]
    return ShareTable(
        starts=[history.since + part.start * history.bin_length for part in slices],
        rows=[(line, [_cell(line, part) for part in slices]) for line in history.lines],
        jain=[_mean([value for value in history.jain[part] if value is not None]) for part in slices],
    )


def _cell(line: ShareLine, part: slice) -> Cell:
    return Cell(_mean(line.used[part]) or 0.0, _mean(line.entitled[part]))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _area(heights: Sequence[float], step: float) -> str:
    return f"M0 {HEIGHT} {_steps(heights, step).replace('M', 'L', 1)} L{WIDTH} {HEIGHT} Z"


def _steps(heights: Sequence[float], step: float) -> str:
    """Return the SVG path of a stepped line; steps of equal height are merged."""
    if not heights:
        return ""
    parts = [f"M0 {heights[0]:.1f}"]
    for index, height in enumerate(heights[1:], start=1):
        if f"{height:.1f}" != f"{heights[index - 1]:.1f}":
            parts.append(f"H{index * step:.1f}V{height:.1f}")
    return f"{' '.join(parts)}H{len(heights) * step:.1f}"
