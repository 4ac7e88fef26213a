"""Backtest of a rule: when it would have fired, by the stored minutes of its measure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby

from django.utils.translation import gettext, ngettext

from scheduling.alerts.measures import measure_of
from scheduling.alerts.rules import FIRING, RESOLVED, AlertState, Sample, Tick, matches, step
from scheduling.models import AlertRule, MeasureMinute
from tenants.context import all_tenants
from tenants.database.clock import read_clock

DAYS = 30
# With more rows only the newest part of the history is replayed.
MOST_ROWS = 200_000
# More fires than these are a storm; a rule that fires for more than this part of the time always fires.
STORM = 100
ALWAYS = 0.9
# A shorter history does not show that a rule never fires.
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


def backtest(rule: AlertRule, *, days: int = DAYS) -> Backtest:
    """Replay the history of the rule's measure that the current scope may read."""
    now = read_clock().replace(second=0, microsecond=0)
    read = measure_of(rule.measure).history or _stored_minutes
    since, ordered = read(rule, now - timedelta(days=days))
    if since is None:
        return Backtest([], 0, None, BacktestVerdict.UNKNOWN)
    groups = groupby(ordered, key=lambda row: row.object_key)
    spans = [span for _, group in groups for span in _replay(rule, list(group), now)]
    spans.sort(key=lambda span: span.began_at, reverse=True)
    return Backtest(spans[:MOST_SHOWN], len(spans), since, _judge(spans, since, now))


def _stored_minutes(rule: AlertRule, earliest: datetime) -> tuple[datetime | None, Iterable[MeasureMinute]]:
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


def _replay(rule: AlertRule, rows: Sequence[MeasureMinute], now: datetime) -> Iterator[Span]:
    """Yield the spans of one object, by steps of a minute."""
    first = rows[0]
    if not matches(rule, Sample(first.object_key, 0.0, tenant_id=first.tenant_id, parents=tuple(first.parents))):
        return
    state: AlertState | None = None
    began_at = now
    for at, value in _minutes_of(rows, rule.clear_seconds // 60 + 1, now):
        before, state = state, step(Tick(at, 60.0 if state else 0.0), state, value, rule)
        if state is not None and state.state == RESOLVED:
            yield Span(first.label, began_at, at, state.peak)
            state = None
        elif state is not None and state.state == FIRING and (before is None or before.state != FIRING):
            began_at = at
    if state is not None and state.state == FIRING:
        yield Span(first.label, began_at, None, state.peak)


def _minutes_of(rows: Sequence[MeasureMinute], most: int, now: datetime) -> Iterator[tuple[datetime, float | None]]:
    """Yield the minutes of the rows with their values, and after each the next ones without, which are clear."""
    for row, ends_at in zip(rows, [*(row.minute for row in rows[1:]), now], strict=True):
        yield row.minute, row.worst
        for minutes in range(1, min((ends_at - row.minute) // _MINUTE, most + 1)):
            yield row.minute + minutes * _MINUTE, None


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
