"""Rows of django-celery-beat for upkeep: created after migrations for tasks without one, never changed later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connections
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from scheduling.conf import RUN_UPKEEP_TASK
from scheduling.upkeep import registry
from scheduling.upkeep.registry import UpkeepTask
from tenants.database.conf import OWNER_ALIAS

NAME_PREFIX = "upkeep: "
_PERIODS = ((86_400, IntervalSchedule.DAYS), (3_600, IntervalSchedule.HOURS), (60, IntervalSchedule.MINUTES))


def row_name(name: str) -> str:
    """Return the name of a task's row in django-celery-beat."""
    return f"{NAME_PREFIX}{name}"


def seed_schedules(*, using: str) -> list[str]:
    """Create rows for tasks that have none, with the tasks' default intervals; return the names of these tasks."""
    rows = PeriodicTask.objects.using(using)
    known = set(rows.filter(name__startswith=NAME_PREFIX).values_list("name", flat=True))
    missing = [task for task in registry.tasks() if row_name(task.name) not in known]
    if not missing:
        return []
    intervals = {task.interval: _interval(task.interval, using) for task in missing}
    rows.bulk_create([_row(task, intervals[task.interval]) for task in missing], ignore_conflicts=True)
    # Beat reads this row to notice changed schedules.
    PeriodicTasks.objects.using(using).update_or_create(ident=1, defaults={"last_update": timezone.now()})
    return [task.name for task in missing]


def seed_after_migrate(sender: Any, using: str, **_: Any) -> None:
    """Receive `post_migrate` and create missing rows, unless a backward migration has removed beat's tables."""
    if using == OWNER_ALIAS and PeriodicTask._meta.db_table in connections[using].introspection.table_names():
        seed_schedules(using=using)


def _row(task: UpkeepTask, interval: IntervalSchedule) -> PeriodicTask:
    return PeriodicTask(
        name=row_name(task.name),
        task=RUN_UPKEEP_TASK,
        args=f'["{task.name}"]',
        interval=interval,
        description=task.text,
        # A late request is useless once the next one is due.
        expire_seconds=int(task.interval.total_seconds()),
        start_time=timezone.now(),
    )


def _interval(interval: timedelta, using: str) -> IntervalSchedule:
    seconds = int(interval.total_seconds())
    every, period = seconds, IntervalSchedule.SECONDS
    for length, name in _PERIODS:
        if seconds % length == 0:
            every, period = seconds // length, name
            break
    rows = IntervalSchedule.objects.using(using)
    # In bulk: beat's signals would use the default connection, which is not the owner's.
    wanted = IntervalSchedule(every=every, period=period)
    return rows.filter(every=every, period=period).first() or rows.bulk_create([wanted])[0]
