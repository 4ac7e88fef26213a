"""Tiles of the overview page: each shows a number, its last hour as a sparkline, and a link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from scheduling.console.wording import duration_words, percent_words, rate_words
from scheduling.overview.queries import Overview
from scheduling.statistics.gauge_queries import Gauge
from scheduling.statistics.minute_charts import Spark, spark


@dataclass(frozen=True, slots=True)
class Tile:
    """Tile that shows one number; ``meter`` is a fraction from 0 to 1, shown as a bar."""

    label: str
    value: str
    note: str
    href: str
    spark: Spark
    unit: str = ""
    tone: str = "quiet"
    meter: float | None = None


def build_tiles(overview: Overview) -> list[Tile]:
    """Return the tiles in the order in which they are shown."""
    throughput, failures, letters = _of_what_ended(overview)
    oldest, waiting, retries = _of_what_waits(overview)
    return [throughput, oldest, waiting, *_of_slots(overview), failures, letters, retries]


def window_words(overview: Overview) -> str:
    """Return in words the length of the time over which the rates are computed."""
    minutes = overview.work.minutes
    return _("%d min") % round(minutes) if minutes >= 1 else _("%d s") % round(60 * minutes)


def _of_what_ended(overview: Overview) -> Iterator[Tile]:
    buckets, rate = overview.work.buckets, overview.work.total.failure_rate
    window = {"window": window_words(overview)}
    yield Tile(
        label=_("Throughput"),
        value=rate_words(overview.per_minute),
        unit=_("/ min"),
        note=_("completed, last %(window)s") % window,
        href=_jobs("completed"),
        spark=spark([bucket.completed for bucket in buckets]),
        tone="good",
    )
    yield Tile(
        label=_("Failure rate"),
        value=percent_words(rate),
        note=_("of ended runs, last %(window)s") % window,
        href=reverse("admin:failures"),
        spark=spark([bucket.failure_rate or 0.0 for bucket in buckets], words=percent_words),
        tone="quiet" if not rate else "warn" if rate < 0.1 else "bad",
    )
    yield Tile(
        label=_("Dead letters"),
        value=f"{overview.dead_letters:,}",
        note=_("new in the last hour"),
        href=reverse("admin:scheduling_deadletter_changelist"),
        spark=spark([bucket.dead_letters for bucket in buckets]),
        tone="bad" if overview.dead_letters else "quiet",
    )


def _of_what_waits(overview: Overview) -> Iterator[Tile]:
    totals, back_offs = overview.gauges.totals, overview.back_offs
    next_in = duration_words(back_offs.next_at - overview.now) if back_offs.next_at else ""
    yield Tile(
        label=_("Oldest wait"),
        value=duration_words(overview.oldest_seconds),
        note=_("since it became ready"),
        href=_jobs("available"),
        spark=spark([_oldest(row) for row in totals], words=duration_words),
    )
    yield Tile(
        label=_("Waiting"),
        value=f"{overview.waiting:,}",
        note=_("ready, scheduled and backing off"),
        href=_jobs("available"),
        spark=spark([row.waiting if row else None for row in totals]),
    )
    yield Tile(
        label=_("Retries waiting"),
        value=f"{back_offs.waiting:,}",
        note=_("%(due)s due, next in %(time)s") % {"due": f"{back_offs.due:,}", "time": next_in}
        if next_in
        else _("no retries scheduled"),
        href=_jobs("retryable"),
        spark=spark([row.backing_off if row else None for row in totals]),
        tone="warn",
    )


def _of_slots(overview: Overview) -> Iterator[Tile]:
    if overview.pool_minutes is None:
        totals = overview.gauges.totals
        yield Tile(
            label=_("Running"),
            value=f"{overview.executing:,}",
            note=_("running on workers"),
            href=_jobs("executing"),
            spark=spark([row.executing if row else None for row in totals]),
            tone="busy",
        )
        return
    facts = {"running": f"{overview.executing:,}", "dispatched": f"{overview.dispatched:,}"}
    yield Tile(
        label=_("Slots used"),
        value=f"{overview.in_flight:,}",
        unit=f"/ {overview.slots:,}",
        note=_("%(running)s running, %(dispatched)s dispatched") % facts,
        href=_jobs("executing"),
        spark=spark(overview.pool_minutes.used, words=rate_words),
        tone="busy",
        meter=overview.in_flight / overview.slots if overview.slots else None,
    )


def _oldest(row: Gauge | None) -> float | None:
    """Return the longest wait in seconds, 0 if no job waits, or None without a sample."""
    return None if row is None else row.oldest_seconds or 0.0


def _jobs(state: str) -> str:
    return f"{reverse('admin:scheduling_job_changelist')}?state={state}"
