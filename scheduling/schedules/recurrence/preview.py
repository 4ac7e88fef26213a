"""The next runs of a schedule for display, in local time with notes on clock changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from scheduling.schedules.recurrence.fires import ClockChange, Fire, FireTimes
from tenants.translation import translate


@dataclass(frozen=True, slots=True)
class PreviewedRun:
    """A future run: its moment in UTC, its local time with offset, and a note on a clock change, or an empty one."""

    at: datetime
    local: datetime
    utc_offset: str
    note: str


def preview_runs(
    recurrence: FireTimes, *, after: datetime, count: int, until: datetime | None = None
) -> list[PreviewedRun]:
    """Return the next ``count`` runs after a moment, without those later than ``until``."""
    offset = offset_words(after.astimezone(recurrence.zone))
    runs: list[PreviewedRun] = []
    for fire in recurrence.fires_after(after):
        if len(runs) == count or (until is not None and fire.at > until):
            break
        local = fire.at.astimezone(recurrence.zone)
        before, offset = offset, offset_words(local)
        runs.append(PreviewedRun(fire.at, local, offset, _note(fire, before, offset)))
    return runs


def offset_words(local: datetime) -> str:
    """Return the UTC offset of an aware datetime as text, such as ``UTC+05:45``."""
    offset = local.utcoffset() or timedelta(0)
    minutes = round(abs(offset) / timedelta(minutes=1))
    sign = "-" if offset < timedelta(0) else "+"
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}"


def _note(fire: Fire, before: str, offset: str) -> str:
    named = f"{fire.civil:%H:%M}"
    match fire.turn:
        case ClockChange.SHIFTED:
            return translate(
                "%(named)s does not exist on %(day)s %(month)s, as the clocks go forward; it runs right after.",
                {"named": named, "day": f"{fire.civil:%d}", "month": translate(f"{fire.civil:%B}")},
            )
        case ClockChange.FIRST:
            return translate(
                "%(named)s occurs twice on this day, as the clocks go back; this is the first time.", {"named": named}
            )
        case ClockChange.SECOND:
            return translate(
                "%(named)s occurs twice on this day, as the clocks go back; this is the second time.", {"named": named}
            )
    return (
        translate(
            "The clocks have changed since the previous run: %(before)s → %(offset)s.",
            {"before": before, "offset": offset},
        )
        if before != offset
        else ""
    )
