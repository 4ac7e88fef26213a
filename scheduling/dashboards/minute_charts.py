"""The last hour by the minute: sparklines, the status strip, the series of the charts, and all of it as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from scheduling.dashboards.wording import duration_words, percent_words
from scheduling.selectors.gauges import Gauge
from scheduling.selectors.overview import Overview
from scheduling.selectors.throughput import Ended

# The sparkline's own units; the page scales them.
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 118.0, 18.0, 1.5
STRIP_STEP = 6
# From which part of failed runs, and from which wait of the oldest job, a minute is told.
BAD_RATE, WARN_RATE = 0.1, 0.01
LONG_WAIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Spark:
    """A line over the last hour, broken where nobody looked; ``summary`` says in words what it shows."""

    path: str
    summary: str


@dataclass(frozen=True, slots=True)
class StripMinute:
    """A minute of the status strip: its place, its tone, and what was with it."""

    x: int
    tone: str
    title: str


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """A minute of the table: the numbers behind every chart of the page."""

    at: datetime
    ended: Ended
    gauge: Gauge | None
    slots: int | None

    @property
    def oldest_seconds(self) -> float | None:
        return self.gauge.oldest_seconds if self.gauge else None


def spark(values: Sequence[float | None], *, words: Any = str) -> Spark:
    """To the scale of its own highest value."""
    known = [value for value in values if value is not None]
    if not known:
        return Spark("", _("Nobody looked within the hour."))
    top = max(*known, 0.0) or 1.0
    step = SPARK_WIDTH / max(len(values) - 1, 1)
    runs: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            y = SPARK_MARGIN + (SPARK_HEIGHT - 2 * SPARK_MARGIN) * (1 - value / top)
            runs[-1].append(f"{index * step:.0f} {y:.1f}")
    facts = {"least": words(min(known)), "most": words(max(known)), "last": words(known[-1])}
    # A lone point is a line to itself, which is drawn as a dot.
    path = " ".join(f"M{run[0]} L{' L'.join(run[1:] or run)}" for run in runs if run)
    return Spark(path, _("Last hour: least %(least)s, most %(most)s, last %(last)s.") % facts)


def draw_strip(overview: Overview) -> tuple[list[StripMinute], str]:
    """A cell a minute, and what they say together."""
    cells = [
        StripMinute(index * STRIP_STEP, *_strip_minute(row, is_all_tenants=overview.is_all_tenants))
        for index, row in enumerate(minute_rows(overview))
    ]
    counts = {tone: sum(cell.tone == tone for cell in cells) for tone in ("good", "warn", "bad", "quiet")}
    told = [
        ngettext("%d minute without trouble", "%d minutes without trouble", counts["good"]) % counts["good"],
        ngettext("%d to look at", "%d to look at", counts["warn"]) % counts["warn"],
        ngettext("%d bad", "%d bad", counts["bad"]) % counts["bad"],
    ]
    if counts["quiet"]:
        told.append(ngettext("%d not looked at", "%d not looked at", counts["quiet"]) % counts["quiet"])
    return cells, ", ".join(told) + "."


def _strip_minute(row: MinuteRow, *, is_all_tenants: bool) -> tuple[str, str]:
    """Tone and title."""
    at = f"{row.at:%H:%M}"
    rate, oldest = row.ended.failure_rate or 0.0, row.oldest_seconds or 0.0
    # A tenant with nothing to do has no sample, and no trouble either.
    if is_all_tenants and row.gauge is None and row.ended.failure_rate is None:
        return "quiet", _("%(at)s: nobody looked") % {"at": at}
    told = []
    if rate >= WARN_RATE:
        told.append(_("%(rate)s of the runs failed") % {"rate": percent_words(rate)})
    if row.ended.dead_letters:
        told.append(
            ngettext("%d new dead letter", "%d new dead letters", row.ended.dead_letters) % row.ended.dead_letters
        )
    if oldest >= LONG_WAIT_SECONDS:
        told.append(_("the oldest job had waited %(age)s") % {"age": duration_words(oldest)})
    has_no_slots = bool(is_all_tenants and row.gauge and row.gauge.waiting and not row.slots)
    if has_no_slots:
        told.append(_("jobs waited and there was no slot"))
    tone = "bad" if has_no_slots or rate >= BAD_RATE else "warn" if told else "good"
    return tone, f"{at}: " + (", ".join(told) or _("no trouble"))


def minute_rows(overview: Overview, queue_id: int | None = None) -> list[MinuteRow]:
    """The hour minute by minute, the oldest first: of all queues, or of one."""
    slots = overview.pool_minutes.slots if overview.pool_minutes else [None] * len(overview.gauges.minutes)
    if queue_id is None:
        buckets, gauges = overview.work.buckets, overview.gauges.totals
    else:
        buckets = overview.work.buckets_by_queue.get(queue_id, [Ended() for _minute in overview.gauges.minutes])
        by_minute = overview.gauges.by_minute
        gauges = [by_minute.get(at, {}).get(queue_id) for at in overview.gauges.minutes]
    return [MinuteRow(*row) for row in zip(overview.gauges.minutes, buckets, gauges, slots, strict=True)]


def draw_series(rows: Sequence[MinuteRow]) -> dict[str, Any]:
    """What the charts with axes are drawn of, and in words what they show."""
    completed, failed = sum(row.ended.completed for row in rows), sum(row.ended.failed for row in rows)
    waits = [row.ended.wait_p95 for row in rows if row.ended.wait_p95 is not None]
    counts = {"completed": f"{completed:,}", "failed": f"{failed:,}", "minutes": len(rows)}
    return {
        "labels": [f"{row.at:%H:%M}" for row in rows],
        "completed": [row.ended.completed for row in rows],
        "failed": [row.ended.failed for row in rows],
        "p50": [_rounded(row.ended.wait_p50) for row in rows],
        "p95": [_rounded(row.ended.wait_p95) for row in rows],
        "p99": [_rounded(row.ended.wait_p99) for row in rows],
        "ended_summary": _("%(completed)s completed and %(failed)s failed in %(minutes)d minutes.") % counts,
        "waits_summary": (
            _("In the worst minute one job in twenty waited longer than %(wait)s.")
            % {"wait": duration_words(max(waits))}
            if waits
            else _("No job began within the hour.")
        ),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
