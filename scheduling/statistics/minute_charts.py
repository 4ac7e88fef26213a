"""Charts of the last hour by minute: sparklines, the status strip, charts with axes, and a table of their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from scheduling.console.wording import duration_words, percent_words
from scheduling.overview.queries import Overview
from scheduling.statistics.chart_paths import CHART_HEIGHT, MINUTE_WIDTH, draw_bar, draw_line, round_up
from scheduling.statistics.gauge_queries import Gauge
from scheduling.statistics.throughput import EndedCounts

# Units of the sparkline; the page scales them.
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 118.0, 18.0, 1.5
STRIP_STEP = 6
# Parts of the time axis between two labels.
TIME_STEPS = 4
# Part of failed runs, and wait of the oldest job, from which a minute is marked.
BAD_RATE, WARN_RATE = 0.1, 0.01
LONG_WAIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Band:
    """The usual range in each minute of a chart, empty while it is unknown, and words about it."""

    ranges: Sequence[tuple[float, float]]
    words: str


@dataclass(frozen=True, slots=True)
class Spark:
    """Sparkline over the last hour, interrupted where samples are missing; ``summary`` describes it in words."""

    path: str
    summary: str


@dataclass(frozen=True, slots=True)
class StripMinute:
    """One minute of the status strip: its position, its tone (such as ``good``) and its description."""

    x: int
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class ChartMinute:
    """One minute of a chart: its position, and its numbers in words."""

    x: int
    title: str


@dataclass(frozen=True, slots=True)
class MinuteChart:
    """Chart with axes: an SVG path for each line or colour, the labels of both axes, and a description.

    ``scale`` are the labels of the vertical axis from the greatest value down, ``times`` those of the time axis.
    """

    paths: Mapping[str, str]
    minutes: Sequence[ChartMinute]
    scale: tuple[str, str, str]
    times: Sequence[datetime]
    summary: str
    time_form: str = "minute"

    @property
    def width(self) -> int:
        return MINUTE_WIDTH * len(self.minutes)


@dataclass(frozen=True, slots=True)
class MinuteTableRow:
    """One minute of the table, with the numbers of all charts."""

    at: datetime
    ended: EndedCounts
    gauge: Gauge | None
    slots: int | None

    @property
    def oldest_seconds(self) -> float | None:
        return self.gauge.oldest_seconds if self.gauge else None


def spark(values: Sequence[float | None], *, words: Any = str) -> Spark:
    """Return the sparkline of these values, scaled to the greatest; ``words`` formats a value for the description."""
    known = [value for value in values if value is not None]
    if not known:
        return Spark("", _("No data in the last hour."))
    top = max(*known, 0.0) or 1.0
    facts = {"least": words(min(known)), "most": words(max(known)), "last": words(known[-1])}
    step = SPARK_WIDTH / max(len(values) - 1, 1)
    heights = [
        None if value is None else SPARK_MARGIN + (SPARK_HEIGHT - 2 * SPARK_MARGIN) * (1 - value / top)
        for value in values
    ]
    return Spark(draw_line(heights, step), _("Last hour: lowest %(least)s, highest %(most)s, latest %(last)s.") % facts)


def draw_strip(overview: Overview) -> tuple[list[StripMinute], str]:
    """Return the cells of the status strip, one for each minute, and a summary of them."""
    cells = [
        StripMinute(index * STRIP_STEP, *_strip_minute(row, is_all_tenants=overview.is_all_tenants))
        for index, row in enumerate(minute_rows(overview))
    ]
    counts = {tone: sum(cell.tone == tone for cell in cells) for tone in ("good", "warn", "bad", "quiet")}
    parts = [
        ngettext("%d minute healthy", "%d minutes healthy", counts["good"]) % counts["good"],
        ngettext("%d degraded", "%d degraded", counts["warn"]) % counts["warn"],
        ngettext("%d failing", "%d failing", counts["bad"]) % counts["bad"],
    ]
    if counts["quiet"]:
        parts.append(ngettext("%d without data", "%d without data", counts["quiet"]) % counts["quiet"])
    return cells, ", ".join(parts) + "."


def _strip_minute(row: MinuteTableRow, *, is_all_tenants: bool) -> tuple[str, str]:
    """Return the tone of a minute and a title that explains it."""
    at = f"{row.at:%H:%M}"
    rate, oldest = row.ended.failure_rate or 0.0, row.oldest_seconds or 0.0
    # A tenant without jobs has no sample, and no trouble either.
    if is_all_tenants and row.gauge is None and row.ended.failure_rate is None:
        return "quiet", _("%(at)s: no data") % {"at": at}
    parts = []
    if rate >= WARN_RATE:
        parts.append(_("%(rate)s of the runs failed") % {"rate": percent_words(rate)})
    if row.ended.dead_letters:
        parts.append(
            ngettext("%d new dead letter", "%d new dead letters", row.ended.dead_letters) % row.ended.dead_letters
        )
    if oldest >= LONG_WAIT_SECONDS:
        parts.append(_("the oldest job had waited %(age)s") % {"age": duration_words(oldest)})
    has_no_slots = bool(is_all_tenants and row.gauge and row.gauge.waiting and not row.slots)
    if has_no_slots:
        parts.append(_("jobs waited without a free slot"))
    tone = "bad" if has_no_slots or rate >= BAD_RATE else "warn" if parts else "good"
    return tone, f"{at}: " + (", ".join(parts) or _("healthy"))


def minute_rows(overview: Overview, queue_id: int | None = None) -> list[MinuteTableRow]:
    """Return the numbers of each minute of the last hour, oldest first, for all queues or for one."""
    slots = overview.pool_minutes.slots if overview.pool_minutes else [None] * len(overview.gauges.minutes)
    if queue_id is None:
        buckets, gauges = overview.work.buckets, overview.gauges.totals
    else:
        buckets = overview.work.buckets_by_queue.get(queue_id, [EndedCounts() for _minute in overview.gauges.minutes])
        by_minute = overview.gauges.by_minute
        gauges = [by_minute.get(at, {}).get(queue_id) for at in overview.gauges.minutes]
    return [MinuteTableRow(*row) for row in zip(overview.gauges.minutes, buckets, gauges, slots, strict=True)]


def draw_ended(rows: Sequence[MinuteTableRow], band: Band | None = None) -> MinuteChart:
    """Return a chart of the runs that ended in each minute: stacked bars, failed ones above completed ones.

    ``band`` is the usual range, which is drawn behind them.
    """
    completed, failed = sum(row.ended.completed for row in rows), sum(row.ended.failed for row in rows)
    top = round_up(max((row.ended.completed + row.ended.failed for row in rows), default=0), (2, 4, 10, 20))
    unit = CHART_HEIGHT / top
    bars: dict[str, list[str]] = {"completed": [], "failed": []}
    for index, row in enumerate(rows):
        bars["completed"].append(draw_bar(index, 0.0, unit * row.ended.completed))
        bars["failed"].append(draw_bar(index, unit * row.ended.completed, unit * row.ended.failed))
    counts = {"completed": f"{completed:,}", "failed": f"{failed:,}", "minutes": len(rows)}
    return _draw(
        rows,
        {**_band_path(band, top), **{name: "".join(paths) for name, paths in bars.items()}},
        top,
        lambda value: f"{value:,.0f}",
        lambda row: (
            _("%(completed)s completed, %(failed)s failed")
            % {"completed": f"{row.ended.completed:,}", "failed": f"{row.ended.failed:,}"}
        ),
        _with_band(_("%(completed)s completed and %(failed)s failed in %(minutes)d minutes.") % counts, band),
    )


def draw_waits(rows: Sequence[MinuteTableRow], band: Band | None = None) -> MinuteChart:
    """Return a chart of the 50th, 95th and 99th percentile of the waits, interrupted in minutes without a start.

    ``band`` is the usual range of the 95th, which is drawn behind them.
    """
    lines = {
        "p50": [row.ended.wait_p50 for row in rows],
        "p95": [row.ended.wait_p95 for row in rows],
        "p99": [row.ended.wait_p99 for row in rows],
    }
    known = [value for values in lines.values() for value in values if value is not None]
    top = round_up(max(known, default=0.0), (1, 2, 5, 10))

    def path(values: Sequence[float | None]) -> str:
        heights = [None if value is None else CHART_HEIGHT * (1 - value / top) for value in values]
        return draw_line(heights, MINUTE_WIDTH, MINUTE_WIDTH / 2)

    worst = [value for value in lines["p95"] if value is not None]
    return _draw(
        rows,
        {**_band_path(band, top), **{name: path(values) for name, values in lines.items()}},
        top,
        duration_words,
        _waits_words,
        _with_band(_worst_wait(worst), band),
    )


def _worst_wait(worst: Sequence[float]) -> str:
    if not worst:
        return _("No jobs started in this time.")
    words = _("In the worst minute one job in twenty waited longer than %(wait)s.")
    return words % {"wait": duration_words(max(worst))}


def _band_path(band: Band | None, top: float) -> dict[str, str]:
    """Return the path of the usual range, cut off at the top of the chart; none if nothing is usual yet."""
    heights = [[CHART_HEIGHT * (1 - min(edge, top) / top) for edge in span] for span in (band.ranges if band else ())]
    path = "".join(
        f"M{index * MINUTE_WIDTH} {high:.1f}h{MINUTE_WIDTH}V{low:.1f}h-{MINUTE_WIDTH}z"
        for index, (low, high) in enumerate(heights)
    )
    return {"band": path} if path else {}


def _with_band(summary: str, band: Band | None) -> str:
    return f"{summary} {band.words}" if band else summary


def draw_values(
    points: Sequence[tuple[datetime, float | None]],
    words: Callable[[float], str],
    *,
    is_count: bool = False,
    limit: float | None = None,
) -> MinuteChart:
    """Return a chart of values over time: one line, interrupted where a value is None, or a bar for each count.

    A line shows the ``limit`` that the values are compared with.
    """
    known = [value for _at, value in points if value is not None]
    top = round_up(max(*known, limit or 0.0, 0.0), (2, 4, 10, 20) if is_count else (1, 2, 5, 10))
    heights = [None if value is None else CHART_HEIGHT * (1 - value / top) for _at, value in points]
    bars = (draw_bar(index, 0.0, CHART_HEIGHT * (value or 0) / top) for index, (_at, value) in enumerate(points))
    is_long = points[-1][0] - points[0][0] > timedelta(days=1)
    shown_as = "%m-%d %H:%M" if is_long else "%H:%M"
    minutes = [
        ChartMinute(index * MINUTE_WIDTH, f"{at.strftime(shown_as)}: {'–' if value is None else words(value)}")
        for index, (at, value) in enumerate(points)
    ]
    facts = {"most": words(max(known)), "last": words(known[-1])} if known else {}
    paths = {"count": "".join(bars)} if is_count else {"p50": draw_line(heights, MINUTE_WIDTH, MINUTE_WIDTH / 2)}
    if limit is not None:
        paths["p99"] = f"M0 {CHART_HEIGHT * (1 - limit / top):.1f}H{MINUTE_WIDTH * len(points)}"
    return MinuteChart(
        paths,
        minutes,
        (words(top), words(top / 2), words(0.0)),
        [at for at, _value in (*points[:-1][:: max(1, len(points) // 4)], points[-1])],
        _("Highest %(most)s, latest %(last)s.") % facts if known else _("No data in this range."),
        "day" if is_long else "minute",
    )


def _waits_words(row: MinuteTableRow) -> str:
    if row.ended.wait_p50 is None:
        return _("no jobs started")
    waits = {"p50": row.ended.wait_p50, "p95": row.ended.wait_p95, "p99": row.ended.wait_p99}
    return ", ".join(f"{name} {duration_words(wait)}" for name, wait in waits.items())


def _draw(
    rows: Sequence[MinuteTableRow],
    paths: Mapping[str, str],
    top: float,
    label: Callable[[float], str],
    words: Callable[[MinuteTableRow], str],
    summary: str,
) -> MinuteChart:
    minutes = [ChartMinute(index * MINUTE_WIDTH, f"{row.at:%H:%M}: {words(row)}") for index, row in enumerate(rows)]
    step = max(1, round(len(rows) / TIME_STEPS))
    times = [row.at for row in (*rows[:-1][: len(rows) - step + 1 : step], *rows[-1:])]
    return MinuteChart(paths, minutes, (label(top), label(top / 2), label(0.0)), times, summary)
