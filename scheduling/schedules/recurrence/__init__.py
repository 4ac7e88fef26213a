"""Times of schedules, as pure functions: cron, time zones, clock changes, missed and overlapping fires."""

from scheduling.schedules.recurrence.cron import Cron, CronInvalidError
from scheduling.schedules.recurrence.fires import (
    DstPolicy,
    Fire,
    FireTimes,
    Interval,
    Once,
    Recurrence,
    ZoneUnknownError,
    find_zone,
)
from scheduling.schedules.recurrence.policies import CatchUpPolicy, Due, OverlapPolicy, jitter_seconds, sort_due
from scheduling.schedules.recurrence.preview import PreviewedRun, preview_runs

__all__ = [
    "CatchUpPolicy",
    "Cron",
    "CronInvalidError",
    "DstPolicy",
    "Due",
    "Fire",
    "FireTimes",
    "Interval",
    "Once",
    "OverlapPolicy",
    "PreviewedRun",
    "Recurrence",
    "ZoneUnknownError",
    "find_zone",
    "jitter_seconds",
    "preview_runs",
    "sort_due",
]
