"""Backtest of a rule: when it would have fired, by the stored minutes of its measure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from django.utils.translation import gettext, ngettext

from scheduling.alerts.measures import measure_of
from scheduling.alerts.rules import FIRING, RESOLVED, AlertState, RuleFacts, Sample, Tick, matches, step
from scheduling.models import MeasureMinute
from tenants.context import all_tenants
from tenants.database.clock import read_clock

DAYS = 30
# With more rows only the newest part of the history is replayed.
MOST_ROWS = 200_000
# More fires than these are a storm; a rule that fires for more than this part of the time always fires.
STORM = 100
ALWAYS = 0.9
# Less history says nothing about a rule that never fires.
LEAST_HISTORY = timedelta(days=14)
MOST_SHOWN = 20
_MINUTE = timedelta(minutes=1)


class BacktestVerdict(StrEnum):
    """Whether the rule is of use, by its history."""

    OK = "ok"
    NEVER = "never"
    ALWAYS = "always"
    STORM = "storm"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Span:
    """A time for which the rule would have fired; ``ended_at`` is None if it still would."""

    label: str
    began_at: datetime
    ended_at: datetime | None
    peak: float


@dataclass(frozen=True, slots=True)
class Backtest:
    """Result: the newest spans, how many there were, and since when there is history, None without any."""

    spans: list[Span]
    count: int
    since: datetime | None
    verdict: BacktestVerdict

    @property
    def sentence(self) -> str:
        """Return the result in words."""
        if self.since is None:
            return gettext("No history of this measure yet.")
        times = ngettext("%(count)s time", "%(count)s times", self.count) % {"count": self.count}
        values = {"times": times, "since": f"{self.since:%Y-%m-%d %H:%M} UTC"}
        return gettext("Would have fired %(times)s since %(since)s.") % values

    @property
    def warning(self) -> str:
        """Return why saving the rule must be confirmed, or an empty text."""
        return {
            BacktestVerdict.NEVER: gettext("It would never have fired."),
            BacktestVerdict.ALWAYS: gettext("It would have fired almost all the time."),
            BacktestVerdict.STORM: gettext("It would have fired more than %(count)s times.") % {"count": STORM},
        }.get(self.verdict, "")


def backtest(rule: RuleFacts, *, days: int = DAYS) -> Backtest:
    """Replay the history of the rule's measure that the current scope may read."""
    now = read_clock().replace(second=0, microsecond=0)
    read = measure_of(rule.measure).history or _stored_minutes
    since, ordered = read(rule, now - timedelta(days=days))
    if since is None:
        return Backtest([], 0, None, BacktestVerdict.UNKNOWN)
    spans = [
        span for _, group in groupby(ordered, key=lambda row: row.object_key) for span in _replay(rule, group, now)
    ]
    spans.sort(key=lambda span: span.began_at, reverse=True)
    return Backtest(spans[:MOST_SHOWN], len(spans), since, _judge(spans, since, now))


def _stored_minutes(rule: RuleFacts, earliest: datetime) -> tuple[datetime | None, Iterable[MeasureMinute]]:
    since = _find_start(rule.measure, earliest)
    if since is None:
        return None, ()
    rows = MeasureMinute.objects.filter(measure=rule.measure, object_key__startswith=f"{rule.per}:", minute__gte=since)
    return since, rows.order_by("object_key", "minute").iterator()


def _find_start(measure: str, earliest: datetime) -> datetime | None:
    """Return the first evaluated minute, or, if the measure has too many rows, the first one that is replayed."""
    with all_tenants(has_savepoint=False):
        evaluated = MeasureMinute.objects.filter(measure="", minute__gte=earliest).order_by("minute")
        first = evaluated.values_list("minute", flat=True).first()
    own = MeasureMinute.objects.filter(measure=measure, minute__gte=earliest).order_by("-minute")
    cut = own.values_list("minute", flat=True)[MOST_ROWS : MOST_ROWS + 1]
    return next(iter(cut), first)


def _replay(rule: RuleFacts, rows: Iterable[MeasureMinute], now: datetime) -> Iterator[Span]:
    """Yield the spans of one object, by steps of a minute; a minute without a row is clear."""
    state: AlertState | None = None
    began_at, label, at = now, "", now
    for row in rows:
        sample = Sample(row.object_key, row.worst, row.label, row.tenant_id, tuple(row.parents))
        if not matches(rule, sample):
            return
        while state is not None and (at := at + _MINUTE) < row.minute:
            peak, state = state.peak, step(Tick(at, 60.0), state, None, rule)
            if state is not None and state.state == RESOLVED:
                yield Span(label, began_at, at, peak)
                state = None
        was_firing = state is not None and state.state == FIRING
        at, label = row.minute, row.label
        state, before = step(Tick(at, 60.0 if state else 0.0), state, row.worst, rule), state
        if state is not None and state.state == RESOLVED:
            assert before is not None
            yield Span(label, began_at, at, before.peak)
            state = None
        elif state is not None and state.state == FIRING and not was_firing:
            began_at = at
    if state is not None and state.state == FIRING:
        while state is not None and state.state == FIRING and at < now:
            at += _MINUTE
            state = step(Tick(at, 60.0), state, None, rule)
        yield Span(label, began_at, at if at < now else None, state.peak if state else 0.0)


def _judge(spans: list[Span], since: datetime, now: datetime) -> BacktestVerdict:
    if len(spans) > STORM:
        return BacktestVerdict.STORM
    longest = max(((span.ended_at or now) - span.began_at for span in spans), default=timedelta())
    history = now - since
    if history >= timedelta(days=1) and longest > ALWAYS * history:
        return BacktestVerdict.ALWAYS
    if not spans:
        return BacktestVerdict.NEVER if history >= LEAST_HISTORY else BacktestVerdict.UNKNOWN
    return BacktestVerdict.OK
