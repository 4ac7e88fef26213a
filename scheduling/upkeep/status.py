"""Status of the upkeep tasks: last run, next due time, and which are overdue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext
from django_celery_beat.models import PeriodicTask

from scheduling.models import UpkeepRun
from scheduling.upkeep import registry
from scheduling.upkeep.registry import UpkeepTask
from scheduling.upkeep.schedules import NAME_PREFIX, row_name
from tenants.database.sql import load_sql

# Intervals without a success after which a task is overdue.
OVERDUE_INTERVALS = 3
SUCCESSES = (UpkeepRun.Outcome.OK, UpkeepRun.Outcome.PARTIAL)
# The index reads two rows for each task, regardless of their number.
_OF_BEAT = ("name", "enabled", "last_run_at", "start_time", "interval__every", "interval__period")
_LAST_RUNS = load_sql(__file__)["find_last_runs"]


@dataclass(frozen=True, slots=True)
class UpkeepStatus:
    """Status of one task at ``now``. ``due_at`` is None if beat does not run the task."""

    task: UpkeepTask
    now: datetime
    interval: timedelta
    is_enabled: bool
    due_at: datetime | None
    expected_since: datetime | None
    last: UpkeepRun | None
    succeeded_at: datetime | None

    @property
    def is_overdue(self) -> bool:
        """Return whether the task is enabled but has not succeeded for more than OVERDUE_INTERVALS intervals.

        Before the first success, the time since beat's row was created counts.
        """
        since = self.succeeded_at or self.expected_since
        return self.is_enabled and since is not None and self.now - since > OVERDUE_INTERVALS * self.interval

    @property
    def since_last(self) -> timedelta | None:
        """Return the time since the last run began, or None if there is no run."""
        return None if self.last is None else self.now - self.last.started_at

    @property
    def has_failed(self) -> bool:
        return self.last is not None and self.last.outcome == UpkeepRun.Outcome.FAILED


@dataclass(frozen=True, slots=True)
class UpkeepWarning:
    """Warning about one task, with a stable code and a sentence."""

    code: str
    name: str
    detail: str


def read_upkeep() -> list[UpkeepStatus]:
    """Return the status of every task, in two queries."""
    names = [task.name for task in registry.tasks()]
    runs = UpkeepRun.objects.raw(_LAST_RUNS, {"names": names, "successes": list(SUCCESSES)})
    last = {run.name: run for run in runs}
    beat = PeriodicTask.objects.filter(name__startswith=NAME_PREFIX).select_related("interval").only(*_OF_BEAT)
    rows = {row.name: row for row in beat}
    now = timezone.now()
    return [_line(task, rows, last.get(task.name), now) for task in registry.tasks()]


def find_upkeep_status(name: str) -> UpkeepStatus:
    """Return the status of one task; raise UpkeepUnknownError if there is none."""
    task = registry.get(name)
    return next(line for line in read_upkeep() if line.task is task)


def find_upkeep_warnings() -> list[UpkeepWarning]:
    """Return a warning for each task that has failed, is disabled or is overdue."""
    return [warning for line in read_upkeep() if (warning := upkeep_warning_of(line)) is not None]


def upkeep_warning_of(line: UpkeepStatus) -> UpkeepWarning | None:
    """Return the most serious warning about a task, or None."""
    name, title = line.task.name, gettext(line.task.title)
    if line.has_failed and line.last is not None:
        reason = " ".join(line.last.messages[:1])
        return UpkeepWarning(
            "failed",
            name,
            (gettext("%(title)s: the last run failed. %(reason)s") % {"title": title, "reason": reason}).strip(),
        )
    if not line.is_enabled:
        return UpkeepWarning(
            "switched_off", name, gettext("%(title)s: beat's row is missing or switched off.") % {"title": title}
        )
    if line.is_overdue:
        return UpkeepWarning(
            "overdue",
            name,
            gettext(
                "%(title)s: no success within %(count)s intervals. Is beat running, and a "
                "worker of the pool “maintenance”?"
            )
            % {"title": title, "count": OVERDUE_INTERVALS},
        )
    return None


def _line(
    task: UpkeepTask,
    rows: Mapping[str, PeriodicTask],
    last: UpkeepRun | None,
    now: datetime,
) -> UpkeepStatus:
    row = rows.get(row_name(task.name))
    interval = task.interval
    if row is not None and row.interval is not None:
        interval = timedelta(**{row.interval.period: row.interval.every})
    is_enabled = row is not None and row.enabled
    asked_at = None if row is None else row.last_run_at or row.start_time
    return UpkeepStatus(
        task=task,
        now=now,
        interval=interval,
        is_enabled=is_enabled,
        due_at=asked_at + interval if is_enabled and asked_at else None,
        expected_since=None if row is None else row.start_time,
        last=last,
        succeeded_at=getattr(last, "succeeded_at", None),
    )
