"""When a schedule fires: cron, time zone, what changes of the clocks do, what a missed time does. Pure."""

from scheduling.schedules.recurrence.cron import Cron, CronInvalidError
from scheduling.schedules.recurrence.fires import DstPolicy, Fire, Recurrence, ZoneUnknownError, find_zone
from scheduling.schedules.recurrence.policies import CatchUpPolicy, Due, OverlapPolicy, jitter_seconds, sort_due
from scheduling.schedules.recurrence.preview import PreviewedRun, preview_runs

__all__ = [
    "CatchUpPolicy",
    "Cron",
    "CronInvalidError",
    "DstPolicy",
    "Due",
    "Fire",
    "OverlapPolicy",
    "PreviewedRun",
    "Recurrence",
    "ZoneUnknownError",
    "find_zone",
    "jitter_seconds",
    "preview_runs",
    "sort_due",
]
